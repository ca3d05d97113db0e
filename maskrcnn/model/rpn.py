"""Region proposal network: where something might be.

Letters: N images, A anchors of all levels, P proposals of an image, G objects. Paper: arXiv:1506.01497.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.fpn import STRIDES
from maskrcnn.model.layers import conv_stack
from maskrcnn.model.losses import smooth_l1
from maskrcnn.ops.box_deltas import Clamp, Weights, decode_deltas, encode_deltas
from maskrcnn.ops.matching import match
from maskrcnn.ops.nms import grouped_nms
from maskrcnn.ops.sampling import sample_balanced
from maskrcnn.structures.boxes import box_iou, clip_boxes, intersection_over_area
from maskrcnn.structures.constants import constant
from maskrcnn.structures.image_batch import ImageBatch, Size
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.targets import Targets

CROWD_OVERLAP = 0.5  # a box that lies in a crowd region by more than this part is neither positive nor negative


@dataclass(frozen=True)
class Anchors:
    """One size or several for each level, the same ratios (height / width) on all; see `AnchorSettings`."""

    sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512)
    ratios: Sequence[float] = (0.5, 1.0, 2.0)
    rounded: bool = False
    offset: float = 0.0
    stride: Literal["fixed", "from_grid"] = "fixed"
    strides: Sequence[int] = STRIDES
    """Of the levels."""

    @property
    def per_cell(self) -> int:
        """Anchors of a cell: the RPN's outputs."""
        sizes = self.sizes[0]
        return len(self.ratios) * (len(sizes) if isinstance(sizes, Sequence) else 1)

    def __call__(self, padded_size: Size, grids: Sequence[Size], device: torch.device) -> list[Tensor]:
        """Anchors (h * w * per_cell, 4) for each grid (h, w), cell after cell in rows, those of a cell together.

        Centred on multiples of the stride, or `offset` strides beyond them; not clipped to the image.
        """
        levels = []
        for i, (height, width) in enumerate(grids):
            stride_y = stride_x = self.strides[i]
            if self.stride == "from_grid":
                stride_y, stride_x = padded_size[0] // height, padded_size[1] // width
            y = (torch.arange(height, device=device, dtype=torch.float32) + self.offset) * stride_y
            x = (torch.arange(width, device=device, dtype=torch.float32) + self.offset) * stride_x
            grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
            centres = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=-1).reshape(-1, 1, 4)
            levels.append((centres + constant(self._cell(i), device)).reshape(-1, 4))
        return levels

    def _cell(self, level: int) -> tuple[tuple[float, ...], ...]:
        """Anchors, sizes * ratios of them, around the origin, the ratios of a size together."""
        of_level = self.sizes[level]
        sizes = of_level if isinstance(of_level, Sequence) else [of_level]
        roots = torch.tensor(self.ratios, dtype=torch.float32).sqrt()
        heights, widths = torch.cat([size * roots for size in sizes]), torch.cat([size / roots for size in sizes])
        cell = torch.stack([-widths, -heights, widths, heights], dim=1) / 2
        return tuple(map(tuple, (cell.round() if self.rounded else cell).tolist()))


@dataclass(frozen=True)
class Limit:
    """A limit that an image may have touched."""

    was_hit: Tensor
    """(N,) bool."""
    sentence: str
    """What was lost where it was."""


@dataclass(frozen=True)
class ProposalRules:
    """How many candidates survive and what they are compared by; see `RPNSettings`."""

    pre_nms_top_n: int = 2000
    post_nms_top_n: int = 2000
    rank_by: Literal["logit", "probability"] = "logit"
    pre_nms_scope: Literal["level", "image"] = "level"
    nms_threshold: float = 0.7
    nms_scope: Literal["level", "image"] = "level"
    min_size: float = 0.0
    clip_to: Literal["image", "padded"] = "image"
    zero_padded: bool = False


@dataclass(frozen=True)
class AnchorRules:
    """Which anchors the losses look at; see `RPNSettings`."""

    foreground_iou: float = 0.7
    background_iou: float = 0.3
    per_image: int = 256
    positive_fraction: float = 0.5
    smooth_l1_beta: float = 1 / 9


@dataclass(frozen=True)
class Dense:
    """What the static part of the network gives for a padded batch."""

    levels: list[Tensor]
    """P2..P6, each (N, C, h, w)."""
    objectness_logits: list[Tensor]
    """Of each level, (N, A_level)."""
    deltas: list[Tensor]
    """Of each level, (N, A_level, 4)."""

    @property
    def grids(self) -> list[Size]:
        """(h, w) of each level."""
        return [(level.shape[-2], level.shape[-1]) for level in self.levels]


@dataclass(frozen=True)
class Proposals:
    """Regions of one image, the most object-like first."""

    boxes: Tensor
    """(P, 4) px of the padded frame."""
    objectness_logits: Tensor
    """(P,)."""
    hit_pre_nms: Tensor
    """() bool: a candidate that looked like an object (objectness above one half) was cut before NMS."""
    hit_post_nms: Tensor
    """() bool: a proposal that looked like an object was cut after NMS."""


