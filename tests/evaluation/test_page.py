"""The page of an evaluation: one file that says what the evaluation says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from maskrcnn.evaluation.page import MAX_CONFUSIONS, MAX_MATRIX, _used, evaluation_page
from maskrcnn.evaluation.precision_recall import plot_precision_recall
from tests.evaluation.judged import evaluation_of


def text_of(page: str) -> str:
    return re.sub(r"<[^>]+>", " ", page)


@pytest.mark.parametrize("num_classes", [1, 2, 3, MAX_MATRIX + 1])
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
    assert page.count("<img") == 4  # precision and recall, counts, scores, the picture
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


def test_curves_of_classes_are_those_of_masks_and_told_apart(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 3, names=("$\\frac{$", "_b", "c" * 200_000))
    masks = tuple(tuple([k / 10] * 101) for k in (1, 2, 3))
    rims = tuple(tuple([k / 10] * 101) for k in (7, 8, 9))
    kinds = {
        "box": evaluation.box,
        "mask": replace(evaluation.mask, curves50=masks),
        "boundary": replace(evaluation.boundary, curves50=rims),
    }
    figure = plot_precision_recall(kinds, evaluation.class_names)
    FigureCanvasAgg(figure).draw()  # a formula that is none would fail here
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    of_classes = {name: line for name, line in lines.items() if name.endswith(", mask")}
    assert [np.asarray(line.get_ydata())[0] for line in of_classes.values()] == [0.1, 0.2, 0.3]
    assert len({line.get_color() for line in lines.values()}) == len(lines) == 6
    (legend,) = figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(shown) == 6, "also of a name that starts with _"
    assert r"\$\frac{\$, mask" in shown
    assert max(map(len, shown)) < 40
    assert legend.get_window_extent().x0 > figure.axes[1].get_window_extent().x1, "the legend covers no curve"


def test_names_of_any_kind_and_length_on_a_page(tmp_path: Path) -> None:
    names = ("$\\frac{$", "a" * 200_000, "a" * 199_999)
    page = evaluation_page(evaluation_of(tmp_path, 3, names=names), "title")
    assert "a" * 30 not in page
    assert [page.count(f"aaaa… ({k})") > 0 for k in (1, 2)] == [True, True], "two that begin alike are told apart"


def test_the_page_has_cocos_twelve_numbers(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 2)
    distinct = {"recall1": 0.71, "recall10": 0.75, "recall_small": None, "recall_medium": 0.9, "recall_large": 1.0}
    text = text_of(evaluation_page(replace(evaluation, mask=replace(evaluation.mask, **distinct)), "title"))
    assert re.search(r"AR\s+of 1\s+of 10\s+of 100\s+small\s+medium\s+large", text)
    assert re.search(r"mask\s+0\.710\s+0\.750\s+0\.\d{3}\s+-\s+0\.900\s+1\.000\s", text)


def test_what_one_class_and_no_group_leave_out(tmp_path: Path) -> None:
    one, three = (text_of(evaluation_page(replace(evaluation_of(tmp_path, n), groups={}), "title")) for n in (1, 3))
    assert "Groups of images" not in one + three
    assert "Groups of images" in text_of(evaluation_page(evaluation_of(tmp_path, 1), "title"))
    # One class is "all": AP and counts are not said twice, and it is in the table of errors alone.
    assert one.count("class &lt;0&gt;") == 2
    assert "boundary .50" not in one
    assert "boundary .50" in three
    assert three.count("class &lt;1&gt;") == 4


def test_confusions_are_listed_or_said_to_be_none(tmp_path: Path) -> None:
    nothing = evaluation_of(tmp_path, MAX_MATRIX + 1, is_empty=True)
    said = "No object is taken for one of another class."
    assert said in evaluation_page(nothing, "title")
    assert said not in evaluation_page(evaluation_of(tmp_path, MAX_MATRIX + 1), "title")


def test_the_point_in_use_is_marked_for_one_class_with_objects(tmp_path: Path) -> None:
    one = evaluation_of(tmp_path, 1)
    assert _used(one) == (1.0, 1.0)
    assert _used(evaluation_of(tmp_path, 2)) is None
    assert _used(evaluation_of(tmp_path, 1, is_empty=True)) is None
    for hits, false_alarms, misses, point in ((3, 1, 3, (0.5, 0.75)), (0, 0, 3, None), (0, 3, 0, None)):
        score = replace(
            one.overall.mask_score, true_positives=hits, false_positives=false_alarms, false_negatives=misses
        )
        assert _used(replace(one, overall=replace(one.overall, mask_score=score))) == point


def test_curves_fill_their_panels(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 1)
    left, right = plot_precision_recall({"mask": evaluation.mask}, evaluation.class_names, (0.5, 0.75)).axes
    for axes in (left, right):
        assert axes.get_xlim() == axes.get_ylim() == (0, 1.02)
    (point,) = (line for line in left.lines if line.get_label() == "masks at the score threshold in use")
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([0.5], [0.75])
    assert len(right.lines) == len(left.lines) - 1
