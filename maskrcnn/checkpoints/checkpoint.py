"""Weights that travel with how to use them: one safetensors file with the settings and a card in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from maskrcnn.checkpoints.source import damage_in
from maskrcnn.config import ModelSettings, validate
from maskrcnn.files import atomic_path
from maskrcnn.model.build import NoInitialWeights, build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.state import StateFit, compare_state, load_state

METADATA_KEY = "maskrcnn"
"""Of the file's metadata: everything but the tensors, as JSON. One key: safetensors writes several in any order."""
SEMANTIC_KEY = "semantic"
"""In that JSON, in place of the settings of a Mask R-CNN: those of a semantic network."""
SUM_KEY = "sha256"
"""In that JSON: a checksum of all the rest and of the tensors."""
MAX_VALUES = 500_000_000
"""Of a model that is made where the file does not have it; an X152 has 150 million."""
MAX_HEADER_BYTES = 10 << 20


@dataclass(frozen=True)
class Checkpoint:
    """Weights with all that is needed to use them."""

    settings: ModelSettings
    tensors: dict[str, Tensor]
    """State of the model, float32."""
    card: dict[str, Any]
    """How it was made, its licence, what it reached; `imported` says what a file of another package was taken for."""
    untrained: tuple[str, ...] = ()
    """Entries of `tensors` that are still as they were drawn at random: nothing can be found with them."""
    path: Path | None = None
    """The file it was read from."""

    def build(self) -> MaskRCNN:
        """The model with these weights, in eval mode, on the CPU.

        Raises:
            ValueError: tensors are missing, unexpected or of the wrong shape; with a table.
        """
        # Settings of a stranger may ask for any size, so they are compared before memory is taken; drawing weights on
        # the meta device would import torch's compiler, which takes seconds.
        with torch.device("meta"), NoInitialWeights():
            fit = compare_state(build_model(self.settings), self.tensors)
        if not fit.is_exact:
            raise ValueError(f"the weights do not fit the model\n{fit.table()}")
        with NoInitialWeights():
            model = build_model(self.settings)
        load_state(model, self.tensors)
        return model.eval()

    def completed(self) -> tuple["Checkpoint", StateFit]:
        """With fresh random weights, the same at every call, in place of what lacks or has another shape.

        What the model does not know goes. The second value says what fitted.
        """
        with torch.device("meta"):
            num_values = sum(tensor.numel() for tensor in build_model(self.settings).state_dict().values())
        if num_values > MAX_VALUES:
            raise ValueError(f"settings for a model of {num_values} values, at most {MAX_VALUES} are made")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(self.settings)
        fit = load_state(model, self.tensors, is_partial=True)
        untrained = [name for name in model.state_dict() if name not in fit.matched or name in self.untrained]
        return replace(self, tensors=model.state_dict(), untrained=tuple(untrained)), fit


def save_checkpoint(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    settings: ModelSettings,
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
    untrained: tuple[str, ...] = (),
) -> None:
    """Write `tensors` in `dtype` (integer ones as they are) with everything that is needed to use them."""
    content = {"settings": settings.model_dump(mode="json"), "card": dict(card), "untrained": list(untrained)}
    write_own(path, tensors, content, dtype)


def write_own(
    path: str | Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write a file of this package: tensors, and `content` (JSON) in its metadata with a checksum of both."""
    stored = {
        # Vectors stay whole: they are few, and half precision makes 0 or inf of a norm's variance.
        name: (t.to(dtype) if t.is_floating_point() and t.ndim > 1 else t).detach().cpu().contiguous()
        for name, t in tensors.items()
    }
    checksum = checksum_of(stored, json.dumps(content))
    metadata = {METADATA_KEY: json.dumps({**content, SUM_KEY: checksum})}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(stored, metadata))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file that `save_checkpoint` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this package, it is damaged, or it holds numbers that no network has.
    """
    content, tensors = read_own(path)
    if SEMANTIC_KEY in content:
        raise ValueError(f"{path}: a semantic network, which gives a class for every pixel: use SemanticPredictor")
    try:
        settings, card = dict(content["settings"]), dict(content["card"])
        untrained = tuple(content.get("untrained", ()))
        are_entries = all(isinstance(name, str) for name in untrained) and isinstance(content["settings"], dict)
    except (KeyError, TypeError, ValueError):
        are_entries = False
    if not are_entries:
        raise ValueError(f"{path}: a safetensors file without maskrcnn's settings in its metadata") from None
    return Checkpoint(validate(ModelSettings, settings, f"{path}: settings"), tensors, card, untrained, Path(path))


def read_own(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The content and the tensors, float32, that `write_own` was given.

    Raises:
        FileNotFoundError, ValueError: as of `load_checkpoint`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
            raise ValueError(f"{path}: no checkpoint of maskrcnn, or a damaged one (a header of over 10 MB)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path}: no checkpoint of maskrcnn, or a damaged one ({str(error)[:300]})") from None
    try:
        content = dict(json.loads(metadata[METADATA_KEY]))
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path}: a safetensors file without maskrcnn's settings in its metadata") from None
    told = content.pop(SUM_KEY, None)  # files of version 0.1 have none
    if told is not None and told != checksum_of(tensors, json.dumps(content)):
        raise ValueError(f"{path}: damaged: its content is not what its checksum says; copy or download it again")
    damage = damage_in(tensors)
    if damage:
        raise ValueError(f"{path}: {damage}")
    return content, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def checksum_of(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256, in hexadecimal, of names, types, shapes and values, and of the settings and the card.

    About 0.1 s for the 32 MB of the shipped weights.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_own_checkpoint(path: str | Path) -> bool:
    """Whether the file is one that `save_checkpoint` or `save_semantic_weights` wrote, by its content."""
    return _told(path) is not None


def is_semantic(path: str | Path) -> bool:
    """Whether it is one that `save_semantic_weights` wrote; of the file only its head is read."""
    told = _told(path)
    try:
        return told is not None and SEMANTIC_KEY in json.loads(told)
    except (ValueError, TypeError, RecursionError):
        return False


def _told(path: str | Path) -> str | None:
    """What our key of the metadata holds; None where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError):
        return None