class RPN(nn.Module):
    """Convolutions shared by all levels, and for each anchor an objectness logit and four deltas.

    Args:
        rules: when detecting; `train_rules` in training.
        edge: what the last pixel's index lacks to the edge: 0 for continuous boxes, 1 for inclusive ones.
    """

    loss_names = ("rpn_objectness", "rpn_box")

    def __init__(
        self,
        in_channels: int,
        anchors: Anchors | None = None,
        *,
        convs: int = 1,
        channels: int | None = None,
        delta_weights: Weights = (1, 1, 1, 1),
        delta_clamp: Clamp = "max",
        rules: ProposalRules | None = None,
        train_rules: ProposalRules | None = None,
        anchor_rules: AnchorRules | None = None,
        edge: float = 0.0,
    ) -> None:
        super().__init__()
        channels = channels or in_channels
        self.anchors = anchors or Anchors()
        self.delta_weights = delta_weights
        self.delta_clamp: Clamp = delta_clamp
        self.rules = rules or ProposalRules()
        self.train_rules = train_rules or replace(self.rules, zero_padded=False)
        self.anchor_rules = anchor_rules or AnchorRules()
        self.edge = edge
        num_anchors = self.anchors.per_cell
        self.convs = conv_stack(in_channels, channels, convs, "none")
        self.objectness = nn.Conv2d(channels, num_anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * num_anchors, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias, 0.0)  # pyright: ignore[reportArgumentType]

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness logits [(N, A_level)] and deltas [(N, A_level, 4)] in the order of the anchors."""
        logits, deltas = [], []
        for features in levels:
            x = self.convs(features)
            logits.append(self.objectness(x).float().permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(x).float().permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)))
        return logits, deltas

    @torch.no_grad()
    def propose(
        self, dense: Dense, anchors: Sequence[Tensor], images: ImageBatch, rules: ProposalRules
    ) -> list[Proposals]:
        """The best candidates of every image, decoded, clipped and freed of near duplicates.

        Args:
            anchors: of each level, (A_level, 4).
        """
        edge = self.edge
        levels = zip(dense.objectness_logits, dense.deltas, anchors, strict=True)
        candidates = [self._top(*level, rules) for level in levels]
        rank = torch.cat([c[0] for c in candidates], dim=1)  # (N, sum of top n)
        boxes = torch.cat([c[1] for c in candidates], dim=1)
        was_cut = torch.stack([c[2] for c in candidates]).any(dim=0)  # (N,)
        level_idx = torch.cat([torch.full((c[0].shape[1],), i, device=rank.device) for i, c in enumerate(candidates)])
        if rules.pre_nms_scope == "image" and rank.shape[1] > rules.pre_nms_top_n:
            score = rank.sigmoid() if rules.rank_by == "probability" else rank
            order = score.sort(dim=1, descending=True, stable=True).indices
            top, cut = order[:, : rules.pre_nms_top_n], order[:, rules.pre_nms_top_n]
            was_cut = rank.gather(1, cut[:, None])[:, 0] > 0
            rank, boxes = rank.gather(1, top), boxes.gather(1, top[..., None].expand(-1, -1, 4))
            level_idx = level_idx[top]  # (N, pre_nms_top_n)
        else:
            level_idx = level_idx.expand_as(rank)
        clipped = self._clip(boxes, images, rules)
        sides = clipped[..., 2:] - clipped[..., :2]
        is_valid = torch.isfinite(clipped).all(dim=2)
        if rules.min_size > 0:
            is_valid &= (sides >= rules.min_size).all(dim=2)
        elif edge == 0:
            is_valid &= (sides > 0).all(dim=2)
        # All images at once, and what is not valid as boxes without an area, which NMS neither takes nor takes others
        # by: leaving it out first would be one more wait for a GPU.
        score = rank.sigmoid() if rules.rank_by == "probability" else rank
        score = score.masked_fill(~is_valid, -torch.inf)
        groups = torch.arange(len(images), device=rank.device)[:, None].expand_as(rank)
        if rules.nms_scope == "level":
            groups = groups * len(candidates) + level_idx
        num = rank.shape[1]
        flat = clipped.masked_fill(~is_valid[..., None], 0.0).flatten(0, 1)
        kept = grouped_nms(flat, score.flatten(), groups.flatten(), rules.nms_threshold)
        kept = kept[(kept // num).sort(stable=True).indices]  # image after image, still the best first
        is_of_image = (kept // num)[:, None] == torch.arange(len(images), device=kept.device)
        is_valid = is_of_image & is_valid.flatten()[kept, None]
        num_kept, num_valid = torch.stack([is_of_image.sum(dim=0), is_valid.sum(dim=0)]).tolist()
        proposals = []
        for i, of_image in enumerate(kept.split(num_kept)):
            all_kept = of_image[: num_valid[i]] - i * num
            own, rest = all_kept[: rules.post_nms_top_n], all_kept[rules.post_nms_top_n :]
            hit_post_nms = (rank[i, rest] > 0).any()
            lacking = rules.post_nms_top_n - len(own) if rules.zero_padded else 0
            proposals.append(
                Proposals(
                    F.pad(clipped[i, own], (0, 0, 0, lacking)),
                    F.pad(rank[i, own], (0, lacking), value=float("-inf")),
                    was_cut[i],
                    hit_post_nms,
                )
            )
        return proposals

    def _clip(self, boxes: Tensor, images: ImageBatch, rules: ProposalRules) -> Tensor:
        """Boxes (N, n, 4) within their images, or within the padded frame."""
        if rules.clip_to == "padded":
            height, width = images.padded_size
            return clip_boxes(boxes, (height - self.edge, width - self.edge))
        origin, size, _ = images.frames[:, :, None]  # (N, 1, 4)
        return torch.minimum((boxes - origin).clamp(min=0), size - self.edge) + origin

    def _top(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, rules: ProposalRules
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, n) and boxes (N, n, 4) of a level's best, and whether an object-like one was left out (N,)."""
        num = min(logits.shape[1], rules.pre_nms_top_n)
        # One more than is kept shows whether the cut lost anything.
        top = logits.topk(min(num + 1, logits.shape[1]), dim=1)
        was_cut = (
            top.values[:, num] > 0 if top.values.shape[1] > num else logits.new_zeros(len(logits), dtype=torch.bool)
        )
        idx = top.indices[:, :num]
        if rules.pre_nms_scope == "image":  # equal probabilities then keep the order of the anchors, as TensorFlow's do
            idx = idx.sort(dim=1).values
        chosen = deltas.gather(1, idx[..., None].expand(-1, -1, 4))
        references = anchors[idx] - constant((0, 0, self.edge, self.edge), anchors.device)
        boxes = decode_deltas(chosen, references, self.delta_weights, self.delta_clamp)
        return logits.gather(1, idx), boxes, was_cut

    def limits(self, proposals: Sequence[Proposals]) -> tuple[Limit, ...]:
        """What cutting the candidates may have cost each image."""
        rules = self.rules
        return (
            Limit(
                torch.stack([p.hit_pre_nms for p in proposals]),
                f"more than {rules.pre_nms_top_n} likely regions before NMS (rpn.pre_nms_top_n)",
            ),
            Limit(
                torch.stack([p.hit_post_nms for p in proposals]),
                f"more than {rules.post_nms_top_n} likely proposals (rpn.post_nms_top_n)",
            ),
        )

    def losses(
        self,
        dense: Dense,
        anchors: Sequence[Tensor],
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Losses:
        """Objectness and box loss, both over the number of sampled anchors (arXiv:1506.01497, equation 1).

        Args:
            targets: with boxes in the padded frame, as `ImageBatch.to_padded` makes them.
            generators: draw the anchors of each image.
        """
        rules = self.anchor_rules
        all_logits, all_deltas = torch.cat(dense.objectness_logits, 1), torch.cat(dense.deltas, 1)
        all_anchors = torch.cat(list(anchors))
        all_anchors = all_anchors - constant((0, 0, self.edge, self.edge), all_anchors.device)
        sampled_logits, is_object, positive_deltas, delta_targets = [], [], [], []
        for i, target in enumerate(targets):
            iou = box_iou(target.boxes, all_anchors)
            object_idx, kind = match(iou, rules.foreground_iou, rules.background_iou, True)
            kind = ignore_crowds(kind, all_anchors, target.ignore_boxes)
            positives, negatives = sample_balanced(
                kind, rules.per_image, rules.positive_fraction, generators[i] if generators else None
            )
            sampled_logits += [all_logits[i, positives], all_logits[i, negatives]]
            is_object += [torch.ones_like(sampled_logits[-2]), torch.zeros_like(sampled_logits[-1])]
            positive_deltas.append(all_deltas[i, positives])
            delta_targets.append(
                encode_deltas(target.boxes[object_idx[positives]], all_anchors[positives], self.delta_weights)
            )
        num_sampled = sum(len(part) for part in sampled_logits)
        divisor = max(num_sampled, 1)
        objectness_loss = F.binary_cross_entropy_with_logits(
            torch.cat(sampled_logits), torch.cat(is_object), reduction="sum"
        )
        box_loss = smooth_l1(torch.cat(positive_deltas), torch.cat(delta_targets), rules.smooth_l1_beta)
        # Levels without a positive still take part, with weight 0, so that no parameter is left out of the graph.
        means = (objectness_loss / divisor, box_loss / divisor + 0.0 * all_deltas.sum())
        return Losses(dict(zip(self.loss_names, means, strict=True)), dict.fromkeys(self.loss_names, num_sampled))


def ignore_crowds(kind: Tensor, boxes: Tensor, ignore_boxes: Tensor) -> Tensor:
    """`kind` (A,) of `match`, with negatives that lie in a crowd region turned to -1."""
    if len(ignore_boxes) == 0:
        return kind
    in_crowd = intersection_over_area(boxes, ignore_boxes).amax(dim=1) > CROWD_OVERLAP
    return torch.where(in_crowd & (kind == 0), torch.full_like(kind, -1), kind)
