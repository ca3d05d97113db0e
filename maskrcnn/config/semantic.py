"""Settings of a network that gives a class for every pixel: U-Net, or torchvision's FCN, DeepLabV3 and LR-ASPP."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from maskrcnn.config.backbone import BackboneSettings
from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import Channels, ClassName, FractionBelow1, Side, Zoom
from maskrcnn.untrusted.excerpt import excerpt

MAX_CLASSES = 255
"""With the background; a label is a byte, and 255 is that of no class."""
LossWeight = Annotated[float, Field(ge=0, le=100)]  # 0 leaves a loss out
ClassWeight = Annotated[float, Field(ge=0, le=1000)]  # median frequency gives rare classes of CamVid up to 30
Gamma = Annotated[float, Field(ge=0, le=10)]  # 0.5 to 5 in arXiv:1708.02002
ChannelLevel = Annotated[float, Field(ge=0, le=1)]
ChannelSpread = Annotated[float, Field(ge=0.001, le=10)]
EncoderLevels = Annotated[int, Field(ge=2, le=8)]  # 8 halve 2048 px to 16


class UNetSettings(Settings):
    """U-Net (arXiv:1505.04597), with padded convolutions. The defaults are the paper's; tutorials take 8 and 6."""

    kind: Literal["unet"] = "unet"
    channels: Channels = 64
    """Of the level at the resolution of the input; twice as many at every coarser one."""
    levels: EncoderLevels = 5
    """Of the plain encoder, with the first; its pictures are halved once less."""
    norm: Literal["none", "bn"] = "bn"
    """Behind every convolution but the last; the paper has none."""
    dropout: FractionBelow1 = 0.0
    """Part of the channels of the coarsest map that are dropped in training (section 3.1 of the paper)."""
    encoder: BackboneSettings | None = None
    """A body in place of the plain encoder: a ResNet, or one of torchvision or timm."""


class TorchvisionSemanticSettings(Settings):
    """A semantic network of torchvision."""

    kind: Literal["torchvision"] = "torchvision"
    name: Literal[
        "fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101", "lraspp_mobilenet_v3_large"
    ]  # fmt: skip
    """As torchvision calls it."""
    auxiliary_weight: LossWeight = 0.5
    """Of the losses of the classifier on the third stage, which only training has; LR-ASPP has none, whatever this
    is. 0.5 in torchvision's reference training."""


def _kind_of_network(values: object) -> str:
    """What tells the networks apart: `kind`, or else a `name`, which torchvision's have and a U-Net has not."""
    if isinstance(values, Settings):
        return f"<{getattr(values, 'kind', '')}>"
    values = values if isinstance(values, dict) else {}
    return f"<{values.get('kind', 'torchvision' if 'name' in values else 'unet')}>"


NetworkSettings = Annotated[
    Annotated[UNetSettings, Tag("<unet>")] | Annotated[TorchvisionSemanticSettings, Tag("<torchvision>")],
    Discriminator(
        _kind_of_network,
        custom_error_type="kind_of_network",
        custom_error_message="expected kind unet or torchvision",
    ),
]


class SemanticPixelSettings(Settings):
    """How RGB pixels become the input: as torchvision's published weights want them, unless something is said."""

    shortest_edge: Side | None = None
    """px of the shorter side, whatever the picture has; without it the picture is scaled by `scale`."""
    scale: Zoom = 1.0
    """Factor where there is no `shortest_edge`."""
    mean: tuple[ChannelLevel, ChannelLevel, ChannelLevel] = (0.485, 0.456, 0.406)
    """RGB, of pixels in 0..1."""
    std: tuple[ChannelSpread, ChannelSpread, ChannelSpread] = (0.229, 0.224, 0.225)


class SemanticLossSettings(Settings):
    """The sum that is learnt by: each loss times its weight. Pixels of no class count in none of them."""

    cross_entropy: LossWeight = 1.0
    binary_cross_entropy: LossWeight = 0.0
    """Every class against the rest, by its own sigmoid."""
    dice: LossWeight = 0.0
    """1 - Dice of each class in an image (arXiv:1606.04797)."""
    focal: LossWeight = 0.0
    """Cross entropy that sure pixels have little part in (arXiv:1708.02002)."""
    focal_gamma: Gamma = 2.0
    class_weights: Annotated[dict[ClassName, ClassWeight], Field(max_length=MAX_CLASSES)] = Field(default_factory=dict)
    """By name of the class; 1 for those that are not named."""

    @model_validator(mode="after")
    def _any(self) -> "SemanticLossSettings":
        if not any((self.cross_entropy, self.binary_cross_entropy, self.dice, self.focal)):
            raise ValueError("expected a loss with a weight above 0, got none")
        return self


class SemanticSettings(Settings):
    """Everything that weights of a semantic network need beside their tensors."""

    network: NetworkSettings = UNetSettings()
    """A U-Net, or with `name` a network of torchvision."""
    class_names: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=MAX_CLASSES)] = (
        "background",
        "object",
    )
    """Of the classes 0, 1, ...; a training takes them from its data."""
    background: ClassName | None = None
    """The class that stands for nothing in particular, if there is one."""
    pixels: SemanticPixelSettings = SemanticPixelSettings()
    loss: SemanticLossSettings = SemanticLossSettings()

    @model_validator(mode="after")
    def _classes(self) -> "SemanticSettings":
        names = self.class_names
        if len(set(names)) != len(names):
            raise ValueError(f"class_names must be different names, got {excerpt(names)}")
        if self.background is not None and self.background not in names:
            raise ValueError(f"background is one of class_names, got {excerpt(self.background)}")
        return self
