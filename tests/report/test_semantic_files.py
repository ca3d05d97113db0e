"""Files of a map: another program reads the same indices, names and shares."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.report.semantic_files import ShareRow, classes_csv, save_semantic, shares_csv, write_class_map
from maskrcnn.report.written import is_ours
from maskrcnn.structures.semantic_map import SemanticMap


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def test_the_three_files_of_a_picture(tmp_path: Path):
    idx = np.array([[0, 1], [1, 255]], np.uint8)
    found = SemanticMap(idx, ("background", "=cat"), background=0)
    paths = save_semantic(tmp_path, "a", np.zeros((2, 2, 3), np.uint8), found)
    assert [path.name for path in paths] == ["a_semantic.png", "a_overlay.png", "classes.csv"]
    with Image.open(paths[0]) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), idx)
        assert np.array_equal(np.asarray(picture.convert("RGB"))[0, 1], [128, 0, 0])
    assert is_ours(paths[0])
    assert is_ours(paths[1])
    assert is_ours(paths[2])
    assert rows_of(paths[2]) == [
        ["value", "class", "red", "green", "blue", "pixels", "share"],
        ["0", "background", "0", "0", "0", "1", "0.333333"],
        ["1", "'=cat", "128", "0", "0", "2", "0.666667"],
    ]
    classes_csv(paths[2], found, [10, 30])
    assert rows_of(paths[2])[2][-2:] == ["30", "0.750000"]


def test_many_classes_are_16_bits(tmp_path: Path):
    idx = np.array([[0, 299, 65535]], np.uint16)
    write_class_map(tmp_path / "m.png", SemanticMap(idx, tuple(map(str, range(300)))))
    with Image.open(tmp_path / "m.png") as picture:
        assert np.array_equal(np.asarray(picture), idx)


def test_shares_of_several_files(tmp_path: Path):
    rows = [ShareRow("a.png", {"cat": 0.25}, "ok"), ShareRow("b.png", None, "unreadable: x")]
    shares_csv(tmp_path / "shares.csv", rows, ("background", "cat"))
    assert rows_of(tmp_path / "shares.csv") == [
        ["file", "background", "cat", "no class", "status"],
        ["a.png", "0.000000", "0.250000", "0.750000", "ok"],
        ["b.png", "", "", "", "unreadable: x"],
    ]
    assert is_ours(tmp_path / "shares.csv")


def test_a_picture_of_another_size_writes_nothing(tmp_path: Path):
    found = SemanticMap(np.zeros((2, 2), np.uint8), ("a",))
    with pytest.raises(ValueError, match="expected an image of"):
        save_semantic(tmp_path, "a", np.zeros((3, 2, 3), np.uint8), found)
    assert not list(tmp_path.iterdir())
