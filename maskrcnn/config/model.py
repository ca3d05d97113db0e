"""Every setting of the network and of the conventions by which published checkpoints differ.

One field for each fact on which the families disagree, so that a checkpoint carries how it must be used.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from maskrcnn.config.backbone import BackboneSettings, ResNetSettings
from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import (
    MAX_CLASSES,
    MAX_SIDE,
    Beta,
    Bins,
    Candidates,
    CategoryId,
    Channels,
    ClassName,
    DeltaWeight,
    Detections,
    Epsilon,
    Fraction,
    Layers,
    LayersOr0,
    Length,
    Level,
    LevelDivisor,
    LongestSide,
    MinLength,
    Ratio,
    Regions,
    Samples,
    Side,
    Zoom,
)
from maskrcnn.config.semantic_head import SemanticHeadSettings
from maskrcnn.untrusted.excerpt import excerpt

Norm = Literal["none", "frozen_bn", "bn", "gn"]
DeltaWeights = tuple[DeltaWeight, DeltaWeight, DeltaWeight, DeltaWeight]


class PixelSettings(Settings):
    """How RGB uint8 pixels become the network's input."""

    order: Literal["rgb", "bgr"] = "rgb"
    """Channel order that the first convolution was trained on."""
    mean: tuple[Level, Level, Level] = (123.675, 116.28, 103.53)
    """Subtracted, 0..255, in `order`; the default is ImageNet's."""
    std: tuple[LevelDivisor, LevelDivisor, LevelDivisor] = (58.395, 57.12, 57.375)
    """Divided by, 0..255, in `order`; (1, 1, 1) where it was absorbed into the first convolution."""


class ResizeSettings(Settings):
    """The size at which the network sees an image."""

    mode: Literal["shortest_edge", "scale", "square"] = "shortest_edge"
    """`shortest_edge`: to 800 within 1333 (arXiv:1612.03144); `scale`: by a fixed factor; `square`: into a square."""
    shortest_edge: Side = 800
    """Target of the shorter side, px."""
    longest_edge: LongestSide = 1333
    """Limit of the longer side, px; in mode `square` the side of the square."""
    scale: Zoom = 1.0
    """Factor of mode `scale`; `longest_edge` still limits."""
    upscale_only: bool = False
    """Never shrink unless `longest_edge` demands it (matterport)."""
    interpolation: Literal["pil", "cv2", "torch", "skimage"] = "pil"
    """`pil`: antialiased, on uint8 (detectron2); `cv2`: bilinear on uint8 (mmdetection); `torch`: bilinear on float
    (torchvision); `skimage`: order 1, blending with 0 outside the photo, truncated to uint8 (matterport)."""
    rounding: Literal["half_up", "floor", "half_even"] = "half_up"
    """How the new height and width become whole numbers."""

    @model_validator(mode="after")
    def _square_in_memory(self) -> "ResizeSettings":
        if self.mode == "shortest_edge" and self.shortest_edge > self.longest_edge:
            raise ValueError(
                f"shortest_edge is at most longest_edge, got {self.shortest_edge} above {self.longest_edge}"
            )
        if self.mode == "square" and self.longest_edge > MAX_SIDE:  # every image is padded to it
            raise ValueError(f"longest_edge is at most {MAX_SIDE} in mode square, got {self.longest_edge}")
        return self


class PadSettings(Settings):
    """How images of a batch come to one size."""

    position: Literal["top_left", "centre"] = "top_left"
    """Where the image lies in the padded frame."""
    divisor: Side = 32
    """The padded height and width are multiples of this."""
    value: Literal["mean", "black"] = "mean"
    """`mean`: 0 after normalisation; `black`: 0 before it."""


class FPNSettings(Settings):
    """Feature pyramid P2..P6 (arXiv:1612.03144)."""

    channels: Channels = 256
    """Channels of every level."""
    norm: Norm = "none"
    """Norm behind each of its convolutions, which then have no bias."""


SizesOfLevel = Annotated[
    Annotated[Length, Tag("<one>")]
    | Annotated[tuple[Length, ...], Field(min_length=1, max_length=32), Tag("<several>")],
    Discriminator(lambda value: "<several>" if isinstance(value, list | tuple) else "<one>"),
]


