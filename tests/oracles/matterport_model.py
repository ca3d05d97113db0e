"""matterport's Mask R-CNN from a picture to the result of `model.detect`, straight down, on its layers' tensors.

Letters: A anchors, P proposals, R regions, D detections, K classes. Boxes are y1 x1 y2 x2, 0..1 from the first to the
last pixel of the square. From the public facts about its Keras graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles import matterport_post as post

STRIDES = (4, 8, 16, 32, 64)
EPS = 1e-3  # Keras's default


@dataclass(frozen=True)
class Config:
    """The keys of its config that inference looks at, with their defaults."""

    image_min_dim: int = 800
    image_max_dim: int = 1024
    mean_pixel: tuple[float, ...] = (123.7, 116.8, 103.9)
    rpn_anchor_scales: tuple[float, ...] = (32, 64, 128, 256, 512)
    rpn_anchor_ratios: tuple[float, ...] = (0.5, 1, 2)
    rpn_bbox_std_dev: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    pre_nms_limit: int = 6000
    rpn_nms_threshold: float = 0.7
    post_nms_rois_inference: int = 1000
    bbox_std_dev: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    detection_min_confidence: float = 0.7
    detection_nms_threshold: float = 0.3
    detection_max_instances: int = 100


@dataclass(frozen=True)
class Found:
    """The best first. `rois`, `class_ids`, `scores` and `masks` are the keys of `model.detect`'s result."""

    rois: np.ndarray
    """(D, 4) int32, y1 x1 y2 x2 in the picture."""
    class_ids: np.ndarray
    """(D,) int32, 1..K."""
    scores: np.ndarray
    """(D,) float32."""
    masks: np.ndarray
    """(H, W, D) bool."""
    unrounded: np.ndarray
    """(D, 4): `rois` before they were rounded."""
    proposals: np.ndarray
    """(P, 4) float32."""
    small_masks: np.ndarray
    """(D, 28, 28) float32."""


@torch.no_grad()
def detect(weights: Mapping[str, Tensor], picture: np.ndarray, config: Config) -> Found:
    """`picture` is RGB uint8 (H, W, 3)."""
    square, window_px = post.mold(picture, config.image_min_dim, config.image_max_dim)
    pixels = square.astype(np.float32) - np.array(config.mean_pixel)  # the padding was 0 before
    levels = pyramid(weights, torch.from_numpy(pixels).float().permute(2, 0, 1)[None])
    extent = square.shape[:2]

    scores, deltas = (
        torch.cat(parts).numpy() for parts in zip(*(rpn(weights, level) for level in levels), strict=True)
    )
    grids = [level.shape[-2:] for level in levels]
    anchors = post.pyramid_anchors(config.rpn_anchor_scales, config.rpn_anchor_ratios, grids, STRIDES)
    proposals = post.propose(
        scores,
        deltas * np.array(config.rpn_bbox_std_dev, np.float32),
        post.normalise(anchors, extent),
        config.pre_nms_limit,
        config.rpn_nms_threshold,
        config.post_nms_rois_inference,
    )

    probs, deltas = box_head(weights, crop(levels, proposals, extent, 7))
    window = post.normalise(np.array(window_px, np.float64), extent)
    boxes, class_ids, scores = post.refine(
        proposals,
        probs,
        deltas * np.array(config.bbox_std_dev, np.float32),
        window,
        config.detection_min_confidence,
        config.detection_nms_threshold,
        config.detection_max_instances,
    )

    probs = mask_head(weights, crop(levels, boxes, extent, 14))  # (D, K + 1, 28, 28)
    small_masks = probs[np.arange(len(boxes)), class_ids]
    unrounded = post.to_picture(boxes, window, picture.shape[:2])
    rois = np.round(unrounded).astype(np.int32)  # half to even
    kept = (rois[:, 2] - rois[:, 0]) * (rois[:, 3] - rois[:, 1]) > 0
    rois, class_ids, scores, small_masks = rois[kept], class_ids[kept], scores[kept], small_masks[kept]
    masks = [post.unmold_mask(mask, roi, picture.shape[:2]) for mask, roi in zip(small_masks, rois, strict=True)]
    stacked = np.stack(masks, axis=-1) if masks else np.zeros((*picture.shape[:2], 0), bool)
    return Found(rois, class_ids.astype(np.int32), scores, stacked, unrounded[kept], proposals, small_masks)


