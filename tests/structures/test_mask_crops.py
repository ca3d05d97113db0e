import numpy as np
import pytest
import torch

from maskrcnn.structures.mask_crops import MaskCrops, inverse_affine, map_boxes


def random_bitmaps(rng: np.random.Generator, count: int, size: int) -> list[tuple[int, int, np.ndarray]]:
    bitmaps = []
    for _ in range(count):
        height, width = rng.integers(1, size // 2, 2)
        x0, y0 = rng.integers(0, size - width), rng.integers(0, size - height)
        bitmaps.append((int(x0), int(y0), rng.random((height, width)) < 0.6))
    return bitmaps


def sample_slowly(bitmap: tuple[int, int, np.ndarray], to_source: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """The definition, a cell at a time, on the bitmap in a frame of zeros."""
    x0, y0, pixels = bitmap
    padded = np.pad(pixels.astype(np.float64), 1)
    values = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            point = (box[0] + (j + 0.5) / size * (box[2] - box[0]), box[1] + (i + 0.5) / size * (box[3] - box[1]), 1.0)
            x, y = to_source @ point
            column = np.clip(x - x0 - 0.5 + 1, 0, padded.shape[1] - 1)
            row = np.clip(y - y0 - 0.5 + 1, 0, padded.shape[0] - 1)
            c, r = min(int(column), padded.shape[1] - 2), min(int(row), padded.shape[0] - 2)
            u, v = column - c, row - r
            upper = padded[r, c] * (1 - u) + padded[r, c + 1] * u
            lower = padded[r + 1, c] * (1 - u) + padded[r + 1, c + 1] * u
            values[i, j] = upper * (1 - v) + lower * v
    return values


def test_sample_on_paper():
    # A 4 x 4 bitmap whose left half is set, at (10, 20): cells of one pixel each read the bitmap itself, and from a box
    # moved by one pixel to the left the first column is outside of the bitmap.
    bitmap = np.array([[1, 1, 0, 0]] * 4)
    masks = MaskCrops.from_bitmaps([(10, 20, bitmap)])
    boxes = torch.tensor([[10.0, 20.0, 14.0, 24.0], [9.0, 20.0, 13.0, 24.0]])
    sampled = masks.sample(boxes, torch.tensor([0, 0]), size=4)
    assert sampled[0].tolist() == bitmap.tolist()
    assert sampled[1].tolist() == [[0, 1, 1, 0]] * 4


@pytest.mark.parametrize("seed", [0, 1])
def test_sample_agrees_with_the_definition(seed: int):
    rng = np.random.default_rng(seed)
    bitmaps = random_bitmaps(rng, 5, 40)
    to_current = np.array([[-0.7, 0.0, 33.0], [0.0, 1.9, 1.0]])
    masks = MaskCrops.from_bitmaps(bitmaps).moved(to_current)
    instance_idx = rng.integers(0, 5, 12)
    corners = rng.uniform(-5, 35, (12, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 30, (12, 2))], axis=1)
    sampled = masks.sample(torch.from_numpy(boxes).float(), torch.from_numpy(instance_idx), size=9)
    assert (sampled.shape, sampled.dtype) == ((12, 9, 9), torch.float32)
    for box, index, values in zip(boxes, instance_idx, sampled.numpy(), strict=True):
        expected = sample_slowly(bitmaps[index], to_current, box, 9)
        decided = np.abs(expected - 0.5) > 1e-4  # a tie may fall to either side in float32
        assert (values == (expected >= 0.5))[decided].all()


def test_nothing():
    masks = MaskCrops.from_bitmaps([])
    assert len(masks) == 0
    assert masks.sample(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, 28, 28)
    assert masks.visible_boxes((0, 0, 10, 10)).shape == (0, 4)
    assert len(masks[torch.zeros(0, dtype=torch.bool)]) == 0
    some = MaskCrops.from_bitmaps([(0, 0, np.ones((2, 2)))])
    assert some.sample(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, 28, 28)
    assert len(some[torch.zeros(0, dtype=torch.int64)]) == 0


def test_indexing_keeps_each_mask_with_its_window():
    bitmaps = random_bitmaps(np.random.default_rng(3), 6, 20)
    masks = MaskCrops.from_bitmaps(bitmaps)
    for index, order in (
        (torch.tensor([4, 0, 4]), [4, 0, 4]),
        (torch.tensor([True, False, False, True, True, False]), [0, 3, 4]),
    ):
        expected = MaskCrops.from_bitmaps([bitmaps[i] for i in order])
        chosen = masks[index]
        assert torch.equal(chosen.pixels, expected.pixels)
        assert torch.equal(chosen.offsets, expected.offsets)
        assert torch.equal(chosen.windows, expected.windows)


def test_visible_boxes_on_paper():
    # An L in the source frame: column 0 is set over 4 rows, row 3 over 4 columns. Seen at twice the size, the region
    # x >= 3 px leaves half of source column 1 and columns 2, 3, all in row 3 (6..8 px).
    bitmap = np.zeros((4, 4))
    bitmap[:, 0] = bitmap[3] = 1
    masks = MaskCrops.from_bitmaps([(0, 0, bitmap)]).moved(np.array([[0.5, 0, 0], [0, 0.5, 0]]))
    assert masks.visible_boxes((0, 0, 8, 8)).tolist() == [[0, 0, 8, 8]]
    assert masks.visible_boxes((3, 0, 8, 8)).tolist() == [[3, 6, 8, 8]]
    # The hollow of the L is inside its box but shows nothing of it.
    assert masks.visible_boxes((3, 0, 8, 6)).tolist() == [[0, 0, 0, 0]]


def test_moving_there_and_back_is_identity():
    there = np.array([[0.0, -2.0, 7.0], [0.5, 0.0, 3.0]])
    back = inverse_affine(torch.from_numpy(there))
    masks = MaskCrops.from_bitmaps([(0, 0, np.ones((2, 2)))])
    torch.testing.assert_close(masks.moved(there).moved(back.numpy()).to_source, masks.to_source)
    boxes = torch.tensor([[1.0, 2.0, 5.0, 9.0]], dtype=torch.float64)
    torch.testing.assert_close(map_boxes(map_boxes(boxes, torch.from_numpy(there)), back), boxes)


def test_wrong_shapes_and_dtypes_are_refused():
    masks = MaskCrops.from_bitmaps([(0, 0, np.ones((2, 2)))])
    with pytest.raises(ValueError, match="shapes"):
        MaskCrops(masks.pixels, masks.offsets[:1], masks.windows, masks.to_source)
    with pytest.raises(ValueError, match="dtypes"):
        MaskCrops(masks.pixels.float(), masks.offsets, masks.windows, masks.to_source)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sample_on_cuda_equals_cpu():
    masks = MaskCrops.from_bitmaps(random_bitmaps(np.random.default_rng(0), 5, 40))
    boxes = torch.rand(64, 4) * 20
    boxes[:, 2:] += boxes[:, :2] + 1
    index = torch.randint(0, 5, (64,))
    on_cuda = masks.to("cuda").sample(boxes.cuda(), index.cuda()).cpu()
    # Values at the threshold may round to either side: a few cells in a thousand.
    assert (on_cuda != masks.sample(boxes, index)).float().mean() < 5e-3
