"""A new semantic network that starts from the weights of another one, or from a body trained on ImageNet."""

from dataclasses import dataclass

import torch

from maskrcnn.checkpoints.imagenet import published_body
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.config import SemanticSettings
from maskrcnn.model.backbone import Backbone
from maskrcnn.model.resnet import ResNet
from maskrcnn.model.state import counts_by_part
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.semantic.unet import UNet


@dataclass(frozen=True)
class SemanticTransfer:
    """What became of every tensor of the new network's body."""

    loaded: tuple[str, ...]
    by_class: tuple[str, ...]
    """Rows of classes of the same name loaded, the others fresh."""
    fresh: tuple[str, ...]
    kept_classes: tuple[str, ...]

    def table(self) -> str:
        """Numbers for every part of the network, and the classes."""
        lines = counts_by_part({"loaded": self.loaded, "by class": self.by_class, "fresh": self.fresh})
        return "\n".join([*lines, f"classes kept: {', '.join(self.kept_classes) or 'none'}"])


def semantic_transfer(network: SemanticNetwork, source: SemanticCheckpoint) -> SemanticTransfer:
    """Load into `network` every entry of the same name and shape; entries with a row for each class row by row.

    Raises:
        ValueError: nothing fits.
    """
    own, theirs = network.body.state_dict(), source.tensors
    known = {name.strip().casefold(): k for k, name in enumerate(source.class_names)}
    rows = [known.get(name.strip().casefold()) for name in network.class_names]
    num, num_theirs = len(network.class_names), len(source.class_names)
    loaded, by_class, fresh = [], [], []
    for name, tensor in own.items():
        value = theirs.get(name)
        is_of_classes = name.removesuffix(".weight").removesuffix(".bias") in _CLASSIFIERS and tensor.shape[:1] == (
            num,
        )
        if value is None or value.shape[1:] != tensor.shape[1:]:
            fresh.append(name)
        elif is_of_classes and len(value) == num_theirs:
            new = [k for k, row in enumerate(rows) if row is not None]
            if new:
                tensor[torch.tensor(new)] = value[torch.tensor([rows[k] for k in new])]
            (by_class if new else fresh).append(name)
        elif value.shape == tensor.shape:
            own[name] = value
            loaded.append(name)
        else:
            fresh.append(name)
    if not loaded:
        raise ValueError(f"nothing of the weights to start from fits the network: they are {source.sentence}")
    network.body.load_state_dict(own)
    kept = tuple(name for name, row in zip(network.class_names, rows, strict=True) if row is not None)
    return SemanticTransfer(tuple(loaded), tuple(by_class), tuple(fresh), kept if by_class else ())


_CLASSIFIERS = ("logits", "classifier.4", "aux_classifier.4", "classifier.low_classifier", "classifier.high_classifier")
"""Modules whose outputs belong to classes: of a U-Net and of torchvision's networks."""


def imagenet_body(settings: SemanticSettings) -> SemanticCheckpoint:
    """The published weights of the body of these settings; everything else is untrained.

    Raises:
        ValueError: a network without such a body, or weights that cannot be had.
    """
    network = build_semantic(settings)
    body = network.body.body if isinstance(network.body, UNet) else network.body
    if isinstance(network.body, UNet) and isinstance(body, Backbone) and body.published is not None:
        published, _ = published_body(body)
        tensors = {f"body.{name}": tensor for name, tensor in published.items()}
        return SemanticCheckpoint(settings, tensors, body.published)
    name = next((n for n in ("resnet50", "resnet101") if getattr(settings.network, "name", "").endswith(n)), None)
    if name is None:
        raise ValueError(
            "init_from imagenet: this network has no body that anybody publishes weights of; a U-Net's "
            "semantic.network.encoder can be one"
        )
    plain = ResNet(50 if name == "resnet50" else 101)
    published, _ = published_body(plain)
    tensors = {f"backbone.{plain.published_name(entry)}": tensor for entry, tensor in published.items()}
    return SemanticCheckpoint(settings, tensors, f"torchvision/{name}")
