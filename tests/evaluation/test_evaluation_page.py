"""The page of an evaluation: one file that says what the evaluation says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.evaluator import evaluate
from maskrcnn.evaluation.page import MAX_CONFUSIONS, MAX_MATRIX, evaluation_page
from maskrcnn.report.export import write_json
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import encode

SIZE = (24, 64)


def evaluation_of(folder: Path, num_classes: int, num_images: int = 3, *, is_empty: bool = False) -> Evaluation:
    """In every image one object of each class up to five, each of them found, and called the class before it."""
    names = tuple(f"class <{k}>" for k in range(num_classes))
    boxes = [(12 * k, 2, 12 * k + 10, 20) for k in range(min(5, num_classes))]
    annotations, images, results = [], [], {}
    for image_id in range(num_images):
        images.append(
            {"id": image_id, "file_name": f"{image_id}.png", "height": 24, "width": 64, "kind": "ab"[image_id % 2]}
        )
        for k, (x0, y0, x1, y1) in enumerate([] if is_empty else boxes):
            bitmap = np.zeros(SIZE, bool)
            bitmap[y0:y1, x0:x1] = True
            annotations.append(
                {"id": len(annotations), "image_id": image_id, "category_id": k, "segmentation": encode(bitmap)}
            )
        found = [] if is_empty else boxes
        results[image_id] = Instances(
            image_size=SIZE,
            boxes=torch.tensor(found, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([max(k - 1, 0) for k in range(len(found))], dtype=torch.int64),
            scores=torch.linspace(0.9, 0.6, len(found)),
            mask_probs=torch.ones(len(found), 28, 28),
            class_names=names,
        )
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    path = folder / "annotations.json"
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    key = "kind" if num_images else None
    return evaluate(results, path, range(num_classes), 100, 0.5, group_key=key, seconds_per_image=1.25)


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
