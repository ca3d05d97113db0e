"""Our weights for mmdetection 3.x: its names, and the config that builds the model, in the file and beside it."""

from collections.abc import Sequence
from pprint import pformat
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.families.mmdetection import RENAMED_MODULES
from maskrcnn.checkpoints.families.mmdetection_keys import FINEST_PER_CANONICAL, UNLIMITED
from maskrcnn.checkpoints.source import Exported, names_there
from maskrcnn.config import ModelSettings
from maskrcnn.model.fpn import STRIDES


def export(checkpoint: Checkpoint, stem: str) -> Exported:
    """The model's state under mmdetection's names; layouts and the order of the classes are those of 2.x and later.

    Raises:
        ValueError: mmdetection has no such network.
    """
    settings = checkpoint.settings
    if settings.semantic_head is not None:
        raise ValueError("a semantic branch cannot be written for mmdetection")
    names = names_there(checkpoint.tensors, RENAMED_MODULES)
    state: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        state[names[name]] = tensor
        if name.endswith(".running_var"):  # all its batch norms count, those that are fixed, too
            state.setdefault(names[name].replace("running_var", "num_batches_tracked"), torch.tensor(0))
    config = "\n".join(
        f"{name} = {pformat(value, width=110, sort_dicts=False)}" for name, value in _config(settings).items()
    )
    meta = {"cfg": config, "dataset_meta": {"classes": list(settings.class_names)}, "mmdet_version": "3.3.0"}
    how = "\n".join(
        (
            "from mmdet.apis import init_detector",
            f'model = init_detector("{stem}.py", "{stem}.pth")',
        )
    )
    preset = "mmdet_caffe" if getattr(settings.backbone, "stride_in_1x1", False) else "mmdet_pytorch"
    return Exported({"meta": meta, "state_dict": state}, {f"{stem}.py": f"{config}\n"}, how, preset)


def _norm(name: str) -> dict[str, Any]:
    """What a part with such a norm has in its config."""
    if name == "none":
        return {}
    kind = {"type": "GN", "num_groups": 32} if name == "gn" else {"type": "BN"}
    return {"norm_cfg": {**kind, "requires_grad": True}}


def _sizes(sizes: Sequence[Any]) -> dict[str, Any]:
    """Of anchors: a multiple of the strides, as is usual, or one by one."""
    factors = {size / stride for size, stride in zip(sizes, STRIDES, strict=True) if not isinstance(size, tuple)}
    return {"scales": list(factors)} if len(factors) == 1 else {"base_sizes": list(sizes), "scales": [1.0]}


def _config(settings: ModelSettings) -> dict[str, Any]:
    rpn, roi, box, mask, found = settings.rpn, settings.roi, settings.box_head, settings.mask_head, settings.detection
    body: Any = settings.backbone
    channels, num_classes = settings.fpn.channels, settings.num_classes
    style = "caffe" if body.stride_in_1x1 else "pytorch"
    norm = _norm(body.norm)
    if body.norm != "gn":
        norm["norm_cfg"]["eps"] = body.norm_eps
    backbone = {
        "type": "ResNet" if body.groups == 1 else "ResNeXt",
        "depth": body.depth,
        **({"base_channels": body.stem_channels} if body.stem_channels != 64 else {}),
        **({"groups": body.groups, "base_width": body.width_per_group} if body.groups > 1 else {}),
        "num_stages": 4,
        "out_indices": [0, 1, 2, 3],
        "frozen_stages": 1,
        **norm,
        "norm_eval": body.norm != "bn",
        "style": style,
    }
    widths = [body.stem_channels * 2**i * (4 if body.depth >= 50 else 1) for i in range(4)]

    def coder(weights: tuple[float, ...]) -> dict[str, Any]:
        stds = [1 / weight for weight in weights]
        return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": stds}

    def extractor(side: int) -> dict[str, Any]:
        layer = {"type": "RoIAlign", "output_size": side, "sampling_ratio": roi.sampling_ratio, "aligned": roi.aligned}
        return {
            "type": "SingleRoIExtractor",
            "roi_layer": layer,
            "out_channels": channels,
            "featmap_strides": list(STRIDES[:4]),
            "finest_scale": roi.canonical_size / FINEST_PER_CANONICAL,
        }

    limit = found.max_detections
    model = {
        "type": "MaskRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": list(settings.pixels.mean),
            "std": list(settings.pixels.std),
            "bgr_to_rgb": settings.pixels.order == "rgb",
            "pad_mask": True,
            "pad_size_divisor": settings.pad.divisor,
        },
        "backbone": backbone,
        "neck": {
            "type": "FPN",
            "in_channels": widths,
            "out_channels": channels,
            "num_outs": 5,
            **_norm(settings.fpn.norm),
        },
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": channels,
            "feat_channels": rpn.channels or channels,
            "num_convs": rpn.convs,
            "anchor_generator": {
                "type": "AnchorGenerator",
                **_sizes(settings.anchors.sizes),
                "ratios": list(settings.anchors.ratios),
                "strides": list(STRIDES),
                "center_offset": settings.anchors.offset,
            },
            "bbox_coder": coder(rpn.delta_weights),
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": extractor(roi.box_resolution),
            "bbox_head": {
                "type": "ConvFCBBoxHead",
                "num_shared_convs": box.convs,
                "num_shared_fcs": box.fcs,
                "in_channels": channels,
                "conv_out_channels": box.conv_channels,
                "fc_out_channels": box.fc_channels,
                "roi_feat_size": roi.box_resolution,
                "num_classes": num_classes,
                "bbox_coder": coder(box.delta_weights),
                "reg_class_agnostic": box.class_agnostic,
                **(_norm(box.conv_norm) if box.convs else {}),
                "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
                "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
            },
            "mask_roi_extractor": extractor(roi.mask_resolution),
            "mask_head": {
                "type": "FCNMaskHead",
                "num_convs": mask.convs,
                "roi_feat_size": roi.mask_resolution,
                "in_channels": channels,
                "conv_out_channels": mask.channels,
                "num_classes": num_classes,
                "class_agnostic": mask.class_agnostic,
                **_norm(mask.norm),
                "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0},
            },
        },
        "test_cfg": {
            "rpn": {
                "nms_pre": rpn.pre_nms_top_n,
                "max_per_img": rpn.post_nms_top_n,
                "nms": {"type": "nms", "iou_threshold": rpn.nms_threshold},
                "min_bbox_size": rpn.min_size,
            },
            "rcnn": {
                "score_thr": found.score_threshold,
                "nms": {"type": "nms", "iou_threshold": found.nms_threshold},
                "max_per_img": -1 if limit >= UNLIMITED else limit,
                "mask_thr_binary": 0.5,
            },
        },
    }
    resize = settings.resize
    backend = {"backend": "pillow"} if resize.interpolation == "pil" else {}
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    steps = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": [resize.longest_edge, resize.shortest_edge], "keep_ratio": True, **backend},
        {"type": "PackDetInputs", "meta_keys": list(keys)},
    ]
    data = {"type": "CocoDataset", "metainfo": {"classes": list(settings.class_names)}, "pipeline": steps}
    loader = {"batch_size": 1, "num_workers": 1, "dataset": {**data, "test_mode": True}}
    return {"default_scope": "mmdet", "model": model, "test_pipeline": steps, "test_dataloader": loader}
