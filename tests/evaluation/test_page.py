"""The page of an evaluation: one file that says what the evaluation says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskrcnn.evaluation.page import MAX_CONFUSIONS, MAX_MATRIX, evaluation_page
from tests.evaluation.judged import evaluation_of


def text_of(page: str) -> str:
    return re.sub(r"<[^>]+>", " ", page)


@pytest.mark.parametrize("num_classes", [1, 3, MAX_MATRIX + 1])
def test_a_page_shows_the_figures(tmp_path: Path, num_classes: int) -> None:
    evaluation = evaluation_of(tmp_path, num_classes)
    assert list(evaluation.groups) == ["a", "b"]
    picture = np.zeros((20, 30, 3), np.uint8)
    page = evaluation_page(evaluation, "this & that", [(picture, "2.png: 5 predicted")])
    for words in (
        "this &amp; that",
        "1.25 s an image",
        "2.png: 5 predicted",
        "class &lt;0&gt;",
        "boundary",
        "arXiv:2103.16562",
    ):
        assert words in page
    assert "http" not in page
    assert page.count("<img") == 3  # precision and recall, counts, the picture
    assert set(re.findall(r'(?:src|href)="([^,"]+)', page)) <= {"data:image/png;base64", "data:image/jpeg;base64"}
    assert ("of the doubles have another class" in page) == (num_classes > 1)
    if num_classes == 3:
        # The third class is called the second: 3 times in 3 images.
        assert re.search(r"class &lt;2&gt;\s+0\s+3\s+0\s+0\s+0\s", text_of(page))
    if num_classes > MAX_MATRIX:
        assert re.search(r"class &lt;2&gt;\s+class &lt;1&gt;\s+3\s", text_of(page))
        assert page.count("class &lt;") < 20 * MAX_CONFUSIONS


def test_without_objects_and_without_images(tmp_path: Path) -> None:
    for evaluation in (evaluation_of(tmp_path, 2, is_empty=True), evaluation_of(tmp_path, 1, num_images=0)):
        page = evaluation_page(evaluation, "empty")
        assert "nan" not in text_of(page)
        assert "largest errors" not in page


def test_points_are_told_apart_by_group_else_by_class(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 3)
    assert "Each point is an image." in evaluation_page(evaluation, "with groups")
    for num_classes, words in ((1, "is an image."), (3, "is a class in an image."), (13, "is an image.")):
        without = replace(evaluation_of(tmp_path, num_classes), groups={})
        assert f"Each point {words}" in evaluation_page(without, "without")
