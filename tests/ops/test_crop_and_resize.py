"""TensorFlow's `crop_and_resize` against the oracle and on paper."""

import pytest
import torch

from maskrcnn.ops.roi_align import crop_and_resize
from tests.oracles.crop_and_resize import crop_and_resize as slow_crop_and_resize

EXTENT = (48, 64)


def test_equals_the_oracle(device: torch.device):
    features = torch.randn(2, 3, 12, 16)
    corners = torch.rand(20, 2) * torch.tensor([40.0, 30.0]) - 4
    boxes = torch.cat([corners, corners + torch.rand(20, 2) * 40], dim=1)  # some leave the frame on either side
    boxes[0] = torch.tensor([0.0, 0, 63, 47])
    boxes[1] = torch.tensor([5.0, 6, 5, 6])  # a single point
    num_of_image = [13, 7]
    fast = crop_and_resize(features.to(device), boxes.to(device), num_of_image, EXTENT, 5)
    slow = slow_crop_and_resize(features.numpy(), boxes.numpy(), [0] * 13 + [1] * 7, EXTENT, 5)
    torch.testing.assert_close(fast.cpu(), torch.from_numpy(slow).float(), rtol=1e-4, atol=2e-5)


def test_on_paper():
    # The map's value is its column, 0..15. The whole frame puts the outer samples on the outer cells; the left half
    # of it, px 0..31.5 of 0..63, ends in the middle of the map at 7.5.
    ramp = torch.arange(16.0).expand(1, 1, 12, 16)
    boxes = torch.tensor([[0.0, 0, 63, 47], [0, 0, 31.5, 47]])
    crops = crop_and_resize(ramp, boxes, [2], EXTENT, 4)
    assert crops[0, 0, 0].tolist() == pytest.approx([0, 5, 10, 15], abs=1e-5)
    assert crops[1, 0, 3].tolist() == pytest.approx([0, 2.5, 5, 7.5], abs=1e-5)


def test_samples_outside_are_nothing_and_the_border_is_inside():
    features = torch.ones(1, 1, 12, 16)
    boxes = torch.tensor([[-63.0, 0, 63, 47], [0, 0, 63, 47]])  # the first one starts a frame to the left
    crops = crop_and_resize(features, boxes, [2], EXTENT, 3)
    assert crops[0, 0].tolist() == [[0, 1, 1]] * 3
    assert crops[1, 0].tolist() == [[1, 1, 1]] * 3


@pytest.mark.parametrize(("side", "stride"), [(64, 4), (320, 32), (1024, 4), (1024, 16)])
def test_rounding_never_pushes_the_border_outside(side: int, stride: int):
    cells = side // stride
    start = torch.rand(200) * (side - 2)
    end = torch.full((200,), side - 1.0)
    features = torch.ones(1, 1, cells, cells)
    boxes = torch.stack([start, start, end, end], dim=1)
    assert crop_and_resize(features, boxes, [200], (side, side), 7).min() > 0.99


def test_gradients_reach_the_map():
    features = torch.randn(1, 2, 12, 16, requires_grad=True)
    crops = crop_and_resize(features, torch.tensor([[0.0, 0, 63, 47]]), [1], EXTENT, 3)
    crops.sum().backward()
    assert features.grad is not None
    assert features.grad.sum().item() == pytest.approx(2 * 9, rel=1e-5)  # every sample's weights sum to one


def test_nothing(device: torch.device):
    features = torch.randn(2, 3, 12, 16, device=device)
    assert crop_and_resize(features, torch.zeros(0, 4, device=device), [0, 0], EXTENT, 7).shape == (0, 3, 7, 7)
