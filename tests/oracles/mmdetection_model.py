"""mmdetection's Mask R-CNN with FPN from a picture to masks in it, straight down, on tensors under its names.

Letters: A anchors, P proposals, D detections, K classes. From mmdetection's documentation, configurations and code:
2.x, and with `is_1x` that of 1.x in its own coordinates, where a box ends on its last pixel, inclusive.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles.paste import paste_dense

STRIDES = (4, 8, 16, 32, 64)
MAX_RATIO = abs(math.log(16 / 1000))


@dataclass(frozen=True)
class Options:
    """The keys of its config that inference looks at, with the values of mask_rcnn_r50_fpn_1x_coco.py."""

    to_rgb: bool = True
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    img_scale: tuple[int, int] = (1333, 800)
    style: str = "pytorch"
    anchor_scale: float = 8
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_stds: tuple[float, ...] = (1, 1, 1, 1)
    nms_pre: int = 1000
    max_num: int = 1000
    rpn_nms_thr: float = 0.7
    aligned: bool = True
    sampling_ratio: int = 0
    finest_scale: float = 56
    bbox_stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    score_thr: float = 0.05
    iou_thr: float = 0.5
    max_per_img: int = 100
    is_1x: bool = False
    center_offset: float = 0.5
    """Of the anchors of 1.x, in strides."""

    @property
    def one(self) -> float:
        """What 1.x adds to a difference of coordinates for a width."""
        return float(self.is_1x)


@dataclass(frozen=True)
class Found:
    """The best first."""

    boxes: Tensor
    """(D, 4) in the picture; of 1.x in the resized picture, and inclusive."""
    scores: Tensor
    labels: Tensor
    mask_probs: Tensor
    """(D, 28, 28)"""
    mask_values: np.ndarray
    """(D, H, W), in the picture before the threshold: from 0.5 on it belongs to the mask; none for 1.x."""


@torch.no_grad()
def detect(weights: Mapping[str, Tensor], picture: np.ndarray, options: Options) -> Found:
    """`picture` is RGB uint8 (H, W, 3)."""
    weights = {name.removeprefix("roi_head."): tensor for name, tensor in weights.items()}
    frame = picture.shape[0], picture.shape[1]
    pixels, size, scale_factor = network_input(picture, options)
    scale_factor = torch.ones(4) if options.is_1x else scale_factor
    levels = pyramid(weights, pixels, options)
    boxes = proposals(weights, levels, size, options)
    boxes, scores, labels = box_head(weights, levels, boxes, size, scale_factor, options)
    probs = mask_head(weights, levels, boxes * scale_factor, labels, options)
    values = np.zeros((0, *frame)) if options.is_1x else paste_dense(probs, boxes, frame, "exact")
    return Found(boxes, scores, labels, probs, values)


def output_size(height: int, width: int, img_scale: tuple[int, int]) -> tuple[int, int]:
    """Within the larger number for the longer side and the smaller one for the shorter side."""
    factor = min(max(img_scale) / max(height, width), min(img_scale) / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def network_input(picture: np.ndarray, options: Options) -> tuple[Tensor, tuple[int, int], Tensor]:
    """Pixels (1, 3, H, W), the height and width that the picture has in them, and by what each side has grown."""
    size = output_size(picture.shape[0], picture.shape[1], options.img_scale)
    bgr = np.ascontiguousarray(picture[:, :, ::-1])  # as it reads files
    resized = cv2.resize(bgr, (size[1], size[0]), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if options.to_rgb:
        resized = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
    resized = cv2.subtract(resized, np.array([options.mean], np.float64))
    resized = cv2.multiply(resized, 1 / np.array([options.std], np.float64))
    padded = np.zeros((math.ceil(size[0] / 32) * 32, math.ceil(size[1] / 32) * 32, 3), np.float32)
    padded[: size[0], : size[1]] = resized
    grown = torch.tensor([size[1] / picture.shape[1], size[0] / picture.shape[0]] * 2)
    return torch.from_numpy(padded.transpose(2, 0, 1)[None].copy()), size, grown


def conv(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int = 1, norm: str | None = None) -> Tensor:
    """Convolution `name`, which keeps the size at stride 1, and its norm `norm` where there is one."""
    kernel = weights[f"{name}.weight"]
    groups = x.shape[1] // kernel.shape[1]
    x = F.conv2d(x, kernel, weights.get(f"{name}.bias"), stride, kernel.shape[-1] // 2, groups=groups)
    for kind in ("bn", "gn"):
        own = None if norm is None else norm.replace("norm", kind)
        if f"{own}.running_mean" in weights:
            mean, var, gain, bias = (
                weights[f"{own}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
            )
            return F.batch_norm(x, mean, var, gain, bias, eps=1e-5)
        if f"{own}.weight" in weights:
            return F.group_norm(x, 32, weights[f"{own}.weight"], weights[f"{own}.bias"], eps=1e-5)
    return x


def module(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Its ConvModule, before any ReLU."""
    return conv(weights, f"{name}.conv", x, norm=f"{name}.norm")


