"""detectron2's Mask R-CNN with FPN from a picture to masks in it, straight down, on tensors under its names.

Letters: A anchors, P proposals, D detections, K classes. From detectron2's documentation and published configurations.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32, 64)
CLAMP = math.log(1000 / 16)


@dataclass(frozen=True)
class Options:
    """The keys of its config that inference looks at, with the values of Base-RCNN-FPN.yaml."""

    input_format: str = "BGR"
    pixel_mean: tuple[float, ...] = (103.53, 116.28, 123.675)
    pixel_std: tuple[float, ...] = (1.0, 1.0, 1.0)
    min_size_test: int = 800
    max_size_test: int = 1333
    stride_in_1x1: bool = True
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    pre_nms_topk: int = 1000
    post_nms_topk: int = 1000
    rpn_nms_thresh: float = 0.7
    rpn_weights: tuple[float, ...] = (1, 1, 1, 1)
    aligned: bool = True
    sampling_ratio: int = 0
    box_weights: tuple[float, ...] = (10, 10, 5, 5)
    score_thresh: float = 0.05
    nms_thresh: float = 0.5
    detections_per_image: int = 100


@dataclass(frozen=True)
class Found:
    """The best first."""

    boxes: Tensor
    """(D, 4) in the picture."""
    scores: Tensor
    classes: Tensor
    mask_probs: Tensor
    """(D, 28, 28)"""
    mask_values: np.ndarray
    """(D, H, W), in the picture before the threshold: from 0.5 on it belongs to the mask."""


@torch.no_grad()
def detect(weights: Mapping[str, Tensor], picture: np.ndarray, options: Options) -> Found:
    """`picture` is RGB uint8 (H, W, 3)."""
    pixels, size = network_input(picture, options)
    levels = pyramid(weights, pixels, options)
    boxes = proposals(weights, levels, size, options)
    boxes, scores, classes = select(*box_head(weights, levels, boxes, options), boxes, size, options)
    mask_probs = mask_head(weights, levels, boxes, classes, options)
    height, width = picture.shape[:2]
    boxes = clip(boxes * torch.tensor([width / size[1], height / size[0]] * 2), (height, width))
    keep = nonempty(boxes)
    boxes, scores, classes, mask_probs = boxes[keep], scores[keep], classes[keep], mask_probs[keep]
    values = [paste(mask, box, (height, width)) for mask, box in zip(mask_probs, boxes, strict=True)]
    return Found(boxes, scores, classes, mask_probs, np.array(values).reshape(-1, height, width))


@torch.no_grad()
def semantic_logits(weights: Mapping[str, Tensor], picture: np.ndarray, options: Options) -> Tensor:
    """(L, H, W) of Panoptic FPN's branch for every pixel of an RGB uint8 (H, W, 3) picture; 0 is all things."""
    pixels, (height, width) = network_input(picture, options)
    total = torch.zeros(())
    for i, level in enumerate(pyramid(weights, pixels, options)[:4]):
        for k in range(max(1, i)):
            level = conv(weights, f"sem_seg_head.p{i + 2}.{2 * k}", level).relu()
            level = level if i == 0 else enlarged(level, (2 * level.shape[2], 2 * level.shape[3]))
        total = total + level
    logits = conv(weights, "sem_seg_head.predictor", total)
    return enlarged(enlarged(logits, pixels.shape[2:])[:, :, :height, :width], picture.shape[:2])[0]


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) at another size, each value between the four cells whose centres are around it."""
    for axis, num in zip((2, 3), size, strict=True):
        position = ((torch.arange(num, dtype=torch.float64) + 0.5) * maps.shape[axis] / num - 0.5).clamp(min=0)
        low = position.long().clamp(max=maps.shape[axis] - 1)
        part = (position - low).float().reshape(-1, *[1] * (3 - axis))
        high = (low + 1).clamp(max=maps.shape[axis] - 1)
        maps = maps.index_select(axis, low) * (1 - part) + maps.index_select(axis, high) * part
    return maps


def output_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """First the shorter side becomes `min_size`, then, if the longer one is too long, both shrink."""
    if min_size == 0:
        return height, width
    scale = min_size / min(height, width)
    new_height, new_width = (min_size, scale * width) if height < width else (scale * height, min_size)
    if max(new_height, new_width) > max_size:
        shrink = max_size / max(new_height, new_width)
        new_height, new_width = new_height * shrink, new_width * shrink
    return int(new_height + 0.5), int(new_width + 0.5)


def network_input(picture: np.ndarray, options: Options) -> tuple[Tensor, tuple[int, int]]:
    """Pixels (1, 3, H, W) of whole multiples of 32, and the height and width that the picture has in them."""
    size = output_size(picture.shape[0], picture.shape[1], options.min_size_test, options.max_size_test)
    resized = np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    channels = resized[:, :, ::-1] if options.input_format == "BGR" else resized
    mean, std = np.array(options.pixel_mean, np.float32), np.array(options.pixel_std, np.float32)
    normalised = (channels.astype(np.float32) - mean) / std
    padded = np.zeros((-(-size[0] // 32) * 32, -(-size[1] // 32) * 32, 3), np.float32)
    padded[: size[0], : size[1]] = normalised
    return torch.from_numpy(padded.transpose(2, 0, 1)[None]), size


def conv(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Convolution `name`, which keeps the size at stride 1, with its norm if it has one."""
    kernel = weights[f"{name}.weight"]
    groups = x.shape[1] // kernel.shape[1]
    x = F.conv2d(x, kernel, weights.get(f"{name}.bias"), stride, kernel.shape[-1] // 2, groups=groups)
    if f"{name}.norm.running_mean" in weights:
        mean, var, gain, bias = (
            weights[f"{name}.norm.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * gain + bias
    if f"{name}.norm.weight" in weights:
        return F.group_norm(x, 32, weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"], 1e-5)
    return x


def convs_with_relu(weights: Mapping[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    """`prefix`1, `prefix`2, ... as many as there are."""
    i = 1
    while f"{prefix}{i}.weight" in weights:
        x = conv(weights, f"{prefix}{i}", x).relu()
        i += 1
    return x


def pyramid(weights: Mapping[str, Tensor], pixels: Tensor, options: Options) -> list[Tensor]:
    """p2..p6."""
    x = F.max_pool2d(conv(weights, "backbone.bottom_up.stem.conv1", pixels, 2).relu(), 3, 2, 1)
    stages = []
    for stage in range(2, 6):
        block = 0
        while f"backbone.bottom_up.res{stage}.{block}.conv1.weight" in weights:
            stride = 2 if stage > 2 and block == 0 else 1
            x = residual_block(weights, f"backbone.bottom_up.res{stage}.{block}", x, stride, options.stride_in_1x1)
            block += 1
        stages.append(x)
    outputs = []
    above = None
    for stage in range(5, 1, -1):
        merged = conv(weights, f"backbone.fpn_lateral{stage}", stages[stage - 2])
        if above is not None:
            merged = merged + above.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        above = merged
        outputs.insert(0, conv(weights, f"backbone.fpn_output{stage}", merged))
    return [*outputs, outputs[-1][:, :, ::2, ::2]]


def residual_block(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int, stride_in_1x1: bool) -> Tensor:
    shortcut = conv(weights, f"{name}.shortcut", x, stride) if f"{name}.shortcut.weight" in weights else x
    if f"{name}.conv3.weight" not in weights:  # ResNet-18 and 34
        return (conv(weights, f"{name}.conv2", conv(weights, f"{name}.conv1", x, stride).relu()) + shortcut).relu()
    first, second = (stride, 1) if stride_in_1x1 else (1, stride)
    inner = conv(weights, f"{name}.conv1", x, first).relu()
    inner = conv(weights, f"{name}.conv2", inner, second).relu()
    return (conv(weights, f"{name}.conv3", inner) + shortcut).relu()


def proposals(weights: Mapping[str, Tensor], levels: list[Tensor], size: tuple[int, int], options: Options) -> Tensor:
    """(P, 4), the best first: ranked by logit, suppressed within their level, then the best of all levels."""
    head = "proposal_generator.rpn_head"
    all_boxes, all_logits = [], []
    for i, level in enumerate(levels):
        names = [f"{head}.conv"] if f"{head}.conv.weight" in weights else [f"{head}.conv.conv{k}" for k in range(9)]
        x = level
        for name in names:
            x = conv(weights, name, x).relu() if f"{name}.weight" in weights else x
        logits = conv(weights, f"{head}.objectness_logits", x)[0].permute(1, 2, 0).flatten()
        deltas = conv(weights, f"{head}.anchor_deltas", x)[0].permute(1, 2, 0).reshape(-1, 4)
        top = logits.sort(descending=True, stable=True).indices[: options.pre_nms_topk]
        anchors = torch.tensor([anchor(i, level.shape[-1], position, options) for position in top.tolist()])
        boxes, logits = clip(decode(deltas[top], anchors, options.rpn_weights), size), logits[top]
        boxes, logits = boxes[nonempty(boxes)], logits[nonempty(boxes)]
        kept = nms(boxes, logits, options.rpn_nms_thresh)
        all_boxes.append(boxes[kept])
        all_logits.append(logits[kept])
    order = torch.cat(all_logits).sort(descending=True, stable=True).indices[: options.post_nms_topk]
    return torch.cat(all_boxes)[order]


def anchor(i: int, grid_width: int, position: int, options: Options) -> list[float]:
    """Number `position` of level `i`: cell by cell in rows, the ratios of a cell together."""
    cell, ratio = position // len(options.aspect_ratios), options.aspect_ratios[position % len(options.aspect_ratios)]
    width = math.sqrt(options.anchor_sizes[i] ** 2 / ratio)
    height = ratio * width
    x, y = cell % grid_width * STRIDES[i], cell // grid_width * STRIDES[i]
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, ...]) -> Tensor:
    """(N, 4) from deltas and reference boxes (N, 4)."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x = boxes[:, 0] + widths / 2 + deltas[:, 0] / weights[0] * widths
    y = boxes[:, 1] + heights / 2 + deltas[:, 1] / weights[1] * heights
    half_width = torch.exp((deltas[:, 2] / weights[2]).clamp(max=CLAMP)) * widths / 2
    half_height = torch.exp((deltas[:, 3] / weights[3]).clamp(max=CLAMP)) * heights / 2
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.minimum(boxes.clamp(min=0), torch.tensor([size[1], size[0]] * 2, dtype=boxes.dtype))


def nonempty(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Indices of the kept boxes, the best first."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        if not alive[i]:
            continue
        kept.append(i)
        low, high = torch.maximum(boxes[i, :2], boxes[:, :2]), torch.minimum(boxes[i, 2:], boxes[:, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        alive &= ~(common / (areas[i] + areas - common) > threshold)
    return kept


def level_of(box: Tensor) -> int:
    """2..5; in float32, as it is run, where a side a hair below a limit counts as on it."""
    area = ((box[2] - box[0]) * (box[3] - box[1])).float()
    return int(torch.floor(4 + torch.log2(area.sqrt() / 224 + 1e-8)).clamp(2, 5))


def pool(levels: list[Tensor], boxes: Tensor, resolution: int, options: Options) -> Tensor:
    """RoIAlign: every bin is the mean of its samples; their weights are products of those of rows and of columns."""
    pooled = torch.zeros(len(boxes), levels[0].shape[1], resolution, resolution)
    for r, box in enumerate(boxes):
        level = level_of(box)
        features = levels[level - 2][0]
        corners = box / STRIDES[level - 2] - (0.5 if options.aligned else 0.0)
        rows = bin_weights(corners[1], corners[3], features.shape[1], resolution, options)
        columns = bin_weights(corners[0], corners[2], features.shape[2], resolution, options)
        y, x = rows.any(dim=0), columns.any(dim=0)  # all other cells have weight 0
        pooled[r] = rows[:, y] @ features[:, y][:, :, x] @ columns[:, x].T
    return pooled


def bin_weights(start: Tensor, stop: Tensor, num_cells: int, num_bins: int, options: Options) -> Tensor:
    """(bins, cells) along one side."""
    length = stop - start if options.aligned else (stop - start).clamp(min=1)
    num = options.sampling_ratio or max(math.ceil(length / num_bins), 1)  # samples of a bin
    steps = np.arange(num_bins * num)
    position = float(start) + (steps + 0.5) * float(length) / (num_bins * num)
    is_near = (position >= -1) & (position <= num_cells)
    position = position.clip(0, num_cells - 1)
    low = position.astype(int)
    weights = np.zeros((num_bins * num, num_cells))
    weights[steps, low] += 1 - (position - low)
    weights[steps, np.minimum(low + 1, num_cells - 1)] += position - low
    return torch.from_numpy((weights * is_near[:, None]).reshape(num_bins, num, num_cells).mean(axis=1)).float()


def box_head(
    weights: Mapping[str, Tensor], levels: list[Tensor], boxes: Tensor, options: Options
) -> tuple[Tensor, Tensor]:
    """Probabilities (P, K + 1), the background last, and deltas (P, 4 K) or (P, 4)."""
    x = convs_with_relu(weights, "roi_heads.box_head.conv", pool(levels, boxes, 7, options)).flatten(1)
    for i in range(1, 9):
        name = f"roi_heads.box_head.fc{i}"
        x = F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu() if f"{name}.weight" in weights else x
    predictor = "roi_heads.box_predictor"
    logits = F.linear(x, weights[f"{predictor}.cls_score.weight"], weights[f"{predictor}.cls_score.bias"])
    deltas = F.linear(x, weights[f"{predictor}.bbox_pred.weight"], weights[f"{predictor}.bbox_pred.bias"])
    return logits.softmax(dim=1), deltas


def select(
    probs: Tensor, deltas: Tensor, boxes: Tensor, size: tuple[int, int], options: Options
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and classes of the detections, in the network's frame: class by class, then the best of all."""
    found: list[tuple[float, int, Tensor]] = []
    for k in range(probs.shape[1] - 1):
        passes = probs[:, k] > options.score_thresh
        own = deltas[passes, 4 * k : 4 * k + 4] if deltas.shape[1] > 4 else deltas[passes]
        decoded = clip(decode(own, boxes[passes], options.box_weights), size)
        kept = nms(decoded, probs[passes, k], options.nms_thresh)
        found += [(float(probs[passes, k][i]), k, decoded[i]) for i in kept]
    found = sorted(found, key=lambda detection: -detection[0])[: options.detections_per_image]
    stacked = torch.stack([box for *_, box in found]) if found else torch.zeros(0, 4)
    return stacked, torch.tensor([score for score, *_ in found]), torch.tensor([k for _, k, _ in found])


def mask_head(
    weights: Mapping[str, Tensor], levels: list[Tensor], boxes: Tensor, classes: Tensor, options: Options
) -> Tensor:
    """(D, 28, 28) probabilities of each detection's own class."""
    head = "roi_heads.mask_head"
    x = convs_with_relu(weights, f"{head}.mask_fcn", pool(levels, boxes, 14, options))
    x = F.conv_transpose2d(x, weights[f"{head}.deconv.weight"], weights[f"{head}.deconv.bias"], stride=2).relu()
    logits = conv(weights, f"{head}.predictor", x)
    channels = classes if logits.shape[1] > 1 else torch.zeros_like(classes)
    return torch.stack([logits[d, channel].sigmoid() for d, channel in enumerate(channels.tolist())])


def paste(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray:
    """(H, W): the mask, stretched over the box, read at the centres of the pixels."""
    x = (torch.arange(size[1]) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(size[0]) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack([x.expand(*size), y[:, None].expand(*size)], dim=-1)[None]
    return F.grid_sample(mask[None, None], grid, align_corners=False)[0, 0].numpy()
