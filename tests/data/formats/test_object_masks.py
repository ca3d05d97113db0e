"""A mask file for each object, as the Data Science Bowl has them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats.object_masks import is_format, read
from tests.data.formats.small_sets import box_mask, kinds_of, masks_of, write_picture, write_values

ONE, TWO = box_mask(10, 10, 20, 30), box_mask(18, 12, 40, 22)  # they overlap


def write_object(root: Path, picture: str, name: str, mask: np.ndarray) -> Path:
    return write_values(root / picture / "masks" / f"{name}.png", (mask * 255).astype(np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for picture in ("p", "q"):
        write_picture(tmp_path / "set" / picture / "images" / f"{picture}.png")
        (tmp_path / "set" / picture / "masks").mkdir()
    write_object(tmp_path / "set", "p", "1", ONE)
    write_object(tmp_path / "set", "p", "2", TWO)
    return tmp_path / "set"


def test_each_file_is_an_object_and_objects_may_overlap(root: Path, tmp_path: Path):
    assert is_format(root)
    annotations = read(root, None)["all"]
    objects = masks_of(annotations, tmp_path)
    assert list(objects) == ["p/images/p.png", "q/images/q.png"]
    (_, one), (_, two) = objects["p/images/p.png"]
    assert np.array_equal(one, ONE)
    assert np.array_equal(two, TWO)
    assert objects["q/images/q.png"] == []
    assert annotations.problems == ()


def test_grey_edges_count_from_half_and_colour_is_no_hindrance(root: Path, tmp_path: Path):
    soft = np.where(ONE, 255, 0).astype(np.uint8)
    soft[10, 10], soft[10, 11] = 100, 200
    write_values(root / "p" / "masks" / "1.png", soft)
    Image.fromarray(np.stack([TWO * np.uint8(255)] * 3, axis=2)).save(root / "p" / "masks" / "2.png")
    annotations = read(root, None)["all"]
    (_, one), (_, two) = masks_of(annotations, tmp_path)["p/images/p.png"]
    assert (~one & ONE).sum() == 1
    assert np.array_equal(two, TWO)
    assert kinds_of(annotations) == ["grey-mask"]


def test_what_cannot_be_used_is_named(root: Path, tmp_path: Path):
    write_object(root, "p", "3 empty", np.zeros_like(ONE))
    write_object(root, "p", "4 small", ONE[:10])
    (root / "p" / "masks" / "5 text.png").write_text("no image")
    write_object(root, "p", "6 two", box_mask(0, 0, 5, 5) | box_mask(70, 50, 74, 54))
    write_picture(root / "r" / "images" / "r.png")
    write_picture(root / "s" / "images" / "s.png")
    write_picture(root / "s" / "images" / "t.png")
    annotations = read(root, None)["all"]
    assert len(masks_of(annotations, tmp_path)["p/images/p.png"]) == 3
    found = {(problem.severity, problem.kind, Path(problem.file).name) for problem in annotations.problems}
    assert found == {
        ("error", "empty-mask", "3 empty.png"),
        ("error", "unreadable-mask", "4 small.png"),
        ("error", "unreadable-mask", "5 text.png"),
        ("warning", "scattered-object", "6 two.png"),
        ("error", "missing-mask", "r"),
        ("error", "missing-image", "s"),
    }
