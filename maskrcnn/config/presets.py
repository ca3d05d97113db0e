"""Named conventions of whole families: what makes the same weights give the same numbers as where they came from.

Facts: the families' public sources and documentation; where torchvision is installed its source is the last word.
A preset is the differences from the defaults of `ModelSettings`; class names and depth come on top.
"""

from typing import Any

_IMAGENET_BGR: dict[str, Any] = {"order": "bgr", "mean": (103.53, 116.28, 123.675), "std": (1.0, 1.0, 1.0)}
_RPN_L1: dict[str, Any] = {"pre_nms_top_n": 1000, "post_nms_top_n": 1000, "smooth_l1_beta": 0.0}
_RANKED_1000: dict[str, Any] = {"pre_nms_top_n": 1000, "post_nms_top_n": 1000}
_CONV4_FC1_BN: dict[str, Any] = {"convs": 4, "conv_norm": "bn", "fcs": 1}
_TOP_100: dict[str, Any] = {"max_detections": 100, "score_threshold": 0.05}

_TORCHVISION_V1: dict[str, Any] = {
    "family": "torchvision_v1",
    "resize": {"interpolation": "torch", "rounding": "floor"},
    "backbone": {"depth": 50, "norm": "frozen_bn", "norm_eps": 0.0},
    "anchors": {"rounded": True, "stride": "from_grid"},
    "rpn": {
        **_RANKED_1000,
        "rank_by": "probability",
        "min_size": 1e-3,
        "train_post_nms_top_n": 2000,
        "smooth_l1_beta": 1 / 9,
    },
    "roi": {"aligned": False, "sampling_ratio": 2, "level_eps": 1e-6, "level_eps_inside_log": False},
    "box_head": {"smooth_l1_beta": 1 / 9},
    "mask_head": {"paste": "expand_to_integer"},
    "detection": {**_TOP_100, "min_size": 1e-2},
}

_TORCHVISION_OWN: dict[str, Any] = {
    **_TORCHVISION_V1,
    "family": "torchvision_own",
    # Trained from an ImageNet body: torchvision sets the eps to 0 for its published file alone.
    "backbone": {"depth": 50, "norm": "frozen_bn", "norm_eps": 1e-5},
}

_TORCHVISION_V2: dict[str, Any] = {
    **_TORCHVISION_V1,
    "family": "torchvision_v2",
    "backbone": {"depth": 50, "norm": "bn"},
    "fpn": {"norm": "bn"},
    "rpn": {**_TORCHVISION_V1["rpn"], "convs": 2},
    "box_head": {**_TORCHVISION_V1["box_head"], **_CONV4_FC1_BN},
    "mask_head": {"paste": "expand_to_integer", "norm": "bn"},
}

_DETECTRON2_MSRA: dict[str, Any] = {
    "family": "detectron2_msra",
    "pixels": _IMAGENET_BGR,
    "backbone": {"depth": 101, "norm": "frozen_bn", "stride_in_1x1": True},
    "rpn": _RPN_L1,  # its MODEL.RPN.SMOOTH_L1_BETA is 0
    "roi": {"sampling_ratio": 0},
    "detection": _TOP_100,
}

_DETECTRON2_C4: dict[str, Any] = {
    **_DETECTRON2_MSRA,
    "family": "detectron2_c4",
    "backbone": {"depth": 50, "norm": "frozen_bn", "stride_in_1x1": True},
    "neck": "c4",
    "pad": {"divisor": 1},
    "anchors": {"sizes": ((32, 64, 128, 256, 512),)},
    "rpn": {**_RPN_L1, "pre_nms_top_n": 6000, "train_pre_nms_top_n": 12000, "train_post_nms_top_n": 2000},
    "roi": {"sampling_ratio": 0, "box_resolution": 14, "mask_resolution": 14},
    "box_head": {"fcs": 0},
    "mask_head": {"convs": 0},
}

