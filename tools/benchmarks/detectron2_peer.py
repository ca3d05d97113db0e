"""A pass of detectron2, where it is installed, with the layers of torchvision's weights and nearly their conventions.

Its anchors are not rounded and its masks are pasted in another way, so the results come near and are not the same.
Never run: detectron2 was on none of the machines where this was written.
"""

from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import BOX_HEAD, DECODE, DENSE, MASK_HEAD, MASKS, POOLING, POST, PREPROCESS, Found, Job, Run
from benchmarks.stopwatch import Places, Stopwatch
from benchmarks.theirs import finish
from benchmarks.weights import SCORE_THRESHOLD
from benchmarks.workloads import Workload
from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.data.images import read_image

CONFIG = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
HEADS = {
    "rpn.convs.0.conv": "proposal_generator.rpn_head.conv",
    "rpn.objectness": "proposal_generator.rpn_head.objectness_logits",
    "rpn.deltas": "proposal_generator.rpn_head.anchor_deltas",
    "box_head.fcs.0": "roi_heads.box_head.fc1",
    "box_head.fcs.2": "roi_heads.box_head.fc2",
    "box_head.class_logits": "roi_heads.box_predictor.cls_score",
    "box_head.deltas": "roi_heads.box_predictor.bbox_pred",
    **{f"mask_head.convs.{i}.conv": f"roi_heads.mask_head.mask_fcn{i + 1}" for i in range(4)},
    "mask_head.deconv": "roi_heads.mask_head.deconv",
    "mask_head.logits": "roi_heads.mask_head.predictor",
}


def build(job: Job) -> Run:
    """detectron2's model with the job's weights, and its pass."""
    from detectron2.modeling import build_model  # pyright: ignore[reportMissingImports]

    model = build_model(_config(job.workload, job.device)).eval()
    tensors = import_checkpoint(job.weights, preset="torchvision_own").tensors
    fit = model.load_state_dict({their_name(name): tensor for name, tensor in tensors.items()}, strict=False)
    lacking = [name for name in fit.missing_keys if not name.startswith(("pixel_", "proposal_generator.anchor"))]
    if lacking or fit.unexpected_keys:
        raise ValueError(
            f"expected detectron2's layers, got none for {lacking[:3]} and more: {fit.unexpected_keys[:3]}"
        )
    places = places_of(model)

    def run(watch: Stopwatch) -> tuple[list[Found], dict[str, int]]:
        with torch.inference_mode(), watch.watching(places):
            with watch.part(DECODE):
                pictures = [torch.from_numpy(read_image(job.picture)).permute(2, 0, 1) for _ in range(job.batch)]
            with watch.part(POST):
                height, width = job.workload.size
                results = model([{"image": picture, "height": height, "width": width} for picture in pictures])
                results = [_tensors(one["instances"]) for one in results]
            return [finish(watch, *one) for one in zip(pictures, results, strict=True)], {}

    return run


def their_name(name: str) -> str:
    """Of an entry of ours, such as backbone.stages.0.1.conv2.norm.bias."""
    module, _, leaf = name.rpartition(".")
    if module in HEADS:
        return f"{HEADS[module]}.{leaf}"
    part, *middle, kind = module.split(".")
    norm = "norm." if kind == "norm" else ""  # a module of its convolution there
    if part == "fpn":
        return f"backbone.fpn_{middle[0]}{int(middle[1]) + 2}.{norm}{leaf}"
    where = "stem.conv1" if middle[0] == "stem" else f"res{int(middle[1]) + 2}.{middle[2]}.{middle[3]}"
    return f"backbone.bottom_up.{where}.{norm}{leaf}"


def places_of(model: Any) -> Places:
    """Where the parts of a pass run."""
    heads = model.roi_heads
    return {
        PREPROCESS: [(model, "preprocess_image")],
        DENSE: [(model.backbone, "forward"), (model.proposal_generator.rpn_head, "forward")],
        POOLING: [(heads.box_pooler, "forward"), (heads.mask_pooler, "forward")],
        BOX_HEAD: [(heads.box_head, "forward"), (heads.box_predictor, "forward")],
        MASK_HEAD: [(heads.mask_head, "forward")],
        MASKS: [(type(model), "_postprocess")],
    }


def _tensors(instances: Any) -> dict[str, Tensor]:
    found = instances.to("cpu")
    return {
        "boxes": found.pred_boxes.tensor,
        "labels": found.pred_classes + 1,
        "scores": found.scores,
        "masks": found.pred_masks[:, None],
    }


def _config(workload: Workload, device: str) -> Any:
    from detectron2 import model_zoo  # pyright: ignore[reportMissingImports]
    from detectron2.config import get_cfg  # pyright: ignore[reportMissingImports]

    config = get_cfg()
    config.merge_from_file(model_zoo.get_config_file(CONFIG))
    config.MODEL.DEVICE, config.MODEL.WEIGHTS, config.INPUT.FORMAT = device, "", "RGB"
    config.MODEL.PIXEL_MEAN, config.MODEL.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    config.MODEL.RESNETS.DEPTH = int(workload.body.removeprefix("resnet"))
    config.MODEL.RESNETS.STRIDE_IN_1X1 = False
    if config.MODEL.RESNETS.DEPTH < 50:
        config.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    config.MODEL.FPN.OUT_CHANNELS = workload.channels
    config.MODEL.ROI_HEADS.NUM_CLASSES = workload.num_classes
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = SCORE_THRESHOLD
    for head in (config.MODEL.ROI_BOX_HEAD, config.MODEL.ROI_MASK_HEAD):
        head.POOLER_TYPE, head.POOLER_SAMPLING_RATIO = "ROIAlign", 2
    config.MODEL.ROI_BOX_HEAD.FC_DIM = workload.fc_channels
    config.MODEL.ROI_MASK_HEAD.CONV_DIM = workload.channels
    config.TEST.DETECTIONS_PER_IMAGE = workload.detections
    return config
