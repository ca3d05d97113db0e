"""Which level a region is read from, on paper, and that reading keeps the order."""

import pytest
import torch
from torch import Tensor

from maskrcnn.config.model import RoISettings
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.ops.roi_align import roi_align

FRAME = (1024, 1024)


def level_of(pooler: RoIPooler, *sides: float) -> list[int]:
    """Level 2..5 of a square of each side."""
    boxes = torch.tensor([[10.0, 20, 10 + side, 20 + side] for side in sides])
    return [level + 2 for level in pooler.level_of(boxes, FRAME).tolist()]


def constant_levels(num_images: int = 2) -> list[Tensor]:
    """Maps of a 256 px frame; each value says level and image: 20, 21, 30, 31, ..."""
    image = torch.arange(float(num_images)).view(-1, 1, 1, 1)
    return [(10.0 * (2 + i) + image).expand(-1, 3, 256 // s, 256 // s) for i, s in enumerate((4, 8, 16, 32, 64))]


def test_floor_on_paper():
    # 224 px is level 4, and exact powers of two lie on the upper level: 112 is 3, 448 is 5.
    assert level_of(RoIPooler(), 112, 224, 448) == [3, 4, 5]
    assert level_of(RoIPooler(), 111.9, 223.9, 447.9) == [2, 3, 4]
    assert level_of(RoIPooler(), 1, 20, 900, 5000) == [2, 2, 5, 5]  # nothing below P2 or above P5
    assert level_of(RoIPooler(canonical_size=112), 112, 55.9) == [4, 2]


def test_the_level_is_by_area():
    boxes = torch.tensor([[0.0, 0, 448, 112], [0, 0, 447, 112]])  # roots of the areas: 224 and 223.75
    assert RoIPooler().level_of(boxes, FRAME).tolist() == [2, 1]


def test_round_on_paper():
    # The steps lie at 224 * 2 ** (-1.5, -0.5, 0.5) = 79.2, 158.4 and 316.8 px.
    pooler = RoIPooler(level_rule="round", level_eps=0.0)
    assert level_of(pooler, 79.1, 79.3, 158.3, 158.5, 316.7, 316.9) == [2, 3, 3, 4, 4, 5]


def test_crop_and_resize_measures_normalised_boxes():
    # Boxes are divided by 1023 and multiplied by 1024, so 79.12 px inclusive already count as 79.197.
    measured = RoIPooler("crop_and_resize", level_rule="round", level_eps=0.0)
    assert level_of(measured, 79.1, 79.15) == [2, 3]
    assert level_of(RoIPooler(level_rule="round", level_eps=0.0), 79.15) == [2]


def test_eps_inside_and_outside_of_the_logarithm():
    # On the ratio side / 224 itself, 1e-5 lifts what lacks 8e-6; on its logarithm to base 2 it lifts only what
    # lacks 1e-5 * ln 2 = 6.9e-6. Nothing lifts a lack of 2e-5.
    sides = [224 * (1 - lack) for lack in (5e-6, 8e-6, 2e-5)]
    assert level_of(RoIPooler(level_eps=1e-5, level_eps_inside_log=True), *sides) == [4, 4, 3]
    assert level_of(RoIPooler(level_eps=1e-5, level_eps_inside_log=False), *sides) == [4, 3, 3]
    assert level_of(RoIPooler(level_eps=0.0), *sides) == [3, 3, 3]


@pytest.mark.parametrize("eps", [0.0, 1e-8])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("rule", ["floor", "round"])
def test_an_empty_region_is_read_from_p2(eps: float, inside: bool, rule):
    pooler = RoIPooler(level_rule=rule, level_eps=eps, level_eps_inside_log=inside)
    boxes = torch.tensor([[5.0, 5, 5, 9], [9.0, 9, 5, 5], [torch.nan, 0, 5, 5]])
    assert pooler.level_of(boxes, FRAME).tolist() == [0, 0, 0]


@pytest.mark.parametrize("operation", ["roi_align", "crop_and_resize"])
def test_every_region_reads_its_own_level_and_image(operation, device: torch.device):
    sides = [60.0, 240, 30, 120, 60, 500]
    boxes = torch.tensor([[1.0, 2, 1 + s, 2 + s] for s in sides], device=device)
    image_idx = torch.tensor([0, 1, 1, 0, 1, 0], device=device)
    pooler = RoIPooler(operation, canonical_size=120)
    levels = [level.to(device) for level in constant_levels()]
    pooled = pooler(levels, boxes, image_idx, (256, 256), 2)
    assert pooled.shape == (6, 3, 2, 2)
    assert pooled.dtype == torch.float32
    values = pooled[:, 0, 0, 0].tolist()  # the first bin of each lies inside the frame
    assert values == pytest.approx([30, 51, 21, 40, 31, 50], abs=1e-3)


def test_is_roi_align_on_the_chosen_level():
    levels = [torch.randn(2, 3, 256 // s, 256 // s) for s in (4, 8, 16, 32, 64)]
    boxes, image_idx = torch.tensor([[3.0, 4, 90, 70], [10, 10, 150, 140.0]]), torch.tensor([1, 0])
    for options in ({"aligned": True, "sampling_ratio": 2}, {"aligned": False, "sampling_ratio": 0}):
        pooled = RoIPooler(**options)(levels, boxes, image_idx, (256, 256), 7)
        for i, (level, stride) in enumerate(((0, 4), (1, 8))):
            expected = roi_align(levels[level], boxes[i : i + 1], image_idx[i : i + 1], stride, 7, **options)
            torch.testing.assert_close(pooled[i : i + 1], expected)


def test_gradients_reach_the_levels_that_were_read():
    levels = [level.clone().requires_grad_() for level in constant_levels()]
    boxes = torch.tensor([[0.0, 0, 60, 60], [0, 0, 230, 230]])
    RoIPooler()(levels, boxes, torch.tensor([0, 1]), (256, 256), 7).sum().backward()
    was_read = [bool(level.grad is not None and level.grad.any()) for level in levels]
    assert was_read == [True, False, True, False, False]


@pytest.mark.parametrize("operation", ["roi_align", "crop_and_resize"])
def test_nothing(operation):
    levels = [level.clone().requires_grad_() for level in constant_levels()]
    no_idx = torch.zeros(0, dtype=torch.int64)
    assert RoIPooler(operation)(levels, torch.zeros(0, 4), no_idx, (256, 256), 7).shape == (0, 3, 7, 7)


def test_what_is_not_said_is_as_in_the_settings():
    settings = RoISettings().model_dump()
    own = vars(RoIPooler())
    shared = own.keys() & settings.keys()
    assert len(shared) == 7
    assert {name: own[name] for name in shared} == {name: settings[name] for name in shared}
