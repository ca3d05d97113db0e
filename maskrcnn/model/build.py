"""From settings to a model: the one place that knows both the settings and the modules."""

from dataclasses import replace
from typing import Any

from torch.overrides import TorchFunctionMode

from maskrcnn.config import ModelSettings
from maskrcnn.config.backbone import BackboneSettings, TimmBodySettings, TorchvisionBodySettings
from maskrcnn.model.adapted_body import TimmBody, TorchvisionBody
from maskrcnn.model.backbone import Backbone
from maskrcnn.model.box_head import BoxHead, DetectionRules
from maskrcnn.model.fpn import FPN, SingleLevel
from maskrcnn.model.mask_head import MaskHead
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.preprocess import Normalise, Resize
from maskrcnn.model.resnet import ConvStyle, ResNet
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.model.roi_targets import SamplingRules
from maskrcnn.model.rpn import RPN, AnchorRules, Anchors, ProposalRules
from maskrcnn.model.semantic_head import SemanticHead
from maskrcnn.untrusted.spelling import did_you_mean


def build_model(settings: ModelSettings) -> MaskRCNN:
    """Mask R-CNN with fresh random weights, in training mode, on the CPU.

    Raises:
        ValueError: a body that cannot be built, or anchors for other levels than it has.
    """
    rpn, roi, box, mask = settings.rpn, settings.roi, settings.box_head, settings.mask_head
    pixels, pad = settings.pixels, settings.pad
    edge = 1.0 if settings.detection.box_edges == "inclusive" else 0.0
    backbone = build_backbone(settings.backbone, dilates_last=settings.neck == "dc5")
    stage = backbone.pop_stage() if isinstance(backbone, ResNet) and settings.neck == "c4" else None
    if settings.neck == "fpn":
        neck = FPN(backbone.channels, settings.fpn.channels, settings.fpn.norm, backbone.strides)
    else:
        neck = SingleLevel(backbone.channels, backbone.strides)
    if len(settings.anchors.sizes) != len(neck.strides):
        strides = ", ".join(map(str, neck.strides))
        raise ValueError(f"anchors.sizes has {len(settings.anchors.sizes)} entries for the levels of strides {strides}")
    proposal_rules = ProposalRules(
        pre_nms_top_n=rpn.pre_nms_top_n,
        post_nms_top_n=rpn.post_nms_top_n,
        rank_by=rpn.rank_by,
        pre_nms_scope=rpn.pre_nms_scope,
        nms_threshold=rpn.nms_threshold,
        nms_scope=rpn.nms_scope,
        min_size=rpn.min_size,
        clip_to=rpn.clip_to,
        zero_padded=rpn.zero_padded,
    )
    pooler = RoIPooler(
        roi.operation,
        roi.aligned,
        roi.sampling_ratio,
        roi.level_rule,
        roi.level_eps,
        roi.level_eps_inside_log,
        roi.canonical_size,
        strides=neck.roi_strides,
        stage=stage,
        stage_stride=2 if stage is not None else 1,
    )
    region_channels = 2 * neck.channels if stage is not None else neck.channels
    return MaskRCNN(
        resize=Resize(**settings.resize.model_dump()),
        normalise=Normalise(pixels.order, pixels.mean, pixels.std, pad.position, pad.divisor, pad.value),
        backbone=backbone,
        fpn=neck,
        rpn=RPN(
            neck.channels,
            Anchors(**settings.anchors.model_dump(), strides=neck.strides),
            convs=rpn.convs,
            channels=rpn.channels,
            delta_weights=rpn.delta_weights,
            delta_clamp=rpn.delta_clamp,
            rules=proposal_rules,
            train_rules=replace(
                proposal_rules,
                pre_nms_top_n=rpn.train_pre_nms_top_n,
                post_nms_top_n=rpn.train_post_nms_top_n,
                zero_padded=False,
            ),
            anchor_rules=AnchorRules(
                rpn.foreground_iou, rpn.background_iou, rpn.anchors_per_image, rpn.positive_fraction, rpn.smooth_l1_beta
            ),
            edge=edge,
        ),
        box_head=BoxHead(
            region_channels,
            settings.num_classes,
            pooler=pooler,
            resolution=roi.box_resolution,
            convs=box.convs,
            conv_channels=box.conv_channels,
            conv_norm=box.conv_norm,
            fcs=box.fcs,
            fc_channels=box.fc_channels,
            fc_norm=box.fc_norm,
            norm_eps=box.norm_eps,
            class_agnostic=box.class_agnostic,
            delta_weights=box.delta_weights,
            delta_clamp=box.delta_clamp,
            smooth_l1_beta=box.smooth_l1_beta,
            sampling=SamplingRules(roi.foreground_iou, roi.proposals_per_image, roi.positive_fraction),
            rules=DetectionRules(
                **settings.detection.model_dump(exclude={"box_edges", "exclusive_classes"}),
                nms_groups=_nms_groups(settings),
            ),
            edge=edge,
            rounds_boxes=mask.paste == "integer",
        ),
        heads={
            "mask_head": MaskHead(
                region_channels,
                settings.num_classes,
                pooler=pooler,
                resolution=roi.mask_resolution,
                convs=mask.convs,
                channels=mask.channels,
                norm=mask.norm,
                norm_eps=mask.norm_eps,
                class_agnostic=mask.class_agnostic,
                paste_mode=mask.paste,
                edge=edge,
            ),
            **_semantic_head(settings, neck),
        },
        class_names=settings.class_names,
    )


