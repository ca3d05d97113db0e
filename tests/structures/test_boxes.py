"""Box arithmetic against pair-by-pair Python, on paper, and with nothing."""

import pytest
import torch

from maskrcnn.structures import boxes as fast
from tests.oracles import box_iou as slow


def random_boxes(num: int, seed: int) -> torch.Tensor:
    corners = torch.randint(0, 20, (num, 4), generator=torch.Generator().manual_seed(seed)).float()
    return corners / 2  # some are empty or swapped, some only touch


def test_overlaps_equal_the_oracle():
    a, b = random_boxes(30, 0), random_boxes(20, 1)
    torch.testing.assert_close(fast.box_iou(a, b), torch.tensor(slow.box_iou(a.tolist(), b.tolist())))
    expected = torch.tensor(slow.intersection_over_area(a.tolist(), b.tolist()))
    torch.testing.assert_close(fast.intersection_over_area(a, b), expected)
    torch.testing.assert_close(fast.area(a), torch.tensor([slow.area(box) for box in a.tolist()]))


def test_on_paper():
    # 4 x 4 and 4 x 2 share 2 x 2 = 4; the union is 16 + 8 - 4 = 20.
    a, b = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 2, 6, 4]])
    assert fast.box_iou(a, b).item() == pytest.approx(0.2)
    assert fast.intersection_over_area(a, b).item() == pytest.approx(0.25)
    assert fast.intersection_over_area(b, a).item() == pytest.approx(0.5)


def test_iou_laws():
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 2, 9, 3], [0.1, 0.1, 0.2, 0.3]])
    iou = fast.box_iou(boxes, boxes)
    torch.testing.assert_close(iou, iou.T)
    torch.testing.assert_close(iou.diagonal(), torch.ones(3))


def test_empty_boxes_overlap_nothing_and_give_no_nan():
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert fast.box_iou(point, point).item() == 0
    assert fast.intersection_over_area(point, point).item() == 0


@pytest.mark.parametrize(("a", "b"), [(0, 3), (3, 0), (0, 0)])
def test_no_boxes(a: int, b: int):
    assert fast.box_iou(torch.zeros(a, 4), torch.zeros(b, 4)).shape == (a, b)
    assert fast.intersection_over_area(torch.zeros(a, 4), torch.zeros(b, 4)).shape == (a, b)
    assert fast.clip_boxes(torch.zeros(a, 4), (5, 7)).shape == (a, 4)
    assert fast.is_nonempty(torch.zeros(a, 4)).shape == (a,)


def test_clip_takes_height_first_and_is_idempotent():
    boxes = torch.tensor([[-1.0, -2, 9, 9], [1, 1, 2, 2], [8, 8, 9, 9]])
    clipped = fast.clip_boxes(boxes, (5, 7))
    assert clipped.tolist() == [[0, 0, 7, 5], [1, 1, 2, 2], [7, 5, 7, 5]]
    assert torch.equal(fast.clip_boxes(clipped, (5, 7)), clipped)
    assert boxes[0, 0] == -1  # the input is left as it was


def test_is_nonempty():
    nan = float("nan")
    boxes = torch.tensor(
        [[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1e-6, 1e-6], [nan, 0, 1, 1], [0, nan, 1, 1]]
    )
    assert fast.is_nonempty(boxes).tolist() == [True, False, False, False, True, False, False]
