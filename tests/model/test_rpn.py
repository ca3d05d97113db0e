"""RPN: the order of its outputs, and its losses on paper. What it proposes is in test_proposals.py."""

import math

import pytest
import torch
from torch import Tensor, nn

from maskrcnn.model.losses import smooth_l1
from maskrcnn.model.rpn import RPN, AnchorRules, Anchors, Dense, ignore_crowds
from maskrcnn.ops.box_deltas import encode_deltas
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

ONES = (1.0, 1.0, 1.0, 1.0)


def targets_of(boxes: list[list[float]], ignore: list[list[float]] | None = None) -> Targets:
    pixel = [(0, 0, torch.ones(1, 1).numpy())] * len(boxes)
    return Targets(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(len(boxes), dtype=torch.int64),
        MaskCrops.from_bitmaps(pixel),
        torch.tensor(ignore or [], dtype=torch.float32).reshape(-1, 4),
    )


@pytest.mark.parametrize(("convs", "channels"), [(1, None), (2, None), (1, 24)])
def test_shapes(convs: int, channels: int | None):
    rpn = RPN(8, convs=convs, channels=channels)
    logits, deltas = rpn([torch.zeros(2, 8, 6, 7), torch.zeros(2, 8, 3, 4)])
    assert [tuple(level.shape) for level in logits] == [(2, 126), (2, 36)]
    assert [tuple(level.shape) for level in deltas] == [(2, 126, 4), (2, 36, 4)]
    widths = [part.out_channels for part in rpn.modules() if isinstance(part, nn.Conv2d)]
    assert widths == [channels or 8] * convs + [3, 12]


def test_outputs_are_in_the_order_of_the_anchors():
    # Without convolutions the outputs read the map itself. Its channels are the column and the row of a cell, and
    # output r adds 1000 r, so each logit says which column, row and ratio it belongs to.
    rpn = RPN(2, convs=1)
    rpn.convs = nn.Sequential()
    rpn.objectness, rpn.deltas = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 12, 1)
    nn.init.constant_(rpn.objectness.weight, 1.0)
    rpn.objectness.bias.data = torch.tensor([0.0, 1000, 2000])
    nn.init.constant_(rpn.deltas.weight, 0.0)
    rpn.deltas.bias.data = torch.arange(12.0)
    y, x = torch.meshgrid(torch.arange(2) * 10.0, torch.arange(3.0), indexing="ij")
    logits, deltas = rpn([torch.stack([x, y])[None]])
    boxes = Anchors(ratios=(1.0, 1.0, 1.0))((8, 12), [(2, 3)] + [(1, 1)] * 4, torch.device("cpu"))[0]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / 4  # in cells
    ratio = torch.arange(3).repeat(6)
    assert torch.equal(logits[0][0], centres[:, 0] + 10 * centres[:, 1] + 1000 * ratio)
    assert torch.equal(deltas[0][0], torch.arange(12.0).view(3, 4).repeat(6, 1))


