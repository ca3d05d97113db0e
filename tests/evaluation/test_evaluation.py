"""An evaluation as text: aligned, of equal decimals, and no wider than a terminal."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskrcnn.evaluation.evaluation import MAX_ROWS, WIDTH, Evaluation, evaluation_line
from tests.evaluation.judged import evaluation_of


def block(evaluation: Evaluation, first: str) -> list[str]:
    """The lines from the one that starts with `first` up to the next blank one."""
    lines = evaluation.table().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(first))
    return lines[start : [*lines, ""].index("", start)]


def test_the_twelve_numbers_of_coco(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 3)
    distinct = {"ap": 0.1, "ap50": 0.25, "ap75": 1 / 3, "small": None, "medium": 0.5, "large": 0.6}
    distinct |= {"recall1": 0.7, "recall10": 0.75, "recall": 0.8}
    distinct |= {"recall_small": None, "recall_medium": 0.9, "recall_large": 1.0}
    evaluation = replace(evaluation, mask=replace(evaluation.mask, **distinct))
    assert [line.split() for line in block(evaluation, "AP ")[::2]] == [
        ["AP", ".50:.95", ".50", ".75", "small", "medium", "large"],
        ["mask", "0.100", "0.250", "0.333", "-", "0.500", "0.600"],
    ]
    header, _, mask, _ = block(evaluation, "AR ")
    assert re.split(r"  +", header) == ["AR", "of 1", "of 10", "of 100", "small", "medium", "large"]
    assert mask.split() == ["mask", "0.700", "0.750", "0.800", "-", "0.900", "1.000"]
    assert json.loads(json.dumps(evaluation.to_dict()))["mask"].items() >= distinct.items()


@pytest.mark.parametrize("num_classes", [1, 2, 80])
def test_tables_fit_a_terminal_and_stand_in_columns(tmp_path: Path, num_classes: int) -> None:
    names = tuple(f"{k} " + "x" * 190 for k in range(num_classes))  # the longest that are read have 200
    evaluation = evaluation_of(tmp_path, num_classes, names=names)
    text = evaluation.table()
    assert max(map(len, text.splitlines())) <= WIDTH
    for first in ("AP ", "AR ", "set  images", "set  ") + ("class ",) * (num_classes > 1):
        rows = [line for line in block(evaluation, first) if "evaluation.json" not in line]
        # Flush right: every column of the header ends where the cells below it end.
        ends = [{match.end() for match in re.finditer(r"\S+(?: \S+)*", row)} for row in rows]
        assert all(row == ends[0] - {min(ends[0])} | {min(row)} for row in ends[1:]), first


def test_many_classes_are_cut_to_those_with_the_most_objects(tmp_path: Path) -> None:
    few, many = evaluation_of(tmp_path, MAX_ROWS), evaluation_of(tmp_path, 80)
    assert len(block(few, "class ")) == 1 + MAX_ROWS
    rows = block(many, "class ")
    assert rows[-1] == f"the {MAX_ROWS} of 80 classes with the most objects; evaluation.json has all of them"
    assert len(rows) == 2 + MAX_ROWS
    assert rows[1].startswith("class <0>"), "five classes have objects"
    assert len(many.to_dict()["overall"]["class_counts"]) == 80


def test_confusions_are_named(tmp_path: Path) -> None:
    # Each class but the first is called the one before it, three times.
    lines = block(evaluation_of(tmp_path, 3), "errors at mask")
    assert "6 of a wrong class" in lines[0]
    assert lines[1:] == ["  3 class <1> called class <0>", "  3 class <2> called class <1>"]
    assert "wrong class" not in evaluation_of(tmp_path, 1).table()
    assert block(evaluation_of(tmp_path, 5), "errors at mask")[-1] == "  3 other confusions"


def test_a_line_of_the_most_useful_figures(tmp_path: Path) -> None:
    summary = evaluation_of(tmp_path, 3).summary()
    assert evaluation_line(summary) == (
        f"AP mask {summary['mask_ap']:.3f} (.50 {summary['mask_ap50']:.3f}), box {summary['box_ap']:.3f}, "
        f"boundary {summary['boundary_ap']:.3f}; count MAE 2.00, total 0.0% off"
    )
    assert evaluation_line(summary | {"val_loss": 0.1234}).endswith("; val loss 0.123")
    assert "nan" not in evaluation_line(dict.fromkeys(summary)), "nothing was there to find"
    large = {name: 1.0 for name in summary} | {"count_mae": 1234.5, "count_total_relative_error": 9.345}
    assert len(f"step 100000: {evaluation_line(large | {'val_loss': 123.456})}") <= 120


def test_numbers_of_one_kind_have_the_same_decimals(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 2)
    for row in block(evaluation, "AP ")[1:] + block(evaluation, "AR ")[1:] + block(evaluation, "set  images")[1:]:
        cells = [cell for cell in row.split()[1:] if "." in cell]
        assert {len(cell.partition(".")[2]) for cell in cells} == {3}, row
    for row in block(evaluation, "set  ")[-1:]:
        assert np.all([re.fullmatch(r"-|[+-]?\d+\.\d{2,3}%?|\d+|\d+\.\d%|\w+", cell) for cell in row.split()])


def test_mask_scores_stand_under_their_names(tmp_path: Path) -> None:
    evaluation = replace(evaluation_of(tmp_path, 2), groups={})
    score = replace(
        evaluation.overall.mask_score,
        image_mean=0.31,
        pooled=0.33,
        image_mean_at=(0.41, 0.42, 0.43),
        pooled_at=(0.51, 0.52, 0.53),
    )
    evaluation = replace(evaluation, overall=replace(evaluation.overall, mask_score=score))
    header, row = block(evaluation, "set  images")
    assert header.split() == ["set", "images", "mean", ".50:.90", ".50", "pooled", ".50:.90", ".50"]
    assert row.split() == ["all", "3", "0.310", "0.410", "0.330", "0.510"]


def test_five_of_the_worst_images_are_listed(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, 2, num_images=8)
    images = tuple(replace(image, predicted=(k, 0), true=(0, 0)) for k, image in enumerate(evaluation.images))
    evaluation = replace(evaluation, images=images)

    def listed(text: str) -> list[str]:
        return re.findall(r"worst count: (\S+),", text)

    assert listed(evaluation.table()) == ["7.png", "6.png", "5.png", "4.png", "3.png"]
    assert listed(evaluation.table(2)) == ["7.png", "6.png"]
    assert listed(evaluation.table(-1)) == []
    assert len(listed(evaluation.table(20))) == 7, "an image without an error is none of the worst"
