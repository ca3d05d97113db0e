"""From settings to a semantic network: U-Net on its own encoder or on a body, or one of torchvision."""

from torch import nn

from maskrcnn.config.semantic import SemanticLossSettings, SemanticSettings, TorchvisionSemanticSettings
from maskrcnn.model.build import build_backbone
from maskrcnn.semantic.losses import NAMES, LossRules
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.semantic.torchvision_networks import build_torchvision
from maskrcnn.semantic.unet import PlainEncoder, UNet


def build_semantic(settings: SemanticSettings, *, for_training: bool = False) -> SemanticNetwork:
    """The network with fresh random weights, in training mode, on the CPU.

    `for_training` adds what only training has: torchvision's second classifier.

    Raises:
        ValueError: a body that cannot be built, or that a U-Net cannot join; a weight for a class that there is not.
    """
    network, names = settings.network, settings.class_names
    auxiliary = 0.0
    if isinstance(network, TorchvisionSemanticSettings):
        has_auxiliary = for_training and network.auxiliary_weight > 0 and not network.name.startswith("lraspp")
        auxiliary = network.auxiliary_weight if has_auxiliary else 0.0
        body: nn.Module = build_torchvision(network.name, len(names), has_auxiliary=has_auxiliary)
    else:
        if network.encoder is None:
            encoder: nn.Module = PlainEncoder(network.channels, network.levels, network.norm)
        else:
            encoder = build_backbone(network.encoder)
        body = UNet(encoder, len(names), channels=network.channels, norm=network.norm, dropout=network.dropout)
    return SemanticNetwork(
        body,
        names,
        preprocess=Preprocess(**settings.pixels.model_dump()),
        background=names.index(settings.background) if settings.background is not None else None,
        rules=_rules(settings.loss, names),
        auxiliary_weight=auxiliary,
    )


def _rules(loss: SemanticLossSettings, names: tuple[str, ...]) -> LossRules:
    unknown = [name for name in loss.class_weights if name not in names]
    if unknown:
        raise ValueError(f"loss.class_weights: no class {unknown[0]!r}; there are {', '.join(names)}")
    weights = tuple(loss.class_weights.get(name, 1.0) for name in names) if loss.class_weights else None
    return LossRules(tuple((name, getattr(loss, name)) for name in NAMES), loss.focal_gamma, weights)