class AnchorSettings(Settings):
    """Reference boxes of the RPN (arXiv:1506.01497)."""

    sizes: Annotated[tuple[SizesOfLevel, ...], Field(min_length=1, max_length=8)] = (32, 64, 128, 256, 512)
    """Square root of the area, px of the network's input: one, or a list of several, for each level P2..P6 (or the one
    level of `neck` c4 and dc5)."""
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=32)] = (0.5, 1.0, 2.0)
    """Height / width, in the order of the RPN's channels."""
    rounded: bool = False
    """Round the corners to whole pixels (torchvision)."""
    offset: Fraction = 0.0
    """Where in its cell an anchor has its centre, in strides: 0 the first corner, 0.5 the middle (mmdetection 1.x)."""
    stride: Literal["fixed", "from_grid"] = "fixed"
    """`fixed`: 4..64; `from_grid`: padded size // grid size (torchvision; differs on P6 when P5 is odd)."""


class RPNSettings(Settings):
    """Region proposal network (arXiv:1506.01497)."""

    convs: Layers = 1
    """3x3 convolutions before the two outputs."""
    channels: Channels | None = None
    """Their channels; the pyramid's when not given (512 in matterport)."""
    rank_by: Literal["logit", "probability"] = "logit"
    """What orders the candidates; probabilities saturate and tie (torchvision, mmdetection)."""
    delta_weights: DeltaWeights = (1, 1, 1, 1)
    """Divisors of dx, dy, dw, dh."""
    delta_clamp: Literal["max", "both", "none"] = "max"
    """Which side of dw, dh is limited to log(1000 / 16)."""
    pre_nms_top_n: Candidates = 2000
    """Candidates kept before NMS when detecting, per level or per image."""
    pre_nms_scope: Literal["level", "image"] = "level"
    """What `pre_nms_top_n` counts over (matterport: the image)."""
    nms_threshold: Fraction = 0.7
    """IoU above which the weaker proposal goes."""
    nms_scope: Literal["level", "image"] = "level"
    """Whether proposals of different levels suppress one another (matterport)."""
    post_nms_top_n: Candidates = 2000
    """Proposals kept for an image when detecting."""
    min_size: MinLength = 0.0
    """Proposals with a side below this go, px; those without any area go anyway."""
    clip_to: Literal["image", "padded"] = "image"
    """Frame that proposals are clipped to (matterport: the padded square)."""
    zero_padded: bool = False
    """Fill up to `post_nms_top_n` with empty boxes in the frame's corner when detecting, which then take part
    (matterport)."""
    train_pre_nms_top_n: Candidates = 2000
    """As `pre_nms_top_n`, in training."""
    train_post_nms_top_n: Candidates = 1000
    """As `post_nms_top_n`, in training."""
    foreground_iou: Fraction = 0.7
    """Anchors of at least this IoU with an object are positive."""
    background_iou: Fraction = 0.3
    """Anchors below this IoU with every object are negative."""
    anchors_per_image: Candidates = 256
    """Anchors sampled for the loss."""
    positive_fraction: Fraction = 0.5
    """At most this part of them is positive."""
    smooth_l1_beta: Beta = 1 / 9
    """Where the box loss turns from quadratic to linear; 0 is L1."""

    @model_validator(mode="after")
    def _background_below_foreground(self) -> "RPNSettings":
        if self.background_iou > self.foreground_iou:
            raise ValueError(
                f"background_iou is at most foreground_iou, got {self.background_iou:g} above {self.foreground_iou:g}"
            )
        return self


