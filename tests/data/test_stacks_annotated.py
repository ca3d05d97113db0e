"""Annotated images that are pages, planes or channels of a file: each is read as it is to be."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskrcnn.data.images import PartOfFile
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.dataset_check import check_dataset
from maskrcnn.structures.rle import encode

SIZE = (40, 52)


def write(folder: Path, num_pages: int | None) -> Path:
    mask = np.zeros(SIZE, bool)
    mask[4:20, 6:30] = True
    images, annotations = [], []
    for i in range(num_pages or 1):
        page = {} if num_pages is None else {"page": i}
        images.append({"id": i + 1, "file_name": "a.tif", "height": SIZE[0], "width": SIZE[1], **page})
        about = {"iscrowd": 0, "bbox": [6, 4, 24, 16], "area": int(mask.sum()), "segmentation": encode(mask)}
        annotations.append({"id": i + 1, "image_id": i + 1, "category_id": 1, **about})
    path = folder / "a.json"
    categories = [{"id": 1, "name": "nucleus"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_pages_of_a_stack_are_images(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, *SIZE), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    table = load_annotations(write(tmp_path, 3), tmp_path)
    assert len(table) == 3
    for i in range(3):
        assert np.array_equal(table.load(i).image[..., 0], stack[i])
    (again,) = (load_annotations(write(tmp_path, None), tmp_path),)
    with pytest.warns(PartOfFile, match="only the first is read"):
        assert np.array_equal(again.load(0).image[..., 0], stack[0])


def test_channel_and_planes_of_annotated_images(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, 2, *SIZE), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    path = write(tmp_path, None)
    with pytest.raises(ImageError, match="expected to be told which channel"):
        load_annotations(path, tmp_path).load(0)
    table = load_annotations(path, tmp_path, channel=1, planes=2)
    assert np.array_equal(table.load(0).image[..., 0], stack[2, 1])
    assert "2 channels" in check_dataset(path, tmp_path).text()
    chosen = check_dataset(path, tmp_path, channel=1, planes=2)
    assert chosen.is_usable
    chosen.write(tmp_path / "out")


def test_the_channel_that_shows_the_classes_is_taken(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (2, *SIZE), dtype=np.uint8)
    names = {"Channel": {"Name": ["GFP", "Hoechst"]}}
    tifffile.imwrite(tmp_path / "a.tif", stack, ome=True, metadata={"axes": "CYX", **names})
    with pytest.warns(PartOfFile, match="'Hoechst' is taken"):
        image = load_annotations(write(tmp_path, None), tmp_path).load(0).image
    assert np.array_equal(image[..., 0], stack[1])
