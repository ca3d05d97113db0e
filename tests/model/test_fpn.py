"""Feature pyramid: sizes, and the top-down sum on paper."""

import pytest
import torch
from torch import nn

from maskrcnn.model.fpn import FPN


@pytest.mark.parametrize("norm", ["none", "bn", "gn", "frozen_bn"])
def test_levels(norm):
    fpn = FPN((8, 16, 24, 40), 32, norm)
    sizes = [(17, 24), (9, 12), (5, 6), (3, 3)]  # odd sides, as of pictures that are no multiple of 32
    features = [torch.randn(2, c, *size) for c, size in zip((8, 16, 24, 40), sizes, strict=True)]
    levels = fpn(features)
    assert [tuple(level.shape) for level in levels] == [(2, 32, *size) for size in [*sizes, (2, 2)]]
    convs = [part for part in fpn.modules() if isinstance(part, nn.Conv2d)]
    assert len(convs) == 8
    assert all((conv.bias is not None) == (norm == "none") for conv in convs)


@pytest.mark.parametrize(
    ("given", "strides"), [((), (4, 8, 16, 32, 64)), (((4, 8),), (4, 8, 16)), (((8, 16, 16),), (8, 16, 16, 32))]
)
def test_the_levels_have_the_body_s_strides_and_one_more(given: tuple, strides: tuple[int, ...]):
    fpn = FPN((8,) * (len(strides) - 1), 16, "none", *given)
    assert fpn.strides == strides
    assert fpn.roi_strides == strides[:-1]


def test_p6_is_every_second_cell_of_p5():
    *_, p5, p6 = FPN((4, 4, 4, 4), 32)([torch.randn(1, 4, side, side) for side in (40, 20, 10, 5)])
    assert torch.equal(p6, p5[..., ::2, ::2])


def test_top_down_on_paper():
    # With every convolution passing its input on, a cell of a level is the sum of the cells above it:
    # C5 is 1000, C4 100 to 400, C3 10 and C2 1.
    fpn = FPN((1, 1, 1, 1), 1)
    for part in fpn.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.dirac_(part.weight)
    c4 = torch.tensor([[100.0, 200], [300, 400]])[None, None]
    c2, c3, c5 = torch.full((1, 1, 8, 8), 1.0), torch.full((1, 1, 4, 4), 10.0), torch.full((1, 1, 1, 1), 1000.0)
    p2, p3, p4, p5, p6 = fpn([c2, c3, c4, c5])
    assert p5.flatten().tolist() == p6.flatten().tolist() == [1000]
    assert p4.flatten().tolist() == [1100, 1200, 1300, 1400]
    assert p3[0, 0, 0].tolist() == [1110, 1110, 1210, 1210]
    assert p2[0, 0, 7].tolist() == [1311] * 4 + [1411] * 4