class TestLosses:
    """Three anchors: the first one is the object, the second is far away, the third neither (IoU one half)."""

    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 20]])

    def losses(self, logits: Tensor, deltas: Tensor, targets: Targets, beta: float = 1 / 9, edge: float = 0.0):
        rpn = RPN(4, anchor_rules=AnchorRules(smooth_l1_beta=beta), edge=edge)
        losses = rpn.losses(Dense([], [logits], [deltas]), [self.anchors], [targets])
        assert list(losses.means) == list(losses.counts) == list(RPN.loss_names)
        return losses.means["rpn_objectness"], losses.means["rpn_box"], losses.counts["rpn_box"]

    def test_on_paper(self):
        logits = torch.tensor([[2.0, -1.0, 99.0]])
        deltas = torch.zeros(1, 3, 4)
        deltas[0, 0] = torch.tensor([1.0, 0, 0.05, 0])
        objectness, box, _ = self.losses(logits, deltas, targets_of([[0, 0, 10, 10]]))
        expected = (math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(-1.0))) / 2
        assert objectness.item() == pytest.approx(expected, rel=1e-5)
        # Linear above 1 / 9: 1 - 1 / 18; quadratic below: 0.05 ** 2 * 9 / 2. Over the two sampled anchors.
        assert box.item() == pytest.approx((1 - 1 / 18 + 0.05**2 * 4.5) / 2, rel=1e-5)
        l1 = self.losses(logits, deltas, targets_of([[0, 0, 10, 10]]), beta=0.0)[1]
        assert l1.item() == pytest.approx(1.05 / 2, rel=1e-5)

    def test_right_answers_cost_nothing(self):
        box = [[1.0, 0, 11, 9]]
        deltas = encode_deltas(torch.tensor(box).expand(3, 4), self.anchors, ONES)[None]
        objectness, box_loss, _ = self.losses(torch.tensor([[40.0, -40, 0]]), deltas, targets_of(box))
        assert objectness.item() < 1e-6
        assert box_loss.item() < 1e-6

    def test_inclusive_boxes_are_learned_as_they_are_decoded(self):
        inclusive_anchors = self.anchors - torch.tensor([0.0, 0, 1, 1])
        box = [[1.0, 0, 10, 8]]
        deltas = encode_deltas(torch.tensor(box).expand(3, 4), inclusive_anchors, ONES)[None]
        assert self.losses(torch.zeros(1, 3), deltas, targets_of(box), edge=1.0)[1].item() < 1e-6

    def test_no_object(self):
        logits, deltas = torch.zeros(1, 3, requires_grad=True), torch.randn(1, 3, 4, requires_grad=True)
        objectness, box, _ = self.losses(logits, deltas, targets_of([]))
        assert objectness.item() == pytest.approx(math.log(2), rel=1e-6)  # three negatives, all undecided
        assert box.item() == 0.0
        (objectness + box).backward()
        assert logits.grad is not None
        assert deltas.grad is not None
        assert not deltas.grad.any()

    def test_a_crowd_region_silences_negatives_but_no_positive(self):
        crowd = [[0.0, 0, 60, 60]]
        logits = torch.tensor([[2.0, -1.0, 99.0]])
        objectness, _, _ = self.losses(logits, torch.zeros(1, 3, 4), targets_of([[0, 0, 10, 10]], crowd))
        assert objectness.item() == pytest.approx(math.log(1 + math.exp(-2.0)), rel=1e-5)

    def test_nothing_left_to_sample(self):
        logits, deltas = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, 4, requires_grad=True)
        objectness, box, _ = self.losses(logits, deltas, targets_of([], [[0.0, 0, 99, 99]]))
        assert (objectness.item(), box.item()) == (0.0, 0.0)
        (objectness + box).backward()
        assert logits.grad is not None

    def test_images_are_averaged_by_their_anchors(self):
        logits = torch.tensor([[2.0, -1.0, 99.0], [0.0, 0.0, 0.0]])
        objects = [targets_of([[0, 0, 10, 10]]), targets_of([])]
        losses = RPN(4).losses(Dense([], [logits], [torch.zeros(2, 3, 4)]), [self.anchors], objects)
        objectness = losses.means["rpn_objectness"]
        assert losses.counts["rpn_objectness"] == 5
        first = math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(-1.0))
        assert objectness.item() == pytest.approx((first + 3 * math.log(2)) / 5, rel=1e-5)


def test_ignore_crowds_on_paper():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [5, 0, 15, 10], [4, 0, 14, 10], [90, 90, 99, 99]])
    crowd = torch.tensor([[0.0, 0, 10, 10]])
    kind = torch.tensor([0, 1, 0, 0, 0], dtype=torch.int8)
    # The third box lies in the crowd by exactly one half, the fourth by six tenths.
    assert ignore_crowds(kind, boxes, crowd).tolist() == [-1, 1, 0, -1, 0]
    assert ignore_crowds(kind, boxes, torch.zeros(0, 4)).tolist() == kind.tolist()
    assert ignore_crowds(kind[:0], boxes[:0], crowd).shape == (0,)


@pytest.mark.parametrize("beta", [0.0, 1 / 9, 1.0])
def test_smooth_l1_is_continuous_where_it_turns(beta: float):
    zero = torch.zeros(1)
    at, just_above = (smooth_l1(torch.tensor([beta + e]), zero, beta).item() for e in (0.0, 1e-4))
    assert at == pytest.approx(beta / 2, abs=1e-6)
    assert just_above == pytest.approx(at + 1e-4, abs=1e-6)
    assert smooth_l1(zero[:0], zero[:0], beta).item() == 0
