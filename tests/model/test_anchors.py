"""Anchors on paper, against the oracle, and against torchvision's."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from maskrcnn.model.rpn import Anchors
from maskrcnn.structures.boxes import area
from tests.oracles.anchors import anchors as slow_anchors

CPU = torch.device("cpu")
GRIDS = [(12, 16), (6, 8), (3, 4), (2, 2), (1, 1)]


def test_on_paper():
    # 8 px for ratio 1; for height / width = 4 the sides are 16 high and 4 wide. The cells are 4 px apart in P2.
    levels = Anchors((8, 16, 32, 64, 128), (1.0, 4.0))((8, 8), [(2, 2), (1, 1), (1, 1), (1, 1), (1, 1)], CPU)
    assert levels[0].tolist() == [
        [-4, -4, 4, 4], [-2, -8, 2, 8],  # first row, first column
        [0, -4, 8, 4], [2, -8, 6, 8],  # first row, second column
        [-4, 0, 4, 8], [-2, -4, 2, 12],
        [0, 0, 8, 8], [2, -4, 6, 12],
    ]  # fmt: skip
    assert levels[4].tolist() == [[-64, -64, 64, 64], [-32, -128, 32, 128]]


@pytest.mark.parametrize("ratios", [(0.5, 1.0, 2.0), (2.0, 1.0, 0.5), (1.0,)])
def test_equal_the_oracle(ratios: tuple[float, ...], device: torch.device):
    sizes = (32, 64, 128, 256, 512)
    levels = Anchors(sizes, ratios)((48, 64), GRIDS, device)
    for level, size, stride, grid in zip(levels, sizes, (4, 8, 16, 32, 64), GRIDS, strict=True):
        expected = torch.tensor(slow_anchors(size, list(ratios), (stride, stride), grid))
        torch.testing.assert_close(level.cpu(), expected, rtol=1e-5, atol=1e-4)
        assert level.dtype == torch.float32


def test_a_size_is_the_root_of_the_area_and_a_ratio_is_height_over_width():
    ratios = (0.5, 1.0, 2.0)
    for level, size in zip(Anchors(ratios=ratios)((48, 64), GRIDS, CPU), (32, 64, 128, 256, 512), strict=True):
        torch.testing.assert_close(area(level), torch.full((len(level),), float(size) ** 2), rtol=1e-4, atol=0)
        sides = level[:, 2:] - level[:, :2]
        torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor(ratios).repeat(len(level) // 3))


def test_torchvisions_rounded_cell():
    # As its documentation of the COCO models has it: halves of 32 * sqrt(2) = 45.3 and of 32 / sqrt(2) = 22.6.
    cell = Anchors(rounded=True)((32, 32), [(1, 1)] * 5, CPU)[0]
    assert cell.tolist() == [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]


@pytest.mark.parametrize(("size", "p6_stride"), [((800, 1056), (61, 62)), ((1344, 64), (64, 64))])
def test_torchvisions_strides(size: tuple[int, int], p6_stride: tuple[int, int]):
    # P5 of 800 px has 25 cells, P6 13, and 800 // 13 = 61; 1056 gives 33, 17 and 62; 1344 gives 42, 21 and 64.
    p5 = size[0] // 32, size[1] // 32
    grids = [(size[0] // s, size[1] // s) for s in (4, 8, 16, 32)] + [((p5[0] + 1) // 2, (p5[1] + 1) // 2)]
    ours = Anchors(rounded=True, stride="from_grid")(size, grids, CPU)
    generator = AnchorGenerator(tuple((s,) for s in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5)
    images = ImageList(torch.zeros(1, 1, 1, 1).expand(1, 3, *size), [size])
    theirs = generator(images, [torch.zeros(1, 1, *grid) for grid in grids])[0]
    assert torch.equal(torch.cat(ours), theirs)
    columns = grids[4][1]
    second_row = ours[4][3 * columns]
    assert second_row[1] - ours[4][0, 1] == p6_stride[0]
    if columns > 1:
        assert ours[4][3, 0] - ours[4][0, 0] == p6_stride[1]
    fixed = Anchors(rounded=True)(size, grids, CPU)
    assert fixed[4][3 * columns, 1] - fixed[4][0, 1] == 64


def test_an_offset_moves_every_anchor_by_a_part_of_its_levels_stride():
    plain, moved = Anchors(rounded=True)((48, 64), GRIDS, CPU), Anchors(rounded=True, offset=0.5)((48, 64), GRIDS, CPU)
    for stride, before, after in zip((4, 8, 16, 32, 64), plain, moved, strict=True):
        torch.testing.assert_close(after, before + stride / 2)
