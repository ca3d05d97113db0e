"""Box coding against the oracle, on paper, and its law."""

import math

import pytest
import torch
from torch import Tensor

from maskrcnn.ops.box_deltas import MAX_LOG_SCALE, Clamp, decode_deltas, encode_deltas
from tests.oracles import box_deltas as slow

ONES = (1.0, 1.0, 1.0, 1.0)
HEAD = (10.0, 10.0, 5.0, 5.0)
CLAMPS: list[Clamp] = ["max", "both", "none"]


def random_boxes(num: int) -> Tensor:
    corners = torch.rand(num, 2) * 200 - 50
    return torch.cat([corners, corners + 0.5 + torch.rand(num, 2) * 100], dim=1)


@pytest.mark.parametrize("weights", [ONES, HEAD])
def test_encode_equals_the_oracle(weights: tuple[float, float, float, float], device: torch.device):
    boxes, references = random_boxes(30), random_boxes(30)
    pairs = zip(boxes.tolist(), references.tolist(), strict=True)
    expected = torch.tensor([slow.encode(box, reference, list(weights)) for box, reference in pairs])
    fast = encode_deltas(boxes.to(device), references.to(device), weights)
    torch.testing.assert_close(fast.cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weights", [ONES, HEAD])
@pytest.mark.parametrize("clamp", CLAMPS)
def test_decode_equals_the_oracle(weights: tuple[float, float, float, float], clamp: Clamp, device: torch.device):
    references = random_boxes(30)
    deltas = torch.randn(30, 4) * torch.tensor([1.0, 1, 4, 4]) * torch.tensor(weights)  # some beyond both limits
    assert (deltas[:, 2:].abs() > MAX_LOG_SCALE * weights[2]).any()
    pairs = zip(deltas.tolist(), references.tolist(), strict=True)
    expected = torch.tensor([slow.decode(delta, reference, list(weights), clamp) for delta, reference in pairs])
    fast = decode_deltas(deltas.to(device), references.to(device), weights, clamp)
    torch.testing.assert_close(fast.cpu(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("weights", [ONES, HEAD])
def test_decode_inverts_encode(weights: tuple[float, float, float, float], clamp: Clamp):
    boxes, references = random_boxes(200), random_boxes(200)
    scale = ((boxes[:, 2:] - boxes[:, :2]) / (references[:, 2:] - references[:, :2])).log()
    boxes, references = boxes[(scale.abs() < MAX_LOG_SCALE).all(1)], references[(scale.abs() < MAX_LOG_SCALE).all(1)]
    deltas = encode_deltas(boxes, references, weights)
    torch.testing.assert_close(decode_deltas(deltas, references, weights, clamp), boxes, rtol=1e-5, atol=1e-3)


def test_on_paper():
    # The reference is 10 wide and 20 high around (5, 10); the box 20 wide and 20 high around (10, 15):
    # a shift of half a width and a quarter of a height, and twice the width.
    reference, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[0.0, 5, 20, 25]])
    deltas = encode_deltas(box, reference, HEAD)
    assert deltas[0].tolist() == pytest.approx([5, 2.5, 5 * math.log(2), 0])
    assert decode_deltas(deltas, reference, HEAD)[0].tolist() == pytest.approx([0, 5, 20, 25])


def test_limits_of_the_scale():
    reference = torch.tensor([[-8.0, -8, 8, 8]])
    grow, shrink = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[0.0, 0, -9, -9]])
    # 16 px grow to at most 16 * 1000 / 16 = 1000 px, and with both limits shrink to no less than 0.256 px.
    for clamp in ("max", "both"):
        assert decode_deltas(grow, reference, ONES, clamp)[0].tolist() == pytest.approx(
            [-500, -500, 500, 500], rel=1e-5
        )
    assert decode_deltas(shrink, reference, ONES, "both")[0, 2].item() == pytest.approx(0.128, rel=1e-4)
    assert decode_deltas(shrink, reference, ONES, "max")[0, 2].item() == pytest.approx(8 * math.exp(-9), rel=1e-4)
    assert decode_deltas(grow, reference, ONES, "none")[0, 2].item() == pytest.approx(8 * math.exp(9), rel=1e-4)


def test_broadcasts_and_stays_in_float32():
    references = random_boxes(5)
    deltas = torch.randn(3, 5, 4).bfloat16()
    boxes = decode_deltas(deltas, references, ONES)
    assert boxes.shape == (3, 5, 4)
    assert boxes.dtype == torch.float32
    torch.testing.assert_close(boxes[1], decode_deltas(deltas[1].float(), references, ONES))


def test_nothing():
    no_boxes = torch.zeros(0, 4)
    assert encode_deltas(no_boxes, no_boxes, ONES).shape == (0, 4)
    assert decode_deltas(no_boxes, no_boxes, ONES).shape == (0, 4)
