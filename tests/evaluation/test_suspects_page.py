"""The table and the page of suspects that made detections give, and the pictures on it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation import suspects_page
from maskrcnn.evaluation.suspects_drawn import SIDE_PX, draw_suspect
from maskrcnn.evaluation.suspects_page import HEADER, JudgedSplit, Suspects
from maskrcnn.structures.instances import Instances
from tests.coco_files import CATEGORY_IDS, write_coco
from tests.report.test_html import embedded, parse
from tests.tiny import CLASS_NAMES

SQUARE, LONELY = (6, 8, 26, 28), (34, 30, 58, 54)


def found(detections: list[tuple[tuple[int, int, int, int], int, float]]) -> Instances:
    return Instances(
        image_size=(64, 64),
        boxes=torch.tensor([box for box, _, _ in detections], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in detections], dtype=torch.int64),
        scores=torch.tensor([score for _, _, score in detections], dtype=torch.float32),
        mask_probs=torch.ones(len(detections), 28, 28),
        class_names=CLASS_NAMES,
    )


@pytest.fixture
def table(tmp_path: Path) -> Annotations:
    path = write_coco(tmp_path, "val", [[("square", 6, 8, 20)], [("square", 6, 8, 20)], []])
    return load_annotations(path, tmp_path / "images")


RESULTS = {1: found([(SQUARE, 1, 0.9)]), 2: found([(SQUARE, 0, 1.0), (LONELY, 1, 0.7)]), 3: found([])}


def test_table_and_page(table: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    suspects = Suspects("Suspects", {"val": JudgedSplit.of(table, CATEGORY_IDS, RESULTS)})
    page = suspects.write(tmp_path / "out")
    with (tmp_path / "out" / "suspects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        list(HEADER),
        ["1", "0.900", "wrong-class", "val", "val_1.png", "1", "square", "disc", "6.0", "8.0", "26.0", "28.0"],
        ["2", "0.700", "unannotated", "val", "val_2.png", "", "", "disc", "34.0", "30.0", "58.0", "54.0"],
    ]
    text = page.read_text(encoding="utf-8")
    assert "1. wrong-class (square, found disc), 0.90; val: val_1.png, annotation 1" in parse(text).text
    assert "2. unannotated (disc), 0.70; val: val_2.png" in parse(text).text
    assert len(embedded(text)) == 2
    assert suspects.text().splitlines()[0].endswith("suspects.csv; 2 with a suspicion of 0.5 or more:")
    assert suspects.text().splitlines()[1:3] == [
        "      1 unannotated: the model finds an object where nothing is annotated",
        "      1 wrong-class: the model finds an object of another class",
    ]
    monkeypatch.setattr(suspects_page, "MAX_PICTURES", 1)
    text = suspects.write(tmp_path / "out").read_text(encoding="utf-8")
    assert len(embedded(text)) == 1
    assert "The first 1 of 2" in parse(text).text


def test_nothing_to_say(table: Annotations, tmp_path: Path):
    results = {1: found([(SQUARE, 0, 1.0)]), 2: found([(SQUARE, 0, 1.0), (LONELY, 0, 0.04)]), 3: found([])}
    suspects = Suspects("Suspects", {"val": JudgedSplit.of(table, CATEGORY_IDS, results)})
    assert suspects.ranked() == []
    text = suspects.write(tmp_path).read_text(encoding="utf-8")
    assert embedded(text) == []
    assert len((tmp_path / "suspects.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_the_surest_of_all_splits_come_first(table: Annotations):
    surer = RESULTS | {1: found([(SQUARE, 1, 0.95)])}
    splits = {name: JudgedSplit.of(table, CATEGORY_IDS, results) for name, results in (("a", RESULTS), ("b", surer))}
    assert [(name, one.image_id) for name, one in Suspects("", splits).ranked()] == [
        ("b", 1),
        ("a", 1),
        ("a", 2),
        ("b", 2),
    ]


def test_a_picture_shows_both_outlines_where_they_are(table: Annotations):
    judged = JudgedSplit.of(table, CATEGORY_IDS, {**RESULTS, 1: found([((16, 8, 36, 28), 0, 0.9)])})
    (loose,) = [one for one in judged.suspects if one.image_id == 1]
    drawn = draw_suspect(table.read(0), loose, judged.truths[1], judged.results[1])
    assert drawn.shape[1] == 2 * SIDE_PX + 6
    plain, outlined = drawn[:, : (drawn.shape[1] - 6) // 2], drawn[:, (drawn.shape[1] + 6) // 2 :]
    # Of the box 6..36 x 8..28, with 21 px around it, x is cut at 0 and y at 0: the picture shows 0..57 x 0..54.
    scale = SIDE_PX / 57
    is_changed = (plain.astype(int) != outlined).any(axis=2)
    columns = np.flatnonzero(is_changed.any(axis=0)) / scale
    rows = np.flatnonzero(is_changed.any(axis=1)) / scale
    assert columns[[0, -1]] == pytest.approx([6, 36], abs=0.8)
    assert rows[[0, -1]] == pytest.approx([8, 28], abs=0.8)
    # Only the detection reaches the right side, only the annotation the left one.
    colors = outlined[round(18 * scale), [round(6 * scale), round(36 * scale)]].astype(int)
    assert colors[0, 0] > colors[0, 2]
    assert colors[1, 2] > colors[1, 0]
