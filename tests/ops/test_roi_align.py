"""RoIAlign against the oracle and on paper, with and without gradients."""

import pytest
import torch
from torch import Tensor

from maskrcnn.ops.roi_align import roi_align
from tests.conftest import AsCuda
from tests.oracles.roi_align import roi_align as slow_roi_align

STRIDE = 4.0


def random_case(num_boxes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two maps of 6 x 9 cells; boxes from a point to more than the whole map, some far outside."""
    features = torch.randn(2, 3, 6, 9)
    centre = torch.rand(num_boxes, 2) * torch.tensor([52.0, 40.0]) - 8
    half = 0.2 * 150 ** torch.rand(num_boxes, 2)
    return features, torch.cat([centre - half, centre + half], dim=1), torch.arange(num_boxes) % 2


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("needs_gradient", [True, False])
def test_equals_the_oracle(sampling_ratio: int, aligned: bool, needs_gradient: bool, device: torch.device):
    features, boxes, image_idx = random_case(12)
    fast = roi_align(
        features.clone().to(device).requires_grad_(needs_gradient),
        boxes.to(device),
        image_idx.to(device),
        STRIDE,
        3,
        sampling_ratio,
        aligned,
    )
    slow = slow_roi_align(features.numpy(), boxes.numpy(), image_idx.tolist(), STRIDE, 3, sampling_ratio, aligned)
    assert fast.requires_grad == needs_gradient
    torch.testing.assert_close(fast.detach().cpu(), torch.from_numpy(slow).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_way_of_a_gpu_gives_the_same(sampling_ratio: int, aligned: bool):
    features, boxes, image_idx = random_case(12)
    slow = slow_roi_align(features.numpy(), boxes.numpy(), image_idx.tolist(), STRIDE, 3, sampling_ratio, aligned)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2**-6)):
        on_gpu = features.to(dtype).as_subclass(AsCuda)
        pooled = roi_align(on_gpu, boxes, image_idx, STRIDE, 3, sampling_ratio, aligned)
        assert pooled.dtype == dtype
        expected = (
            torch.from_numpy(slow).float()
            if dtype == torch.float32
            else roi_align(features.to(dtype).float(), boxes, image_idx, STRIDE, 3, sampling_ratio, aligned)
        )
        plain = pooled.as_subclass(torch.Tensor).float()
        torch.testing.assert_close(plain, expected, rtol=max(tolerance, 1e-4), atol=tolerance)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_gradients_are_the_oracles(sampling_ratio: int, aligned: bool, device: torch.device):
    """Pooling is linear in the features: what comes out, weighed, is the features weighed by their gradient."""
    features, boxes, image_idx = random_case(12)
    leaf = features.clone().to(device).requires_grad_()
    pooled = roi_align(leaf, boxes.to(device), image_idx.to(device), STRIDE, 3, sampling_ratio, aligned)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(3))
    pooled.backward(weights.to(device))
    assert leaf.grad is not None
    for i in range(4):  # other features have other sums, so a wrong gradient is not right by chance
        other = torch.randn(features.shape, generator=torch.Generator().manual_seed(i))
        slow = slow_roi_align(other.numpy(), boxes.numpy(), image_idx.tolist(), STRIDE, 3, sampling_ratio, aligned)
        expected = float((torch.from_numpy(slow).double() * weights.double()).sum())
        assert float((other.double() * leaf.grad.cpu().double()).sum()) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_on_paper(needs_gradient: bool):
    # The map's value is its column. A box over px 8..24 spans columns 2..6 in edges, which is 1.5..5.5 where a cell's
    # centre is its index; the middles of its two bins are 2.5 and 4.5. Without alignment: 2..6, so 3 and 5.
    ramp = torch.arange(9.0).expand(1, 1, 6, 9).clone().requires_grad_(needs_gradient)
    box, image = torch.tensor([[8.0, 8, 24, 16]]), torch.zeros(1, dtype=torch.int64)
    for ratio in (0, 1, 2):
        aligned = roi_align(ramp, box, image, STRIDE, 2, ratio, True)
        assert aligned.flatten().tolist() == pytest.approx([2.5, 4.5, 2.5, 4.5])
        shifted = roi_align(ramp, box, image, STRIDE, 2, ratio, False)
        assert shifted.flatten().tolist() == pytest.approx([3, 5, 3, 5])


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_an_even_map_gives_its_value_inside(needs_gradient: bool):
    features = torch.full((1, 2, 8, 8), 3.0, requires_grad=needs_gradient)
    boxes = torch.tensor([[0.0, 0, 32, 32], [5.0, 6, 5.1, 30]])
    pooled = roi_align(features, boxes, torch.zeros(2, dtype=torch.int64), STRIDE, 7, 2, True)
    torch.testing.assert_close(pooled, torch.full((2, 2, 7, 7), 3.0))


@pytest.mark.parametrize("aligned", [True, False])
def test_gradients_are_those_of_the_adaptive_path(aligned: bool):
    # Boxes of at most 6 cells in 3 bins take 2 samples a bin either way, so both paths are the same function.
    features, _, image_idx = random_case(8)
    corners = torch.rand(8, 2) * 30 - 8
    boxes = torch.cat([corners, corners + STRIDE * (3.1 + 2.8 * torch.rand(8, 2))], dim=1)
    gradients = []
    for ratio in (2, 0):
        leaf = features.clone().requires_grad_()
        pooled = roi_align(leaf, boxes, image_idx, STRIDE, 3, ratio, aligned)
        (pooled * torch.arange(9.0).view(3, 3)).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_in_float32_and_all_else_in_the_type_of_the_map(
    memory_format: torch.memory_format, dtype: torch.dtype
):
    features, boxes, image_idx = random_case(5)
    expected = roi_align(features.to(dtype).float(), boxes, image_idx, STRIDE, 3, 2, True)
    for needs_gradient in (True, False):
        leaf = features.to(dtype).contiguous(memory_format=memory_format).requires_grad_(needs_gradient)
        pooled = roi_align(leaf, boxes, image_idx, STRIDE, 3, 2, True)
        assert pooled.dtype == (torch.float32 if needs_gradient else dtype)
        tolerance = 1e-5 if pooled.dtype == torch.float32 else 2**-6  # samples' weights are rounded to bf16 too
        torch.testing.assert_close(pooled.detach().float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("needs_gradient", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_nothing(needs_gradient: bool, sampling_ratio: int, device: torch.device):
    features = torch.randn(2, 3, 6, 9, device=device, requires_grad=needs_gradient)
    no_image = torch.zeros(0, dtype=torch.int64, device=device)
    pooled = roi_align(features, torch.zeros(0, 4, device=device), no_image, STRIDE, 7, sampling_ratio, True)
    assert pooled.shape == (0, 3, 7, 7)
    assert pooled.requires_grad == needs_gradient
