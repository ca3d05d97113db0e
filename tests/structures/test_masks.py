"""Pasting by run boundaries against dense pasting, in all three conventions."""

from typing import Any

import numpy as np
import pycocotools.mask
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrcnn.structures import masks
from maskrcnn.structures.masks import PasteMode, masks_to_rles, masks_to_runs
from maskrcnn.structures.rle import decode
from tests.oracles.paste import paste_dense, threshold_dense

coco_mask: Any = pycocotools.mask  # its stubs know less than it accepts
MODES: list[PasteMode] = ["exact", "expand_to_integer", "integer"]
IMAGE_SIZE = (45, 61)


def random_case(num: int, mask_size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Half of the masks noise, half smooth; boxes from sub-pixel to larger than the image, many over its border."""
    rng = torch.Generator().manual_seed(seed)
    probs = torch.rand(num, mask_size, mask_size, generator=rng)
    coarse = torch.rand(num, 1, 3, 3, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (mask_size, mask_size), mode="bicubic")[:, 0].clamp(0, 1)
    probs[::2] = smooth[::2]
    centre = torch.rand(num, 2, generator=rng) * torch.tensor([61.0, 45.0])
    size = 0.3 * (300 ** torch.rand(num, 2, generator=rng))
    return probs, torch.cat((centre - size / 2, centre + size / 2), dim=1)


def encode_dense(bitmaps: np.ndarray) -> list[dict]:
    rles = coco_mask.encode(np.asfortranarray(bitmaps.astype(np.uint8).transpose(1, 2, 0)))
    return [{"size": list(rle["size"]), "counts": rle["counts"].decode()} for rle in rles]


def assert_pasted_alike(rles: list[dict], values: np.ndarray, mode: PasteMode, max_unsure: float = 1e-3) -> None:
    """The same RLE, to the byte, as pycocotools makes of the dense paste.

    A pixel whose value is the threshold itself up to rounding may fall on either side; there must be hardly any.
    """
    unsure = np.abs(values - 0.5) < 1e-5
    assert unsure.mean() <= max_unsure
    pasted = np.stack([decode(rle) for rle in rles])
    assert rles == encode_dense(np.where(unsure, pasted, threshold_dense(values, mode)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mask_size", [1, 2, 7, 28])
def test_equals_dense_paste(mode: PasteMode, mask_size: int):
    probs, boxes = random_case(60, mask_size, seed=mask_size)
    boxes = boxes.round() if mode == "integer" else boxes
    assert_pasted_alike(
        masks_to_rles(probs, boxes, IMAGE_SIZE, mode), paste_dense(probs, boxes, IMAGE_SIZE, mode), mode
    )


def test_equals_torchvision():
    probs, boxes = random_case(100, 28, seed=0)
    values = paste_masks_in_image(probs[:, None], boxes, IMAGE_SIZE)[:, 0].numpy()
    rles = masks_to_rles(probs, boxes, IMAGE_SIZE, "expand_to_integer")
    assert_pasted_alike(rles, values, "expand_to_integer")


@pytest.mark.parametrize("mode", MODES)
def test_bisection_finds_what_reading_every_pixel_finds(mode: PasteMode):
    # Values within a few roundings of the threshold, where a computed crossing would be off by many pixels.
    rng = torch.Generator().manual_seed(3)
    probs = 0.5 + torch.randint(-4, 5, (20, 6, 6), generator=rng) * 2.0**-24
    boxes = random_case(20, 6, seed=3)[1]
    boxes[::2] = torch.tensor([-5.0, -70.0, 70.0, 100.0]) + boxes[::2]
    x_axis, y_axis = masks._axes(boxes, IMAGE_SIZE, 6, mode)
    padded = masks._pad(probs, mode)
    expected = np.zeros((20, *IMAGE_SIZE), bool)
    for n in range(20):
        this = torch.tensor(n)
        for x in range(int(x_axis.start[n]), int(x_axis.stop[n])):
            cell, weight = x_axis[this].cell(torch.tensor(x))
            column = masks._lerp(padded[n, cell], padded[n, cell + 1], weight)
            for y in range(int(y_axis.start[n]), int(y_axis.stop[n])):
                cell, weight = y_axis[this].cell(torch.tensor(y))
                expected[n, y, x] = threshold_dense(masks._lerp(column[cell], column[cell + 1], weight).numpy(), mode)
    assert expected.any()
    assert not expected.all()
    assert masks_to_rles(probs, boxes, IMAGE_SIZE, mode) == encode_dense(expected)


def test_on_paper():
    # A mask of ones, 2 x 2 cells, over the box 2..6: a cell is 2 px. Half a cell outside the box the value along x is
    # 0, half a cell inside it is 1, so at the pixel centres 1.5, 2.5, 3.5 it is 0.25, 0.75, 1; likewise along y, and
    # the value of a pixel is the product. At the corner (2.5, 2.5) that is 0.5625: set. So just the box is set.
    ones, box = torch.ones(1, 2, 2), torch.tensor([[2.0, 2, 6, 6]])
    expected = np.zeros((8, 9), bool)
    expected[2:6, 2:6] = True
    assert np.array_equal(decode(masks_to_rles(ones, box, (8, 9), "exact")[0]), expected)
    # With the box at 2.5..6.5 the pixels 2 and 6 have their centres on its edges, where the value along x is 0.5, and
    # pixels 3, 4, 5 have 1. The sides have 0.5 * 1, which counts as set, the corners 0.5 * 0.5: not set.
    expected = np.zeros((8, 9), bool)
    expected[2:7, 3:6] = expected[3:6, 2:7] = True
    assert np.array_equal(decode(masks_to_rles(ones, box + 0.5, (8, 9), "exact")[0]), expected)


def test_threshold_itself():
    flat, box = torch.full((1, 28, 28), 0.5), torch.tensor([[2.0, 3, 7, 9]])
    interior: dict[PasteMode, bool] = {"exact": True, "expand_to_integer": False, "integer": True}
    for mode, expected in interior.items():
        assert decode(masks_to_rles(flat, box, (12, 12), mode)[0])[5, 4] == expected
    # Nowhere below 0.5: the integer box is filled to its edge, and nothing outside it.
    assert decode(masks_to_rles(flat, box, (12, 12), "integer")[0]).sum() == 30
    large = torch.tensor([[10.0, 20, 110, 220]])  # its outer pixels lie beyond the centres of the outer cells
    assert decode(masks_to_rles(flat, large, (300, 200), "integer")[0]).sum() == 100 * 200


@pytest.mark.parametrize("mode", MODES)
def test_a_run_over_full_columns_is_merged(mode: PasteMode):
    # Taller than the image: columns are set from top to bottom, one run over all of them.
    rle = masks_to_rles(torch.ones(1, 28, 28), torch.tensor([[3.0, -50, 7, 90]]), (20, 10), mode)
    assert rle == encode_dense(np.stack([decode(rle[0])]))
    whole = masks_to_rles(torch.ones(1, 28, 28), torch.tensor([[-50.0, -50, 90, 90]]), (20, 10), mode)
    assert whole == encode_dense(np.ones((1, 20, 10)))


@pytest.mark.parametrize("mode", MODES)
def test_degenerate_boxes_equal_dense_paste(mode: PasteMode):
    # Without a width, swapped, right of the image, left of it, smaller than a pixel. torchvision makes the first and
    # the last at least a pixel wide.
    boxes = [[5.0, 5, 5, 9], [9, 5, 6, 8], [99, 9, 120, 12], [-30, 2, -20, 9], [5, 5, 5 + 1e-6, 5 + 1e-6]]
    probs, boxes = torch.ones(5, 28, 28), torch.tensor(boxes)
    rles = masks_to_rles(probs, boxes, (20, 30), mode)
    assert_pasted_alike(rles, paste_dense(probs, boxes, (20, 30), mode), mode)
    areas = [decode(rle).sum() for rle in rles]
    assert areas[1:4] == [0, 0, 0]
    assert [areas[0] > 0, areas[4] > 0] == [mode == "expand_to_integer"] * 2


@pytest.mark.parametrize("mode", MODES)
def test_boxes_beyond_numbers_are_empty(mode: PasteMode):
    nan, inf = float("nan"), float("inf")
    boxes = torch.tensor([[nan, 1, 5, 5], [-inf, 0, inf, 5], [1e30, 1e30, 2e30, 2e30], [1, 1, 5, inf]])
    assert masks_to_rles(torch.ones(4, 28, 28), boxes, (20, 30), mode) == encode_dense(np.zeros((4, 20, 30)))


def test_sub_pixel_box_holds_its_pixel_only_over_the_centre():
    boxes = torch.tensor([[3.4, 3.4, 3.6, 3.6], [3.6, 3.6, 3.9, 3.9]])
    rles = masks_to_rles(torch.ones(2, 28, 28), boxes, (8, 8), "exact")
    assert np.argwhere(decode(rles[0])).tolist() == [[3, 3]]
    assert not decode(rles[1]).any()


@pytest.mark.parametrize("mode", MODES)
def test_no_instances_and_empty_masks(mode: PasteMode):
    assert masks_to_rles(torch.zeros(0, 28, 28), torch.zeros(0, 4), (5, 6), mode) == []
    empty = masks_to_rles(torch.zeros(2, 28, 28), torch.tensor([[0.0, 0, 5, 5], [1, 1, 3, 3]]), (5, 6), mode)
    assert empty == encode_dense(np.zeros((2, 5, 6)))


@pytest.mark.parametrize("mode", MODES)
def test_chunks_do_not_change_the_result(mode: PasteMode, monkeypatch: pytest.MonkeyPatch):
    probs, boxes = random_case(30, 7, seed=5)
    boxes[3] = boxes[10:13] = 0
    at_once = masks_to_rles(probs, boxes, IMAGE_SIZE, mode)
    monkeypatch.setattr(masks, "_SAMPLES_AT_ONCE", 200)
    assert masks_to_rles(probs, boxes, IMAGE_SIZE, mode) == at_once
    one_by_one = [masks_to_rles(probs[i, None], boxes[i, None], IMAGE_SIZE, mode)[0] for i in range(30)]
    assert one_by_one == at_once


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype):
    probs, boxes = random_case(10, 7, seed=6)
    probs = probs.to(dtype)
    assert masks_to_rles(probs, boxes, IMAGE_SIZE, "exact") == masks_to_rles(probs.float(), boxes, IMAGE_SIZE, "exact")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_cuda_equals_cpu(mode: PasteMode):
    probs, boxes = random_case(60, 28, seed=7)
    on_cpu = masks_to_rles(probs, boxes, IMAGE_SIZE, mode)
    assert masks_to_rles(probs.cuda(), boxes.cuda(), IMAGE_SIZE, mode) == on_cpu  # no tolerance: the same float32 steps


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(N, M, M\)"):
        masks_to_rles(torch.zeros(2, 28, 14), torch.zeros(2, 4), (5, 5), "exact")
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        masks_to_rles(torch.zeros(2, 28, 28), torch.zeros(3, 4), (5, 5), "exact")
    with pytest.raises(ValueError, match="paste mode"):
        masks_to_rles(torch.zeros(0, 28, 28), torch.zeros(0, 4), (5, 5), "nearest")  # pyright: ignore[reportArgumentType]


def test_an_image_of_more_pixels_than_an_int32_counts():
    # Behind its last pixel lies the boundary 2^31, one too many for an int32.
    for size, dtype in (((1 << 15, 1 << 16), np.int64), ((1 << 15, (1 << 16) - 1), np.int32)):
        height, width = size
        boxes = torch.tensor([[width - 4.0, height - 4.0, width, height]])
        boundaries = masks_to_runs(torch.ones(1, 28, 28), boxes, size, "exact").boundaries
        assert boundaries.dtype == dtype
        assert int(boundaries[-1]) == height * width
