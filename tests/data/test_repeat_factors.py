"""Repeat factors on paper."""

import math
from pathlib import Path

import pytest

from maskrcnn.data.reading import load_annotations
from maskrcnn.data.repeat_factors import repeat_factors
from tests.coco_files import write_coco


def test_on_paper(tmp_path: Path):
    # Squares are in 3 of 4 images, discs in 1: with a threshold of one half only discs are rare, sqrt(0.5 / 0.25).
    square, disc = ("square", 4, 4, 20), ("disc", 30, 30, 20)
    path = write_coco(tmp_path, "a", [[square], [square, disc], [square], []])
    dataset = load_annotations(path, tmp_path / "images")
    assert repeat_factors(dataset, 0.5).tolist() == pytest.approx([1, math.sqrt(2), 1, 1])
    assert repeat_factors(dataset, 0.0).tolist() == [1, 1, 1, 1]
