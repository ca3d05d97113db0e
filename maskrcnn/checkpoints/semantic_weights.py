"""Weights of semantic networks: recognised by name or content, read as any stranger's file, and built."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.checkpoint import SEMANTIC_KEY, is_own_checkpoint, is_semantic, read_own, write_own
from maskrcnn.checkpoints.manifest import find
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.source import damage_in
from maskrcnn.checkpoints.structure import body_name
from maskrcnn.checkpoints.weights import shipped_weights, weights_path
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.config.semantic import SemanticPixelSettings, TorchvisionSemanticSettings
from maskrcnn.model.build import NoInitialWeights
from maskrcnn.model.state import StateFit, compare_state, load_state
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.semantic.torchvision_networks import (
    AUXILIARY,
    VOC_CLASSES,
    name_of,
    num_classes_of,
)

PUBLISHED_EDGE = 520
"""px of the shorter side at which torchvision's published weights see a picture."""


@dataclass(frozen=True)
class SemanticCheckpoint:
    """Weights of a semantic network with all that is needed to use them."""

    settings: SemanticSettings
    tensors: dict[str, Tensor]
    """State of the network without what only training uses, float32."""
    sentence: str
    """What it is, or what was recognised and what was assumed."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was made and what it reached; empty for other packages' files."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.settings.class_names

    def build(self) -> SemanticNetwork:
        """The network with these weights, in eval mode, on the CPU.

        Raises:
            ValueError: tensors are missing, unexpected or of the wrong shape; with a table.
        """
        fit = self.fit()
        if not fit.is_exact:  # settings of a stranger may ask for any size: before memory is taken
            raise ValueError(f"the weights do not fit the network\n{fit.table()}")
        with NoInitialWeights():
            network = build_semantic(self.settings)
        load_state(network.body, self.tensors)
        return network.eval()

    def fit(self) -> StateFit:
        """How the tensors fit the network of the settings."""
        with torch.device("meta"), NoInitialWeights():
            return compare_state(build_semantic(self.settings).body, self.tensors)


def save_semantic_weights(
    path: str | Path, tensors: Mapping[str, Tensor], settings: SemanticSettings, card: Mapping[str, Any]
) -> None:
    """Write the state of a network's body with everything that is needed to use it."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(AUXILIARY)}
    write_own(path, kept, {SEMANTIC_KEY: settings.model_dump(mode="json"), "card": dict(card)})


def load_own(path: str | Path) -> SemanticCheckpoint:
    """What `save_semantic_weights` wrote.

    Raises:
        ValueError: a file of another kind, a damaged one, or settings that no network has.
    """
    content, tensors = read_own(path)
    card = content.get("card")
    if not isinstance(content.get(SEMANTIC_KEY), dict) or not isinstance(card, dict):
        raise ValueError(f"{path}: a safetensors file without maskrcnn's settings in its metadata")
    settings = validate(SemanticSettings, content[SEMANTIC_KEY], f"{path}: settings")
    checkpoint = SemanticCheckpoint(settings, tensors, describe_network(settings), card)
    try:
        fit = checkpoint.fit()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not fit.is_exact:
        raise ValueError(f"{path}: the weights do not fit their settings\n{fit.table()}")
    return checkpoint


def describe_network(settings: SemanticSettings) -> str:
    """Such as "U-Net, 5 levels from 64 channels, 11 classes"."""
    network = settings.network
    classes = f"{len(settings.class_names)} classes"
    if isinstance(network, TorchvisionSemanticSettings):
        return f"{network.name}, {classes}"
    if network.encoder is None:
        return f"U-Net, {network.levels} levels from {network.channels} channels, {classes}"
    return f"U-Net on {body_name(network.encoder.model_dump())}, {classes}"


def load_semantic(name: str | Path | None, class_names: tuple[str, ...] | None = None) -> SemanticCheckpoint | None:
    """The semantic weights called `name`, of the zoo or a state-dict file; None where they are of another kind.

    Args:
        class_names: of the classes 0..K-1, background included, in place of what is assumed.

    Raises:
        FileNotFoundError: neither a name nor a file.
        ValueError: a file that cannot be read safely, does not fit, or holds numbers that no network has; a download
            that failed.
    """
    if name is None or str(name) in shipped_weights():
        return None
    entry = None if Path(str(name)).is_file() else find(str(name))
    if entry is not None and entry.task != "semantic":
        return None
    path = weights_path(name)
    if is_own_checkpoint(path):
        if not is_semantic(path):
            return None
        own = load_own(path)
        return own if class_names is None else replace(own, settings=_renamed(own.settings, class_names))
    source = read_source(path)
    try:
        network = name_of(source.tensors)
        if network is None:
            return None
        damage = damage_in(source.tensors)
        if damage:
            raise ValueError(damage)
        num_classes = num_classes_of(source.tensors)
        names, assumptions = _class_names(num_classes, class_names)
        tensors = _for_use(source.tensors)
        settings = SemanticSettings(
            network=TorchvisionSemanticSettings(name=network),  # pyright: ignore[reportArgumentType]
            class_names=names,
            background=names[0],
            pixels=SemanticPixelSettings(shortest_edge=PUBLISHED_EDGE),
        )
        known = f"torchvision {network}, {num_classes} classes"
        sentence = f"{known}; assumed: {', '.join((*source.choices, *assumptions))}" if assumptions else known
        checkpoint = SemanticCheckpoint(settings, tensors, sentence)
        fit = checkpoint.fit()
        if not fit.is_exact:
            raise ValueError(f"the weights do not fit {network}\n{fit.table()}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return checkpoint


def _renamed(settings: SemanticSettings, names: tuple[str, ...]) -> SemanticSettings:
    names, _ = _class_names(len(settings.class_names), names)
    name_of_class = dict(zip(settings.class_names, names, strict=True))
    loss = settings.loss.model_copy(
        update={"class_weights": {name_of_class[name]: weight for name, weight in settings.loss.class_weights.items()}}
    )
    background = name_of_class[settings.background] if settings.background is not None else None
    return settings.model_copy(update={"class_names": names, "background": background, "loss": loss})


def _for_use(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not name.startswith(AUXILIARY)
    }


def _class_names(num_classes: int, given: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names, and what was assumed about them."""
    if given is not None:
        if len(given) != num_classes or "" in given or len(set(given)) != num_classes:
            raise ValueError(f"expected {num_classes} different class names, got {', '.join(map(repr, given))}")
        return given, ()
    if num_classes == len(VOC_CLASSES):
        return VOC_CLASSES, ("the 21 classes of PASCAL VOC",)
    return ("background", *(f"class {i}" for i in range(1, num_classes))), ("class 0 is the background",)