def modules(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """`name`.0, `name`.1, ... with ReLUs."""
    i = 0
    while f"{name}.{i}.conv.weight" in weights:
        x = module(weights, f"{name}.{i}", x).relu()
        i += 1
    return x


def pyramid(weights: Mapping[str, Tensor], pixels: Tensor, options: Options) -> list[Tensor]:
    """P2..P6."""
    x = F.max_pool2d(conv(weights, "backbone.conv1", pixels, 2, norm="backbone.norm1").relu(), 3, 2, 1)
    laterals = []
    for stage in range(4):
        block = 0
        while f"backbone.layer{stage + 1}.{block}.conv1.weight" in weights:
            stride = 2 if stage > 0 and block == 0 else 1
            x = residual_block(weights, f"backbone.layer{stage + 1}.{block}", x, stride, options.style)
            block += 1
        laterals.append(module(weights, f"neck.lateral_convs.{stage}", x))
    for i in (3, 2, 1):
        laterals[i - 1] = laterals[i - 1] + F.interpolate(laterals[i], size=laterals[i - 1].shape[2:], mode="nearest")
    levels = [module(weights, f"neck.fpn_convs.{i}", laterals[i]) for i in range(4)]
    return [*levels, levels[-1][:, :, ::2, ::2]]


def residual_block(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int, style: str) -> Tensor:
    shortcut = x
    if f"{name}.downsample.0.weight" in weights:
        shortcut = conv(weights, f"{name}.downsample.0", x, stride, norm=f"{name}.downsample.1")
    strides = (1, stride, 1) if style == "pytorch" else (stride, 1, 1)
    if f"{name}.conv3.weight" not in weights:  # ResNet-18 and 34
        strides = (stride, 1)
    for i, own in enumerate(strides, start=1):
        x = conv(weights, f"{name}.conv{i}", x, own, norm=f"{name}.norm{i}")
        x = x.relu() if i < len(strides) else x
    return (x + shortcut).relu()


def anchors(stride: int, height: int, width: int, options: Options) -> Tensor:
    """(height * width * ratios, 4): cell by cell in rows, the ratios of a cell together."""
    ratios = torch.tensor(options.anchor_ratios)
    widths = stride / ratios.sqrt() * options.anchor_scale - options.one
    heights = stride * ratios.sqrt() * options.anchor_scale - options.one
    centre = options.center_offset * stride - 0.5 if options.is_1x else 0.0
    cell = torch.stack([centre - widths / 2, centre - heights / 2, centre + widths / 2, centre + heights / 2], dim=1)
    cell = cell.round() if options.is_1x else cell
    y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
    return (torch.stack([x, y, x, y], dim=-1)[:, :, None] + cell).reshape(-1, 4)


def delta2bbox(
    rois: Tensor, deltas: Tensor, stds: tuple[float, ...], size: tuple[int, int], options: Options
) -> Tensor:
    """Boxes (N, 4), clipped to the picture."""
    dx, dy, dw, dh = (deltas * torch.tensor(stds)).unbind(1)
    px, py = (rois[:, 0] + rois[:, 2]) / 2, (rois[:, 1] + rois[:, 3]) / 2
    pw, ph = rois[:, 2] - rois[:, 0] + options.one, rois[:, 3] - rois[:, 1] + options.one
    gw, gh = pw * dw.clamp(-MAX_RATIO, MAX_RATIO).exp(), ph * dh.clamp(-MAX_RATIO, MAX_RATIO).exp()
    gx, gy = px + pw * dx, py + ph * dy
    half = options.one / 2
    x1, y1, x2, y2 = gx - gw / 2 + half, gy - gh / 2 + half, gx + gw / 2 - half, gy + gh / 2 - half
    right, bottom = size[1] - options.one, size[0] - options.one
    return torch.stack([x1.clamp(0, right), y1.clamp(0, bottom), x2.clamp(0, right), y2.clamp(0, bottom)], dim=1)


def nms(boxes: Tensor, scores: Tensor, threshold: float, one: float) -> list[int]:
    """Indices of the kept boxes, the best first."""
    sides = boxes[:, 2:] - boxes[:, :2] + one
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = (high - low + one).clamp(min=0).prod(dim=2)
    areas = sides.prod(dim=1)
    overlaps = (common / (areas[:, None] + areas - common) > threshold).numpy()
    kept: list[int] = []
    gone = np.zeros(len(boxes), bool)
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        if not gone[i]:
            kept.append(i)
            gone |= overlaps[i]
    return kept


def proposals(weights: Mapping[str, Tensor], levels: list[Tensor], size: tuple[int, int], options: Options) -> Tensor:
    """(P, 4), the best first: ranked by probability, suppressed within their level, then the best of all levels."""
    all_boxes, all_scores = [], []
    for stride, level in zip(STRIDES, levels, strict=True):
        x = modules(weights, "rpn_head.rpn_conv", level)
        if "rpn_head.rpn_conv.weight" in weights:
            x = conv(weights, "rpn_head.rpn_conv", level).relu()
        scores = conv(weights, "rpn_head.rpn_cls", x)[0].permute(1, 2, 0).flatten().sigmoid()
        deltas = conv(weights, "rpn_head.rpn_reg", x)[0].permute(1, 2, 0).reshape(-1, 4)
        top = scores.sort(descending=True, stable=True).indices[: options.nms_pre]
        references = anchors(stride, level.shape[2], level.shape[3], options)[top]
        boxes, scores = delta2bbox(references, deltas[top], options.rpn_stds, size, options), scores[top]
        # 1.x itself keeps those beyond the border, as a line of pixels on it; that is not imitated.
        is_inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores = boxes[is_inside], scores[is_inside]
        kept = nms(boxes, scores, options.rpn_nms_thr, options.one)
        all_boxes.append(boxes[kept])
        all_scores.append(scores[kept])
    order = torch.cat(all_scores).sort(descending=True, stable=True).indices[: options.max_num]
    return torch.cat(all_boxes)[order]


def level_of(box: Tensor, options: Options) -> int:
    """0..3; in float32, as it is run."""
    area = (box[2] - box[0] + options.one) * (box[3] - box[1] + options.one)
    return int(torch.log2(area.sqrt() / options.finest_scale + 1e-6).floor().clamp(0, 3))


def roi_align(levels: list[Tensor], boxes: Tensor, num_bins: int, options: Options) -> Tensor:
    """(N, C, bins, bins): each bin is the mean of its samples, each sample lies between four cells."""
    pooled = []
    for box in boxes:
        level = level_of(box, options)
        features = levels[level][0]
        start = (box[:2] / STRIDES[level] - (0.5 if options.aligned else 0.0)).tolist()
        end = ((box[2:] + options.one) / STRIDES[level] - (0.5 if options.aligned else 0.0)).tolist()
        columns = samples(start[0], end[0], features.shape[2], num_bins, options)
        rows = samples(start[1], end[1], features.shape[1], num_bins, options)
        y, x = rows.any(dim=0), columns.any(dim=0)  # all other cells have weight 0
        pooled.append(rows[:, y] @ features[:, y][:, :, x] @ columns[:, x].T)
    return torch.stack(pooled) if pooled else torch.zeros(0, levels[0].shape[1], num_bins, num_bins)


def samples(start: float, end: float, num_cells: int, num_bins: int, options: Options) -> Tensor:
    """(bins, cells): the weight of every cell along one side in the mean of a bin's samples."""
    length = max(end - start, 0.0 if options.aligned or options.is_1x else 1.0)
    num = options.sampling_ratio or max(math.ceil(length / num_bins), 1)
    position = start + (torch.arange(num_bins * num, dtype=torch.float64) + 0.5) * length / (num_bins * num)
    is_near = (position >= -1) & (position <= num_cells)
    distance = position.clamp(0, num_cells - 1)[:, None] - torch.arange(num_cells)
    weights = (1 - distance.abs()).clamp(min=0) * is_near[:, None]
    return weights.reshape(num_bins, num, num_cells).mean(dim=1).float()


def box_head(
    weights: Mapping[str, Tensor],
    levels: list[Tensor],
    rois: Tensor,
    size: tuple[int, int],
    scale_factor: Tensor,
    options: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in the picture, scores and labels of the detections."""
    x = modules(weights, "bbox_head.shared_convs", roi_align(levels, rois, 7, options)).flatten(1)
    for i in range(9):
        name = f"bbox_head.shared_fcs.{i}"
        x = F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu() if f"{name}.weight" in weights else x
    probs = F.linear(x, weights["bbox_head.fc_cls.weight"], weights["bbox_head.fc_cls.bias"]).softmax(dim=1)
    deltas = F.linear(x, weights["bbox_head.fc_reg.weight"], weights["bbox_head.fc_reg.bias"])
    found: list[tuple[float, int, Tensor]] = []
    for label in range(probs.shape[1] - 1):
        row = label + 1 if options.is_1x else label  # 1.x has the background first, in deltas and masks too
        own = deltas[:, 4 * row : 4 * row + 4] if deltas.shape[1] > 4 else deltas
        boxes = delta2bbox(rois, own, options.bbox_stds, size, options) / scale_factor
        passes = probs[:, row] > options.score_thr
        boxes, scores = boxes[passes], probs[passes, row]
        found += [(float(scores[i]), label, boxes[i]) for i in nms(boxes, scores, options.iou_thr, options.one)]
    found = sorted(found, key=lambda detection: -detection[0])[: options.max_per_img]
    stacked = torch.stack([box for *_, box in found]) if found else torch.zeros(0, 4)
    return stacked, torch.tensor([score for score, *_ in found]), torch.tensor([label for _, label, _ in found])


def mask_head(
    weights: Mapping[str, Tensor], levels: list[Tensor], rois: Tensor, labels: Tensor, options: Options
) -> Tensor:
    """(D, 28, 28) probabilities of each detection's own class."""
    x = modules(weights, "mask_head.convs", roi_align(levels, rois, 14, options))
    x = F.conv_transpose2d(x, weights["mask_head.upsample.weight"], weights["mask_head.upsample.bias"], stride=2).relu()
    logits = conv(weights, "mask_head.conv_logits", x)
    rows = labels + 1 if options.is_1x else labels
    return logits[torch.arange(len(rows)), rows if logits.shape[1] > 1 else 0].sigmoid()
