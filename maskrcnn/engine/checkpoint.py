"""Weights that travel with how to use them: one safetensors file with the settings and a card in its metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from maskrcnn.config import ModelSettings, validate
from maskrcnn.files import atomic_path
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN

METADATA_KEY = "maskrcnn"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded file."""

    settings: ModelSettings
    tensors: dict[str, Tensor]
    """State of the model, float32."""
    card: dict[str, Any]
    """How it was made, its licence, what it reached."""

    def build(self) -> MaskRCNN:
        """The model with these weights, in eval mode, on the CPU.

        Raises:
            ValueError: tensors are missing, unexpected or of the wrong shape; names them.
        """
        model = build_model(self.settings)
        load_strictly(model, self.tensors)
        return model.eval()


def save_checkpoint(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    settings: ModelSettings,
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write `tensors` in `dtype` (integer ones as they are) with everything that is needed to use them."""
    stored = {
        name: (t.to(dtype) if t.is_floating_point() else t).detach().cpu().contiguous() for name, t in tensors.items()
    }
    metadata = {METADATA_KEY: json.dumps({"settings": settings.model_dump(mode="json"), "card": dict(card)})}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(stored, metadata))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file that `save_checkpoint` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this package, or it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path}: no checkpoint of maskrcnn, or a damaged one ({error})") from None
    try:
        content = json.loads(metadata[METADATA_KEY])
        settings, card = dict(content["settings"]), dict(content["card"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: a safetensors file without maskrcnn's settings in its metadata") from None
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return Checkpoint(validate(ModelSettings, settings, f"{path}: settings"), tensors, card)


def load_strictly(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load `tensors` into `model`; every name and shape must agree.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape.
    """
    own = model.state_dict()
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError(f"weights do not fit the model: {'; '.join(problems[:8])}{more}")
    model.load_state_dict(dict(tensors))
