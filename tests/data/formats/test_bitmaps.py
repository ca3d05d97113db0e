"""Label images of every depth, exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
import tifffile
from PIL import Image

from maskrcnn.data.formats.bitmaps import num_scattered, read_values, rles_by_value
from maskrcnn.structures.rle import encode
from tests.data.formats.small_sets import box_mask


@pytest.mark.parametrize("seed", range(6))
def test_objects_of_a_label_image_equal_those_taken_one_by_one(seed: int):
    rng = np.random.default_rng(seed)
    blocks = rng.choice([0, 1, 2, 5, 300, 70000], size=rng.integers(1, 9, 2))
    values = np.kron(blocks, np.ones((int(rng.integers(1, 5)), 3), np.int64))
    rles = rles_by_value(values)
    assert list(rles) == [value for value in np.unique(values).tolist() if value]
    for value, rle in rles.items():
        expected: Any = pycocotools.mask.encode(np.asfortranarray(values == value))
        assert rle == {"size": list(values.shape), "counts": expected["counts"].decode()}


def test_no_object():
    assert rles_by_value(np.zeros((3, 4), np.int64)) == {}


def test_one_object_everywhere():
    assert rles_by_value(np.full((3, 4), 7)) == {7: encode(np.ones((3, 4), bool))}


@pytest.mark.parametrize(
    ("extension", "dtype"),
    [
        *(("png", dtype) for dtype in (np.uint8, np.uint16)),
        *(("tif", dtype) for dtype in (np.uint8, np.uint16, np.int32, np.float32)),
    ],
)
def test_every_depth_keeps_its_numbers(tmp_path: Path, dtype: Any, extension: str):
    values = np.array([[0, 1, 2], [200, 255, 255 if dtype is np.uint8 else 65535]], dtype)
    Image.fromarray(values).save(tmp_path / f"mask.{extension}")
    assert read_values(tmp_path / f"mask.{extension}").tolist() == values.tolist()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32])
def test_tiff_of_microscopes_keeps_its_numbers(tmp_path: Path, dtype: Any):
    values = np.array([[0, 1, 2], [200, 40000, 65535]], dtype)
    tifffile.imwrite(tmp_path / "mask.tif", values, compression="zlib")
    assert read_values(tmp_path / "mask.tif").tolist() == values.tolist()


def test_a_palette_is_read_as_places_not_as_colours(tmp_path: Path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([9, 9, 9, 200, 0, 0, 200, 0, 0])
    image.save(tmp_path / "mask.png")
    assert read_values(tmp_path / "mask.png").tolist() == [[0, 1, 2]]


def test_yes_and_no_and_grey_as_colour(tmp_path: Path):
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    assert read_values(tmp_path / "bits.png").tolist() == [[0, 1]]
    Image.fromarray(np.full((1, 2, 3), 7, np.uint8)).save(tmp_path / "grey.png")
    assert read_values(tmp_path / "grey.png").tolist() == [[7, 7]]


def test_what_is_no_label_image_is_refused(tmp_path: Path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "lossy.jpg")
    Image.fromarray(np.array([[[1, 2, 3]]], np.uint8)).save(tmp_path / "colour.png")
    Image.fromarray(np.array([[0, 0.5]], np.float32)).save(tmp_path / "fraction.tif")
    Image.fromarray(np.array([[0, -1]], np.int32)).save(tmp_path / "negative.tif")
    (tmp_path / "text.png").write_text("no image")
    for name, reason in {
        "lossy.jpg": "JPEG has lost",
        "colour.png": "got colours",
        "fraction.tif": "fractions",
        "negative.tif": "got -1",
        "text.png": "cannot be read",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}: .*{reason}"):
            read_values(tmp_path / name)


def test_parts_far_apart_are_counted_and_near_ones_are_not():
    near = box_mask(2, 2, 12, 12) | box_mask(15, 2, 20, 12)  # such as behind a post
    far = near | box_mask(60, 40, 66, 46)
    assert num_scattered(encode(near)) == 0
    assert num_scattered(encode(far)) == 3
    assert num_scattered(encode(np.eye(9, dtype=bool))) == 0  # corners touch
    assert num_scattered(encode(np.zeros((9, 9), bool))) == 0
