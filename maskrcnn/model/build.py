"""The one place that knows both the settings and the modules."""

from dataclasses import replace
from typing import Any

from torch.overrides import TorchFunctionMode

from maskrcnn.config import ModelSettings
from maskrcnn.model.anchors import Anchors
from maskrcnn.model.box_head import BoxHead
from maskrcnn.model.detections import DetectionRules
from maskrcnn.model.fpn import FPN
from maskrcnn.model.mask_head import MaskHead
from maskrcnn.model.mask_rcnn import MaskRCNN, TrainingRules
from maskrcnn.model.preprocess import Normalise, Resize
from maskrcnn.model.resnet import ConvStyle, ResNet
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.model.rpn import RPN, ProposalRules


def build_model(settings: ModelSettings) -> MaskRCNN:
    """Mask R-CNN with fresh random weights, in training mode, on the CPU."""
    body, rpn, roi, box, mask = settings.backbone, settings.rpn, settings.roi, settings.box_head, settings.mask_head
    pixels, pad, detection = settings.pixels, settings.pad, settings.detection
    backbone = ResNet(
        body.depth,
        style=ConvStyle(body.norm, body.norm_eps, body.conv_bias),
        stem_channels=body.stem_channels,
        groups=body.groups,
        width_per_group=body.width_per_group,
        stride_in_1x1=body.stride_in_1x1,
        stem_pool=body.stem_pool,
        frozen_stages=body.frozen_stages,
    )
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
    return MaskRCNN(
        resize=Resize(**settings.resize.model_dump()),
        normalise=Normalise(pixels.order, pixels.mean, pixels.std, pad.position, pad.divisor, pad.value),
        backbone=backbone,
        fpn=FPN(backbone.out_channels, settings.fpn.channels, settings.fpn.norm),
        anchors=Anchors(**settings.anchors.model_dump()),
        rpn=RPN(
            settings.fpn.channels,
            len(settings.anchors.ratios),
            convs=rpn.convs,
            channels=rpn.channels,
            delta_weights=rpn.delta_weights,
            delta_clamp=rpn.delta_clamp,
        ),
        pooler=RoIPooler(
            roi.operation,
            roi.aligned,
            roi.sampling_ratio,
            roi.level_rule,
            roi.level_eps,
            roi.level_eps_inside_log,
            roi.canonical_size,
        ),
        box_head=BoxHead(
            settings.fpn.channels,
            settings.num_classes,
            resolution=roi.box_resolution,
            convs=box.convs,
            conv_channels=box.conv_channels,
            conv_norm=box.conv_norm,
            fcs=box.fcs,
            fc_channels=box.fc_channels,
            fc_norm=box.fc_norm,
            norm_eps=body.norm_eps,
            class_agnostic=box.class_agnostic,
        ),
        mask_head=MaskHead(
            settings.fpn.channels,
            settings.num_classes,
            convs=mask.convs,
            channels=mask.channels,
            norm=mask.norm,
            norm_eps=body.norm_eps,
            class_agnostic=mask.class_agnostic,
        ),
        class_names=settings.class_names,
        proposal_rules=proposal_rules,
        detection_rules=DetectionRules(
            **detection.model_dump(exclude={"box_edges", "exclusive_classes"}), nms_groups=_nms_groups(settings)
        ),
        training_rules=_training_rules(settings, proposal_rules),
        box_resolution=roi.box_resolution,
        mask_resolution=roi.mask_resolution,
        box_delta_weights=box.delta_weights,
        box_delta_clamp=box.delta_clamp,
        box_edges=detection.box_edges,
        paste_mode=mask.paste,
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
                raise ValueError(f"detection.exclusive_classes: no class {name!r}; known: {', '.join(names)}")
            groups[names.index(name)] = names.index(group[0])
    return tuple(groups) if exclusive else None


def _training_rules(settings: ModelSettings, proposal_rules: ProposalRules) -> TrainingRules:
    rpn, roi = settings.rpn, settings.roi
    return TrainingRules(
        proposals=replace(
            proposal_rules,
            pre_nms_top_n=rpn.train_pre_nms_top_n,
            post_nms_top_n=rpn.train_post_nms_top_n,
            zero_padded=False,
        ),
        anchor_foreground_iou=rpn.foreground_iou,
        anchor_background_iou=rpn.background_iou,
        anchors_per_image=rpn.anchors_per_image,
        anchor_positive_fraction=rpn.positive_fraction,
        rpn_smooth_l1_beta=rpn.smooth_l1_beta,
        roi_foreground_iou=roi.foreground_iou,
        rois_per_image=roi.proposals_per_image,
        roi_positive_fraction=roi.positive_fraction,
        box_smooth_l1_beta=settings.box_head.smooth_l1_beta,
    )