class RoISettings(Settings):
    """How a region is read from the pyramid, and which regions train the heads."""

    operation: Literal["roi_align", "crop_and_resize"] = "roi_align"
    """RoIAlign (arXiv:1703.06870), or TensorFlow's one sample a bin with aligned corners (matterport)."""
    aligned: bool = True
    """Shift by half a pixel, so that pixel centres lie at +0.5 (detectron2's second version)."""
    sampling_ratio: Samples = 2
    """Samples along each side of a bin; 0 means as many as the bin has feature cells (detectron2, mmdetection)."""
    box_resolution: Bins = 7
    """Bins along a side for the box head."""
    mask_resolution: Bins = 14
    """Bins along a side for the mask head; its logits have twice as many."""
    level_rule: Literal["floor", "round"] = "floor"
    """Rounding of 4 + log2(sqrt(area) / 224); `round` is half to even (matterport)."""
    level_eps: Epsilon = 1e-8
    """Keeps exact powers of two on the upper level."""
    level_eps_inside_log: bool = True
    """Whether `level_eps` is added to the ratio (detectron2) or to its logarithm (torchvision)."""
    canonical_size: Length = 224
    """Square root of the area of a region that is read from P4, px (arXiv:1612.03144)."""
    foreground_iou: Fraction = 0.5
    """Proposals of at least this IoU with an object are positive."""
    proposals_per_image: Regions = 512
    """Regions sampled for the loss."""
    positive_fraction: Fraction = 0.25
    """At most this part of them is positive."""


class BoxHeadSettings(Settings):
    """From a 7x7 region to class logits and deltas."""

    convs: LayersOr0 = 0
    """3x3 convolutions before the fully connected layers (4 in torchvision's v2 and detectron2's LSJ models)."""
    conv_channels: Channels = 256
    """Their channels."""
    conv_norm: Norm = "none"
    """Their norm; convolutions with a norm have no bias."""
    fcs: LayersOr0 = 2
    """Fully connected layers; with none the mean over the region is read (C4)."""
    fc_channels: Channels = 1024
    """Their width."""
    fc_norm: Literal["none", "frozen_bn", "bn"] = "none"
    """Batch norm behind each of them (matterport)."""
    norm_eps: Epsilon = 1e-5
    """Added to the variance in its norms; where it is not given, a ResNet's `norm_eps` that is."""
    delta_weights: DeltaWeights = (10, 10, 5, 5)
    """Divisors of dx, dy, dw, dh."""
    delta_clamp: Literal["max", "both", "none"] = "max"
    """Which side of dw, dh is limited to log(1000 / 16)."""
    class_agnostic: bool = False
    """One set of deltas for all classes."""
    smooth_l1_beta: Beta = 0.0
    """Where the box loss turns from quadratic to linear; 0 is L1."""


class MaskHeadSettings(Settings):
    """From a 14x14 region to 28x28 logits for each class (arXiv:1703.06870)."""

    convs: LayersOr0 = 4
    """3x3 convolutions before the deconvolution."""
    channels: Channels = 256
    """Channels of the convolutions and of the deconvolution."""
    norm: Norm = "none"
    """Norm behind each convolution, which then has no bias."""
    norm_eps: Epsilon = 1e-5
    """Added to the variance in its norms; where it is not given, a ResNet's `norm_eps` that is."""
    class_agnostic: bool = False
    """One mask for all classes."""
    paste: Literal["exact", "expand_to_integer", "integer"] = "exact"
    """How a mask comes back into the image: at the exact box (detectron2, mmdetection, ours), in a box grown by
    30 / 28 and truncated (torchvision), in a rounded box (matterport)."""


class DetectionSettings(Settings):
    """What becomes of the scored regions."""

    score_threshold: Fraction = 0.5
    """Recommended threshold of the score; evaluation goes lower where AP needs it. The families publish 0.05."""
    score_inclusive: bool = False
    """Whether a score equal to the threshold passes (matterport)."""
    nms_threshold: Fraction = 0.5
    """IoU within a class above which the weaker detection goes."""
    exclusive_classes: tuple[tuple[ClassName, ...], ...] | Literal["all"] = ()
    """Groups of classes of which a thing can only be one: they suppress one another in NMS as one class; or `all`."""
    max_detections: Detections = 1000
    """Detections kept for an image."""
    classes_per_roi: Literal["all", "best"] = "all"
    """Whether one region may give several classes, or only its best one (matterport)."""
    min_size: MinLength = 0.0
    """Detections with a side below this go before NMS, px of the network's input; empty ones go at the end anyway."""
    box_edges: Literal["continuous", "inclusive"] = "continuous"
    """Whether widths are x1 - x0, or boxes are coded on the pixels' inclusive indices (matterport)."""