_DETECTRON2_DC5: dict[str, Any] = {
    **_DETECTRON2_C4,
    "family": "detectron2_dc5",
    "neck": "dc5",
    "roi": {"sampling_ratio": 0},
    "box_head": {},
    "mask_head": {},
}

_DETECTRON2_LSJ: dict[str, Any] = {
    **_DETECTRON2_MSRA,
    "family": "detectron2_lsj",
    "backbone": {"depth": 101, "norm": "bn", "stride_in_1x1": True},
    "fpn": {"norm": "bn"},
    "rpn": {**_RPN_L1, "convs": 2},
    "box_head": _CONV4_FC1_BN,
    "mask_head": {"norm": "bn"},
}

_MMDET_PYTORCH: dict[str, Any] = {
    "family": "mmdet_pytorch",
    "resize": {"interpolation": "cv2"},
    # mmdetection and matterport train with fixed batch statistics.
    "backbone": {"depth": 101, "norm": "frozen_bn"},
    "rpn": {**_RPN_L1, "rank_by": "probability", "delta_clamp": "both"},
    # mmdetection adds 1e-6 to sqrt(area) / 56, which is 2.5e-7 on sqrt(area) / 224.
    "roi": {"sampling_ratio": 0, "level_eps": 2.5e-7},
    "box_head": {"delta_clamp": "both"},
    "detection": _TOP_100,
}

_MMDET_CAFFE: dict[str, Any] = {
    **_MMDET_PYTORCH,
    "family": "mmdet_caffe",
    "pixels": _IMAGENET_BGR,
    "backbone": {"depth": 101, "norm": "frozen_bn", "stride_in_1x1": True},
}

_MATTERPORT: dict[str, Any] = {
    "family": "matterport",
    "pixels": {"mean": (123.7, 116.8, 103.9), "std": (1.0, 1.0, 1.0)},
    "resize": {
        "mode": "square",
        "shortest_edge": 800,
        "longest_edge": 1024,
        "upscale_only": True,
        "interpolation": "skimage",
        "rounding": "half_even",
    },
    "pad": {"position": "centre", "divisor": 1024, "value": "black"},
    "backbone": {
        "depth": 101,
        "norm": "frozen_bn",
        "norm_eps": 1e-3,
        "stride_in_1x1": True,
        "conv_bias": True,
        "stem_pool": "same",
    },
    # Its ratios are width / height, in the order 0.5, 1, 2.
    "anchors": {"ratios": (2.0, 1.0, 0.5)},
    "rpn": {
        "channels": 512,
        "rank_by": "probability",
        "delta_weights": (10, 10, 5, 5),
        "delta_clamp": "none",
        "pre_nms_top_n": 6000,
        "pre_nms_scope": "image",
        "nms_scope": "image",
        "post_nms_top_n": 1000,
        "clip_to": "padded",
        "zero_padded": True,
    },
    "roi": {"operation": "crop_and_resize", "level_rule": "round", "level_eps": 0.0},
    "box_head": {"fc_norm": "frozen_bn", "delta_clamp": "none"},
    "mask_head": {"norm": "frozen_bn", "paste": "integer"},
    "detection": {
        **_TOP_100,
        "score_threshold": 0.7,
        "score_inclusive": True,
        "nms_threshold": 0.3,
        "classes_per_roi": "best",
        "box_edges": "inclusive",
    },
}

PRESETS: dict[str, dict[str, Any]] = {
    "maskrcnn": {},
    "torchvision_v1": _TORCHVISION_V1,
    "torchvision_own": _TORCHVISION_OWN,
    "torchvision_v2": _TORCHVISION_V2,
    "detectron2_msra": _DETECTRON2_MSRA,
    "detectron2_lsj": _DETECTRON2_LSJ,
    "detectron2_c4": _DETECTRON2_C4,
    "detectron2_dc5": _DETECTRON2_DC5,
    "mmdet_pytorch": _MMDET_PYTORCH,
    "mmdet_caffe": _MMDET_CAFFE,
    "matterport": _MATTERPORT,
}
"""Differences from `ModelSettings()`, by family; `maskrcnn` is this package's own."""
