from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from maskrcnn.data.transforms import (
    ColourJitter,
    Grey,
    HorizontalFlip,
    Invert,
    LargeScaleJitter,
    RandomCrop,
    Resize,
    ResizeToOneOf,
    Rotate90,
    Sample,
    Scale,
    VerticalFlip,
)
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

HEIGHT, WIDTH = 60, 80


def pixels(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)


def halved(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2, size[1] // 2


def stretched(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * 2, size[1] + 13


EVERY_TRANSFORM = [
    Resize(halved, pixels),
    Resize(stretched, pixels),
    Scale(0.5, 2.0, pixels),
    LargeScaleJitter(64, 0.5, 2.0, pixels),
    RandomCrop(40, 30),
    RandomCrop(500, 30),
    HorizontalFlip(1.0),
    VerticalFlip(1.0),
    Rotate90(),
    ColourJitter(0.4, 0.4, 0.4, 0.1),
    Grey(1.0),
    Invert(1.0),
]
GEOMETRIC = EVERY_TRANSFORM[:9]


def name_of(transform: object) -> str:
    """For the ids of tests: `str` of a transform that holds a function has its address, another in every process."""
    return type(transform).__name__


def dense_masks(seed: int = 0) -> np.ndarray:
    """(6, HEIGHT, WIDTH) filled ellipses of different sizes, all partly inside the image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((6, HEIGHT, WIDTH), np.uint8)
    for mask in masks:
        centre = (int(rng.integers(5, WIDTH - 5)), int(rng.integers(5, HEIGHT - 5)))
        axes = (int(rng.integers(4, 18)), int(rng.integers(4, 18)))
        cv2.ellipse(mask, centre, axes, int(rng.integers(180)), 0, 360, (1,), -1)
    return masks


def tight_box(mask: np.ndarray) -> list[float]:
    ys, xs = mask.nonzero()
    return [float(xs.min()), float(ys.min()), float(xs.max()) + 1, float(ys.max()) + 1]


def sample_of(masks: np.ndarray) -> Sample:
    """The masks drawn into the three channels of the image, so that the image shows where they went."""
    boxes = [tight_box(mask) for mask in masks]
    crops = [
        (int(x0), int(y0), m[int(y0) : int(y1), int(x0) : int(x1)])
        for m, (x0, y0, x1, y1) in zip(masks, boxes, strict=True)
    ]
    targets = Targets(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.arange(len(masks)),
        masks=MaskCrops.from_bitmaps(crops),
        ignore_boxes=torch.tensor([[10.0, 20.0, 30.0, 50.0]]),
    )
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Sample(image, targets, "a.png", 3)


def pasted(sample: Sample) -> np.ndarray:
    """The masks in the frame of the image, (G, H, W): each read at its pixels' centres through `MaskCrops.sample`."""
    height, width = sample.image.shape[:2]
    side = max(height, width)
    box = torch.tensor([[0.0, 0.0, side, side]]).expand(len(sample.targets), 4)
    squares = sample.targets.masks.sample(box, torch.arange(len(sample.targets)), size=side)
    return squares[:, :height, :width].numpy().astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def assert_same(a: Sample, b: Sample) -> None:
    np.testing.assert_array_equal(a.image, b.image)
    torch.testing.assert_close(a.targets.boxes, b.targets.boxes)
    torch.testing.assert_close(a.targets.ignore_boxes, b.targets.ignore_boxes)
    torch.testing.assert_close(a.targets.masks.to_source, b.targets.masks.to_source)
    assert torch.equal(a.targets.labels, b.targets.labels)


@pytest.mark.parametrize("transform", EVERY_TRANSFORM, ids=name_of)
def test_images_without_instances(transform: Any):
    sample = sample_of(np.zeros((0, HEIGHT, WIDTH), np.uint8))
    for seed in range(4):
        out = transform(sample, np.random.default_rng(seed))
        assert out.targets.boxes.shape == (0, 4)
        assert (out.image.dtype, out.image.ndim, out.image.shape[2]) == (np.uint8, 3, 3)
        assert (out.file_name, out.image_id) == ("a.png", 3)


@pytest.mark.parametrize("transform", EVERY_TRANSFORM, ids=name_of)
def test_the_input_is_not_changed(transform: Any):
    sample, untouched = sample_of(dense_masks()), sample_of(dense_masks())
    transform(sample, np.random.default_rng(0))
    assert_same(sample, untouched)


@pytest.mark.parametrize("transform", EVERY_TRANSFORM, ids=name_of)
def test_extra_fields_stay_with_their_instances(transform: Any):
    # The label is told apart from the others by the mask it came with, and so must the extra field be.
    sample = sample_of(dense_masks())
    names = sample.targets.labels * 10 + torch.arange(len(sample.targets))
    labels = torch.arange(len(sample.targets))
    sample = replace(sample, targets=replace(sample.targets, labels=labels, extra={"name": names}))
    out = transform(sample, np.random.default_rng(1)).targets
    assert torch.equal(out.extra["name"], names[out.labels])


@pytest.mark.parametrize("flip", [HorizontalFlip(1.0), VerticalFlip(1.0)])
def test_flip_twice_is_identity(flip: Any):
    sample, rng = sample_of(dense_masks()), np.random.default_rng(0)
    assert_same(flip(flip(sample, rng), rng), sample)


class TurnOnce(np.random.Generator):
    """Draws 1 whenever an integer is asked for."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def integers(self, *args: Any, **kwargs: Any) -> Any:
        return 1


def test_four_quarter_turns_are_identity():
    sample = turned = sample_of(dense_masks())
    for _ in range(4):
        turned = Rotate90()(turned, TurnOnce())
    assert_same(turned, sample)


@pytest.mark.parametrize(
    ("transform", "on_array"),
    [
        (HorizontalFlip(1.0), lambda array: array[:, ::-1]),
        (VerticalFlip(1.0), lambda array: array[::-1]),
        (Rotate90(), np.rot90),
    ],
    ids=["horizontal", "vertical", "quarter turn"],
)
def test_exact_geometry(transform: Any, on_array: Callable[[np.ndarray], np.ndarray]):
    masks = dense_masks()
    sample = sample_of(masks)
    out = transform(sample, TurnOnce())
    expected = np.stack([on_array(mask) for mask in masks])
    np.testing.assert_array_equal(out.image, on_array(sample.image))
    np.testing.assert_array_equal(pasted(out), expected)
    assert out.targets.boxes.tolist() == [tight_box(mask) for mask in expected]


@pytest.mark.parametrize(
    "transform", [Resize(halved, pixels), Resize(stretched, pixels), Scale(0.5, 2.0, pixels)], ids=name_of
)
@pytest.mark.parametrize("seed", [0, 1])
def test_resized_masks_agree_with_resized_bitmaps(transform: Any, seed: int):
    masks = dense_masks(seed)
    out = transform(sample_of(masks), np.random.default_rng(seed))
    height, width = out.image.shape[:2]
    for mask, moved, box in zip(masks, pasted(out), out.targets.boxes.numpy(), strict=True):
        expected = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
        assert iou(moved, expected) > 0.9
        np.testing.assert_allclose(box, tight_box(moved), atol=1.01)  # its edges lie within a pixel of the true ones


@pytest.mark.parametrize("seed", range(6))
def test_crop_agrees_with_cropped_bitmaps(seed: int):
    # The image carries the position of each pixel, which tells where the crop was taken.
    masks = dense_masks(seed)
    sample = sample_of(masks)
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.uint8)
    sample = Sample(np.stack([rows, columns, columns], axis=2), sample.targets, sample.file_name, sample.image_id)
    out = RandomCrop(32, 24)(sample, np.random.default_rng(seed))
    assert out.image.shape == (32, 24, 3)
    top, left = int(out.image[0, 0, 0]), int(out.image[0, 0, 1])
    expected = masks[:, top : top + 32, left : left + 24]
    visible = [g for g, mask in enumerate(expected) if mask.any()]
    assert out.targets.labels.tolist() == visible
    np.testing.assert_array_equal(pasted(out), expected[visible])
    assert out.targets.boxes.tolist() == [tight_box(expected[g]) for g in visible]


def visible_box(mask: np.ndarray, to_source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tight box of the parts of a mask's pixels inside an image of `size`, pixel by pixel; no flips or turns."""
    (scale_x, _, shift_x), (_, scale_y, shift_y) = to_source
    parts = []
    for y, x in zip(*mask.nonzero(), strict=True):
        x0, x1 = np.clip([(x - shift_x) / scale_x, (x + 1 - shift_x) / scale_x], 0, size[1])
        y0, y1 = np.clip([(y - shift_y) / scale_y, (y + 1 - shift_y) / scale_y], 0, size[0])
        if x1 - x0 > 0.01 and y1 - y0 > 0.01:
            parts.append((x0, y0, x1, y1))
    table = np.array(parts).reshape(-1, 4)
    return np.concatenate([table[:, :2].min(0), table[:, 2:].max(0)]) if parts else np.zeros(4)


@pytest.mark.parametrize("seed", range(8))
def test_crop_after_scale_keeps_boxes_around_the_visible_pixels(seed: int):
    masks, rng = dense_masks(2), np.random.default_rng(seed)
    out = RandomCrop(30, 30)(Scale(0.6, 1.8, pixels)(sample_of(masks), rng), rng)
    to_source = out.targets.masks.to_source.double().numpy()
    expected = np.stack([visible_box(mask, to_source, (30, 30)) for mask in masks])
    is_visible = (expected[:, 2:] - expected[:, :2]).min(axis=1) >= 1
    np.testing.assert_allclose(out.targets.boxes.numpy(), expected[is_visible], atol=1e-3)
    assert out.targets.labels.tolist() == is_visible.nonzero()[0].tolist()
    assert len(out.targets) == len(out.targets.masks)


def test_crop_drops_what_is_barely_visible():
    # Columns 0..9 of a 20 px wide image, cut to 10 px: the crop at x = 9 shows one column of the object.
    mask = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    mask[0, 10:20, :10] = 1
    sample = sample_of(mask)
    narrow = Sample(sample.image[:, :20], sample.targets, "a.png", 3)
    for min_visible_px in (1, 2, 5):
        for seed in range(30):
            out = RandomCrop(HEIGHT, 10, min_visible_px)(narrow, np.random.default_rng(seed))
            visible = 10 - int(out.targets.masks.to_source[0, 2])
            assert len(out.targets) == (visible >= min_visible_px)


def test_every_window_is_as_likely_and_none_reaches_out():
    sample = sample_of(dense_masks())
    rng, corners = np.random.default_rng(0), set()
    for _ in range(60):
        out = RandomCrop(HEIGHT - 1, WIDTH - 1)(sample, rng)
        assert out.image.shape == (HEIGHT - 1, WIDTH - 1, 3)
        corners.add(tuple(out.targets.masks.to_source[:, 2].tolist()))
    assert corners == {(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)}


def test_what_is_left_of_a_crowd_stays_however_thin():
    # The window is the right half; of the first crowd half a pixel is in it, of the second nothing.
    sample = sample_of(dense_masks())
    crowds = torch.tensor([[0.0, 0, WIDTH / 2 + 0.5, 10], [0, 0, WIDTH / 2, 10]])
    sample = replace(sample, targets=replace(sample.targets, ignore_boxes=crowds))

    class Right:
        def integers(self, high: int) -> int:
            return high - 1

    out = RandomCrop(HEIGHT, WIDTH // 2)(sample, Right())  # pyright: ignore[reportArgumentType]
    assert out.targets.ignore_boxes.tolist() == [[0, 0, 0.5, 10]]


def test_a_smaller_image_is_not_cropped():
    sample = sample_of(dense_masks())
    assert RandomCrop(HEIGHT, WIDTH + 1)(sample, np.random.default_rng(0)) is sample


def test_colour():
    sample = sample_of(dense_masks())
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(Invert(1.0)(sample, rng).image, 255 - sample.image)
    grey = Grey(1.0)(sample, rng).image
    assert (grey == grey[..., :1]).all()
    np.testing.assert_array_equal(ColourJitter(0.0, 0.0, 0.0, 0.0)(sample, rng).image, sample.image)
    for transform in (HorizontalFlip(0.0), VerticalFlip(0.0), Grey(0.0), Invert(0.0)):
        assert transform(sample, rng) is sample


def test_brightness_on_paper():
    # Brightness and nothing else multiplies; 255 is a ceiling.
    image = np.full((2, 2, 3), 100, np.uint8)
    image[0] = 250
    sample = Sample(image, Targets.empty(), "a.png", 3)
    factor = 1 + np.random.default_rng(1).uniform(-0.5, 0.5)
    out = ColourJitter(0.5, 0.0, 0.0)(sample, np.random.default_rng(1)).image
    assert (out[1] == round(100 * factor)).all()
    assert (out[0] == min(255, round(250 * factor))).all()


def test_contrast_and_saturation_on_paper():
    # Contrast stretches about the mean level, here 100; saturation about the grey of the pixel. Grey stays grey.
    image = np.full((2, 2, 3), 80, np.uint8)
    image[0] = 120
    sample = Sample(image, Targets.empty(), "a.png", 3)
    rng = np.random.default_rng(1)
    rng.uniform(-0.0, 0.0)
    factor = 1 + rng.uniform(-0.5, 0.5)
    out = ColourJitter(0.0, 0.5, 0.0)(sample, np.random.default_rng(1)).image
    assert (out[0] == round(100 + 20 * factor)).all()
    assert (out[1] == round(100 - 20 * factor)).all()
    np.testing.assert_array_equal(ColourJitter(0.0, 0.0, 0.9)(sample, np.random.default_rng(1)).image, image)
    red = Sample(np.full((1, 1, 3), (200, 0, 0), np.uint8), Targets.empty(), "a.png", 3)
    factor = 1 + rng.uniform(-0.9, 0.9)
    out = ColourJitter(0.0, 0.0, 0.9)(red, np.random.default_rng(1)).image[0, 0].astype(float)
    grey = round(0.299 * 200)
    expected = np.clip([grey + (200 - grey) * factor, grey - grey * factor, grey - grey * factor], 0, 255)
    np.testing.assert_allclose(out, expected, atol=1)


def test_large_scale_jitter_fits_a_square():
    # 60 x 80 into a square of 40 px: 30 x 40 at factor 1, and half of that to one and a half times that.
    jitter, rng = LargeScaleJitter(40, 0.5, 1.5, pixels), np.random.default_rng(0)
    sides = [jitter(sample_of(dense_masks()), rng).image.shape[:2] for _ in range(200)]
    assert min(sides)[1] in (20, 21)
    assert max(sides)[1] in (59, 60)
    assert np.mean([width for _, width in sides]) == pytest.approx(
        40, abs=2
    )  # even in the factor, not in its logarithm


def test_one_of_several_sizes_is_drawn():
    transform, rng = ResizeToOneOf((halved, stretched), pixels), np.random.default_rng(0)
    sizes = {transform(sample_of(dense_masks()), rng).image.shape[:2] for _ in range(20)}
    assert sizes == {(30, 40), (120, 93)}