class ModelSettings(Settings):
    """Everything a checkpoint needs beside its tensors. The defaults are ResNet-101-FPN with the paper's sizes."""

    family: str = "maskrcnn"
    """The preset that the settings started from."""
    class_names: Annotated[tuple[ClassName, ...], Field(max_length=MAX_CLASSES)] = ("object",)
    """Name of each label 0..K-1; the background is not one of them."""
    category_ids: Annotated[tuple[CategoryId, ...], Field(max_length=MAX_CLASSES)] = ()
    """The data set's id of each label, for exports; 1..K when empty."""
    pixels: PixelSettings = PixelSettings()
    resize: ResizeSettings = ResizeSettings()
    pad: PadSettings = PadSettings()
    backbone: BackboneSettings = ResNetSettings()
    """The body: a ResNet, or with `name` a network of torchvision, or with `kind: timm` one of timm."""
    neck: Literal["fpn", "c4", "dc5"] = "fpn"
    """What the heads read (arXiv:1703.06870, section 3.1): `fpn`: a pyramid; `c4`: a ResNet's fourth stage, the fifth
    works on each region; `dc5`: its fifth stage, dilated to the stride of the fourth."""
    fpn: FPNSettings = FPNSettings()
    anchors: Annotated[AnchorSettings, Field(validate_default=True)] = AnchorSettings()
    rpn: RPNSettings = RPNSettings()
    roi: RoISettings = RoISettings()
    box_head: BoxHeadSettings = BoxHeadSettings()
    mask_head: MaskHeadSettings = MaskHeadSettings()
    semantic_head: SemanticHeadSettings | None = None
    """A branch for stuff beside the objects, panoptic FPN; `{}` takes its defaults."""
    detection: DetectionSettings = DetectionSettings()

    @model_validator(mode="before")
    @classmethod
    def _eps_of_heads(cls, values: Any) -> Any:
        """Settings from before heads had an eps of their own mean the body's."""
        if not isinstance(values, dict) or not isinstance(values.get("backbone"), dict):
            return values
        eps = values["backbone"].get("norm_eps")
        if eps is None:
            return values
        heads = {name: values.get(name) or {} for name in ("box_head", "mask_head")}
        return values | {name: {"norm_eps": eps, **head} for name, head in heads.items() if isinstance(head, dict)}

    @model_validator(mode="after")
    def _body_fits(self) -> "ModelSettings":
        if self.neck != "fpn" and not (isinstance(self.backbone, ResNetSettings) and self.backbone.depth >= 50):
            raise ValueError(f"neck {self.neck} needs a ResNet of depth 50 or more as the backbone")
        if self.semantic_head is not None and self.neck != "fpn":
            raise ValueError(f"semantic_head reads a feature pyramid, neck {self.neck} has none")
        return self

    @field_validator("anchors")
    @classmethod
    def _sizes_for_every_level(cls, anchors: AnchorSettings, info: ValidationInfo) -> AnchorSettings:
        body, neck, num = info.data.get("backbone"), info.data.get("neck"), len(anchors.sizes)
        if body is None or neck is None or body.kind == "timm":  # whose number of maps is known when it is built
            return anchors
        if neck == "fpn" and num != 5:
            raise ValueError(f"sizes needs 5 entries, one for each level P2..P6, got {num}")
        if neck != "fpn" and num != 1:
            raise ValueError(f"sizes needs one list for the one level of neck {neck}, as [[32, 64, 128]], got {num}")
        return anchors

    @model_validator(mode="after")
    def _classes(self) -> "ModelSettings":
        if not self.class_names or len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"class_names must be one or more different names, got {excerpt(self.class_names)}")
        if self.category_ids and len(self.category_ids) != len(self.class_names):
            raise ValueError(f"{len(self.category_ids)} category_ids for {len(self.class_names)} class_names")
        return self

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return len(self.class_names)