def _semantic_head(settings: ModelSettings, neck: FPN | SingleLevel) -> dict[str, SemanticHead]:
    branch, coarsest = settings.semantic_head, neck.roi_strides[-1]
    if branch is None:
        return {}
    if settings.pad.divisor % coarsest:  # then every level is a whole number of times as large as the next
        raise ValueError(
            f"semantic_head needs a pad.divisor that is a multiple of {coarsest}, the coarsest stride it reads, "
            f"got {settings.pad.divisor}"
        )
    head = SemanticHead(
        neck.channels,
        len(branch.class_names),
        strides=neck.roi_strides,
        channels=branch.channels,
        norm=branch.norm,
        weight=branch.loss_weight,
    )
    return {"semantic_head": head}


def build_backbone(body: BackboneSettings, *, dilates_last: bool = False) -> Backbone:
    """A body with fresh random weights; `dilates_last` is for ResNets alone, see there."""
    if isinstance(body, TorchvisionBodySettings):
        return TorchvisionBody(body.name, norm=body.norm, frozen_stages=body.frozen_stages)
    if isinstance(body, TimmBodySettings):
        return TimmBody(body.name, norm=body.norm, frozen_stages=body.frozen_stages)
    return ResNet(
        body.depth,
        style=ConvStyle(body.norm, body.norm_eps, body.conv_bias),
        stem_channels=body.stem_channels,
        groups=body.groups,
        width_per_group=body.width_per_group,
        stride_in_1x1=body.stride_in_1x1,
        stem_pool=body.stem_pool,
        frozen_stages=body.frozen_stages,
        dilates_last=dilates_last,
    )


class NoInitialWeights(TorchFunctionMode):
    """The context for a model whose weights are loaded next: none are drawn at random, the memory stays as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return None  # of torch.nn.init or of the tensor; nobody uses what they give
        return func(*args, **(kwargs or {}))


def _nms_groups(settings: ModelSettings) -> tuple[int, ...] | None:
    """For each label the first label of its group of exclusive classes."""
    names, exclusive = settings.class_names, settings.detection.exclusive_classes
    if exclusive == "all":
        return (0,) * len(names)
    groups = list(range(len(names)))
    for group in exclusive:
        for name in group:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ValueError(f"detection.exclusive_classes: no class {name!r}{hint}; known: {', '.join(names)}")
            groups[names.index(name)] = names.index(group[0])
    return tuple(groups) if exclusive else None
