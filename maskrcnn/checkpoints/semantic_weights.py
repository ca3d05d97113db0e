"""Weights of semantic networks: recognised by name or content, read as any stranger's file, and built."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maskrcnn.checkpoints.checkpoint import is_own_checkpoint
from maskrcnn.checkpoints.manifest import find
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.source import damage_in
from maskrcnn.checkpoints.weights import shipped_weights, weights_path
from maskrcnn.model.state import compare_state, load_state
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.semantic.torchvision_networks import (
    AUXILIARY,
    VOC_CLASSES,
    build_torchvision,
    name_of,
    num_classes_of,
)


@dataclass(frozen=True)
class SemanticCheckpoint:
    """Weights of a semantic network with all that is needed to use them."""

    network: str
    """As torchvision calls it: "deeplabv3_resnet50"."""
    class_names: tuple[str, ...]
    tensors: dict[str, Tensor]
    """State of the network without what only training uses, float32."""
    sentence: str
    """What was recognised, and what was assumed."""
    background: int | None = 0

    def build(self, preprocess: Preprocess | None = None) -> SemanticNetwork:
        """The network with these weights, in eval mode, on the CPU; `preprocess` in place of the published one."""
        body = build_torchvision(self.network, len(self.class_names))
        load_state(body, self.tensors)
        network = SemanticNetwork(body, self.class_names, preprocess=preprocess, background=self.background)
        return network.eval()


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
        return None
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
        with torch.device("meta"):
            fit = compare_state(build_torchvision(network, num_classes), tensors)
        if not fit.is_exact:
            raise ValueError(f"the weights do not fit {network}\n{fit.table()}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    known = f"torchvision {network}, {num_classes} classes"
    sentence = f"{known}; assumed: {', '.join((*source.choices, *assumptions))}" if assumptions else known
    return SemanticCheckpoint(network, names, tensors, sentence)


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