def conv(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    """With SAME padding, for which an odd kernel at stride 1, or of 1x1, needs the same on every side."""
    kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, weights[f"{name}/bias"], stride, kernel.shape[-1] // 2)


def batch_norm(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    gamma, beta, mean, variance = (
        weights[f"{name}/{leaf}"].reshape(1, -1, *[1] * (x.ndim - 2))
        for leaf in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (x - mean) / torch.sqrt(variance + EPS) + beta


def pyramid(weights: Mapping[str, Tensor], pixels: Tensor) -> list[Tensor]:
    """P2..P6."""
    x = F.relu(batch_norm(weights, "bn_conv1", conv(weights, "conv1", pixels, 2)))
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)  # SAME, of even sides
    stages = []
    for stage in (2, 3, 4, 5):
        for block in "abcdefghijklmnopqrstuvwxyz":
            if f"res{stage}{block}_branch2a/kernel" not in weights:
                break
            x = bottleneck(weights, f"{stage}{block}", x, 2 if block == "a" and stage > 2 else 1)
        stages.append(x)
    c2, c3, c4, c5 = stages
    p5 = conv(weights, "fpn_c5p5", c5)
    p4 = upsample(p5) + conv(weights, "fpn_c4p4", c4)
    p3 = upsample(p4) + conv(weights, "fpn_c3p3", c3)
    p2 = upsample(p3) + conv(weights, "fpn_c2p2", c2)
    levels = [conv(weights, f"fpn_p{i}", p) for i, p in zip((2, 3, 4, 5), (p2, p3, p4, p5), strict=True)]
    return [*levels, levels[-1][:, :, ::2, ::2]]


def bottleneck(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    def branch(which: str, x: Tensor, stride: int = 1) -> Tensor:
        return batch_norm(weights, f"bn{name}_branch{which}", conv(weights, f"res{name}_branch{which}", x, stride))

    y = branch("2c", F.relu(branch("2b", F.relu(branch("2a", x, stride)))))
    return F.relu(y + (branch("1", x, stride) if f"res{name}_branch1/kernel" in weights else x))


def upsample(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def rpn(weights: Mapping[str, Tensor], level: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of an object (A,) and deltas (A, 4) of a level, row by row, the ratios of a place together."""
    shared = F.relu(conv(weights, "rpn_conv_shared", level))
    logits = conv(weights, "rpn_class_raw", shared).permute(0, 2, 3, 1).reshape(-1, 2)
    deltas = conv(weights, "rpn_bbox_pred", shared).permute(0, 2, 3, 1).reshape(-1, 4)
    return logits.softmax(dim=1)[:, 1], deltas


def crop(levels: list[Tensor], boxes: np.ndarray, extent: tuple[int, ...], size: int) -> Tensor:
    """(R, C, size, size) of `boxes` (R, 4), each from the level that its size asks for."""
    maps = [level[0].numpy() for level in levels]
    crops = [
        post.crop_and_resize(maps[level - 2], box, size)
        for box, level in zip(boxes, post.level_of(boxes, extent), strict=True)
    ]
    empty = np.zeros((0, maps[0].shape[0], size, size), np.float32)
    return torch.from_numpy(np.stack(crops) if crops else empty).float()


def box_head(weights: Mapping[str, Tensor], pooled: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities (R, K + 1) and deltas (R, K + 1, 4), the background first."""
    x = pooled
    for i in (1, 2):
        kernel = weights[f"mrcnn_class_conv{i}/kernel"].permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, weights[f"mrcnn_class_conv{i}/bias"])
        x = F.relu(batch_norm(weights, f"mrcnn_class_bn{i}", x))
    x = x[:, :, 0, 0]
    logits, deltas = (
        x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"] for name in ("mrcnn_class_logits", "mrcnn_bbox_fc")
    )
    return logits.softmax(dim=1).numpy(), deltas.reshape(len(x), -1, 4).numpy()


def mask_head(weights: Mapping[str, Tensor], pooled: Tensor) -> np.ndarray:
    """(D, K + 1, 28, 28), the background first."""
    x = pooled
    for i in (1, 2, 3, 4):
        x = F.relu(batch_norm(weights, f"mrcnn_mask_bn{i}", conv(weights, f"mrcnn_mask_conv{i}", x)))
    kernel = weights["mrcnn_mask_deconv/kernel"]  # (2, 2, out, in): each place makes a patch of 2 x 2, side by side
    x = torch.einsum("nihw,yxoi->nohywx", x, kernel).flatten(4, 5).flatten(2, 3)
    x = F.relu(x + weights["mrcnn_mask_deconv/bias"][:, None, None])
    return conv(weights, "mrcnn_mask", x).sigmoid().numpy()
