"""Settings of the body: a ResNet, or a classification network of torchvision or timm."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import Channels, Epsilon


class ResNetSettings(Settings):
    """ResNet (arXiv:1512.03385) and ResNeXt, with the variants of published checkpoints."""

    kind: Literal["resnet"] = "resnet"
    """Which body: this one; see `TorchvisionBodySettings` and `TimmBodySettings` for others."""
    depth: Literal[18, 34, 50, 101, 152] = 101
    """Number of weighted layers; 18 and 34 have basic blocks, the others bottlenecks."""
    stem_channels: Channels = 64
    """Channels of the stem and of the first stage's inner convolutions; the whole body scales with it."""
    groups: Channels = 1
    """Groups of the 3x3 convolutions (ResNeXt, arXiv:1611.05431)."""
    width_per_group: Channels = 64
    """Inner channels of a group in the first stage, at 64 stem channels."""
    stride_in_1x1: bool = False
    """Stride of a bottleneck in its first 1x1 convolution (MSRA, matterport) or in its 3x3 (torchvision)."""
    conv_bias: bool = False
    """Whether the convolutions have a bias of their own beside the norm (matterport)."""
    norm: Literal["frozen_bn", "bn", "gn"] = "bn"
    """`frozen_bn`: fixed statistics and affine; `bn`; `gn`: 32 groups (arXiv:1803.08494)."""
    norm_eps: Epsilon = 1e-5
    """Added to the variance; 0 in torchvision's first COCO file, 1e-3 in matterport's."""
    stem_pool: Literal["symmetric", "same"] = "symmetric"
    """Padding of the stem's pooling: one on every side, or TensorFlow's SAME (right and bottom on even sizes)."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 0
    """Parts that are not trained, from the input: 1 the stem, 2 the stem and the first stage, ..."""

    @model_validator(mode="after")
    def _only_bottlenecks(self) -> "ResNetSettings":
        if self.depth < 50 and (self.groups != 1 or self.width_per_group != 64 or self.stride_in_1x1):
            raise ValueError(f"groups, width_per_group and stride_in_1x1 are for depth 50 and more, got {self.depth}")
        return self


class TorchvisionBodySettings(Settings):
    """A classification network of torchvision without its classifier."""

    kind: Literal["torchvision"] = "torchvision"
    name: Literal[
        "convnext_tiny", "convnext_small", "convnext_base", "convnext_large",
        "swin_t", "swin_s", "swin_b", "swin_v2_t", "swin_v2_s", "swin_v2_b",
        "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
        "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
        "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
        "mobilenet_v3_small", "mobilenet_v3_large",
    ]  # fmt: skip
    """ConvNeXt (arXiv:2201.03545), Swin (arXiv:2103.14030, arXiv:2111.09883), EfficientNet (arXiv:1905.11946,
    arXiv:2104.00298), MobileNetV3 (arXiv:1905.02244)."""
    norm: Literal["own", "frozen_bn"] = "own"
    """`own`: the norms as published; `frozen_bn`: its batch norms with fixed statistics and affine, for small
    batches."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 0
    """Parts that are not trained, from the input: 1 the stem, 2 also what follows at its stride 4, ..."""


class TimmBodySettings(Settings):
    """A network of the package timm without its classifier; needs `pip install "maskrcnn[timm]"`."""

    kind: Literal["timm"] = "timm"
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """As `timm.list_models()` has it; it must give maps at strides (not all of timm's do)."""
    norm: Literal["own", "frozen_bn"] = "own"
    """`own`: the norms as published; `frozen_bn`: its batch norms with fixed statistics and affine."""
    frozen_stages: Annotated[int, Field(ge=0, le=8)] = 0
    """Parts that are not trained, from the input: 1 all before the first map, 2 also what the first map needs, ..."""


def _kind_of_body(values: object) -> str:
    """What tells the bodies apart: `kind`, or else a `name`, which torchvision's have and a ResNet has not."""
    if isinstance(values, Settings):
        return f"<{getattr(values, 'kind', '')}>"
    values = values if isinstance(values, dict) else {}
    return f"<{values.get('kind', 'torchvision' if 'name' in values else 'resnet')}>"


BackboneSettings = Annotated[
    Annotated[ResNetSettings, Tag("<resnet>")]
    | Annotated[TorchvisionBodySettings, Tag("<torchvision>")]
    | Annotated[TimmBodySettings, Tag("<timm>")],
    Discriminator(
        _kind_of_body,
        custom_error_type="kind_of_body",
        custom_error_message="expected kind resnet, torchvision or timm",
    ),
]
