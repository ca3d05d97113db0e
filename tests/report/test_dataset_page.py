import numpy as np
import pytest

from maskrcnn.report.dataset_page import (
    MAX_ROWS,
    ProblemRow,
    counts_section,
    duplicates_section,
    histograms_section,
    pictures_section,
    problems_section,
    size_names,
)
from maskrcnn.report.dataset_text import counts_text, problems_text, verdict_text
from tests.report.test_html import embedded, parse

COUNTS = {"train": {"nut": 3, "<fig>": 8}, "val": {"nut": 1, "<fig>": 0}}
FACTS = {"train": {"images": 5, "crowds": 1}, "val": {"images": 2}}
PROBLEMS: list[ProblemRow] = [
    ("fixed", "missing-iscrowd", "a.json", "", "all"),
    ("warning", "one-pixel-mask", "a.json", "7", "a single pixel"),
    *(("error", "degenerate-box", "a.json", str(i), f"width <{i}>") for i in range(5)),
]
MEANINGS = {"degenerate-box": "width and height have to be above 0"}


def test_sizes_are_divided_as_coco_does():
    # COCO: small below 32 x 32 = 1024 pixels, large from 96 x 96 = 9216 on.
    assert size_names(np.array([1, 1023, 1024, 9215, 9216])) == {"small": 2, "medium": 2, "large": 1}
    assert size_names(np.array([])) == {"small": 0, "medium": 0, "large": 0}


def test_counts_are_tables_with_the_most_frequent_class_first():
    text = counts_section(FACTS, COUNTS)
    tree = parse(text)
    assert tree.text.index("<fig>") < tree.text.index("nut")
    assert "crowds" in tree.text


@pytest.mark.parametrize("is_empty", [False, True])
def test_histograms_of_two_splits_and_of_nothing(is_empty: bool):
    def numbers(*values: float) -> dict[str, np.ndarray]:
        return {name: np.array([] if is_empty else values) for name in ("train", "val")}

    sizes = {name: np.array([] if is_empty else [[30, 40], [30, 40], [900, 20]]) for name in ("train", "val")}
    sizes = {name: values.reshape(-1, 2) for name, values in sizes.items()}
    text = histograms_section(COUNTS, numbers(3, 5000, 1), numbers(0.01, 1, 30), numbers(0, 1, 400), sizes)
    parse(text)
    classes, plots = embedded(text)
    assert classes.size
    assert plots.shape[:2] == (700, 1300)


def test_one_class_needs_no_plot_of_classes():
    one = {"all": np.array([5.0])}
    text = histograms_section({"all": {"nut": 3}}, one, one, one, {"all": np.array([[3, 4]])})
    assert len(embedded(text)) == 1


def test_problems_are_summed_by_kind_errors_first_then_listed():
    tree = parse(problems_section(PROBLEMS, MEANINGS))
    assert tree.text.index("degenerate-box") < tree.text.index("one-pixel-mask") < tree.text.index("missing-iscrowd")
    assert MEANINGS["degenerate-box"] in tree.text
    for i in range(5):
        assert f"width <{i}>" in tree.text
    assert "none" in problems_section([], {})


def test_a_page_lists_no_more_than_a_browser_bears():
    text = problems_section(PROBLEMS[:1] * (MAX_ROWS + 3), {})
    assert text.count("<tr>") == MAX_ROWS + 3  # with the header and two lines of the summary
    assert "and 3 more; problems.csv has all" in text


def test_pictures_stand_side_by_side():
    image = np.zeros((4, 5, 3), np.uint8)
    assert len(embedded(pictures_section([(image, "one"), (image, "two")]))) == 2
    text = duplicates_section([[(image, "train: a & b"), (image, "val: c")]], 4)
    parse(text)
    assert text.count("<div class=") == 1
    assert "and 4 more groups" in text


def test_the_terminal_names_the_first_of_each_kind_and_counts_the_rest():
    lines = problems_text(PROBLEMS, MEANINGS).splitlines()
    assert lines == [
        "error degenerate-box (5): width and height have to be above 0",
        "    a.json, annotation 0: width <0>",
        "    a.json, annotation 1: width <1>",
        "    a.json, annotation 2: width <2>",
        "    and 2 more",
        "warning one-pixel-mask (1)",
        "    a.json, annotation 7: a single pixel",
        "fixed missing-iscrowd (1)",
        "    a.json: all",
    ]


def test_the_verdict_is_one_line():
    assert verdict_text(PROBLEMS) == "not usable as it is: 5 errors, 1 warning, 1 fixed"
    assert verdict_text(PROBLEMS[:2]) == "usable: 0 errors, 1 warning, 1 fixed"
    assert verdict_text([]) == "good: no problem found"


def test_counts_are_aligned_and_long_lists_of_classes_cut():
    assert counts_text(FACTS, COUNTS).splitlines() == [
        "        train  val",
        "images      5    2",
        "crowds      1     ",
        "",
        "objects of class  train  val",
        "<fig>                 8    0",
        "nut                   3    1",
    ]
    many = {"all": {f"class {i}": i for i in range(25)}}
    assert counts_text({"all": {}}, many).endswith("class 5             5\nand 5 more classes")
