"""A semantic evaluation as text, as a row of a log, as JSON and as a page."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation, evaluated, semantic_line
from maskrcnn.evaluation.semantic_page import true_map, write_semantic_evaluation
from maskrcnn.evaluation.semantic_scores import tally
from maskrcnn.report.draw_semantic import VOID_COLOR, draw_true_and_found
from maskrcnn.structures.semantic_map import SemanticMap
from tests.class_sets import NAMES, VOID, make_scene, write_class_set


def judged() -> SemanticEvaluation:
    """Two images: one perfect, one in which all that is hut (2) is called grass (1)."""
    tallies = {}
    for index in range(2):
        true = make_scene(index)[1]
        found = np.where(true == VOID, 0, true)
        tallies[index] = tally(true, np.where(found == 2, 1, found) if index else found, 3)
    return evaluated(tallies, ("a.png", "b.png"), NAMES, 0.5)


def test_figures_of_all_and_of_the_worst():
    evaluation = judged()
    assert [image.file_name for image in evaluation.worst_images(1)] == ["b.png"]
    assert evaluation.images[0].mean_iou == 1
    hut = [int((make_scene(index)[1] == 2).sum()) for index in range(2)]
    assert evaluation.score.iou[2] == pytest.approx(hut[0] / sum(hut))
    assert evaluation.summary()["mean_iou"] == pytest.approx(np.mean(evaluation.score.iou))
    table = evaluation.table()
    assert "2 images" in table
    assert f"{hut[1] / sum(hut):.1%} of hut called grass" in table
    assert f"worst: b.png, mean IoU {evaluation.images[1].mean_iou:.3f}" in table
    assert json.loads(json.dumps(evaluation.to_dict()))["score"]["confusion"][2][1] == hut[1]
    line = semantic_line(evaluation.summary() | {"val_loss": 0.25})
    assert line.startswith(f"mean IoU {evaluation.score.mean_iou:.3f}, Dice ")
    assert line.endswith(", val loss 0.250")


def test_nothing_to_judge_has_no_values():
    evaluation = evaluated({0: tally(np.full((4, 4), VOID), np.zeros((4, 4), np.uint8), 3)}, ("a.png",), NAMES)
    assert evaluation.summary() == dict.fromkeys(evaluation.summary())
    assert evaluation.worst_images(3) == ()
    assert evaluation.table()


def test_the_page_shows_the_worst_image_side_by_side(tmp_path: Path):
    data = PixelClasses(read_dataset(write_class_set(tmp_path / "set", {"val": range(2)}))["val"])
    asked: list[int] = []

    def predict(index: int) -> SemanticMap:
        asked.append(index)
        return true_map(data, index)

    page = write_semantic_evaluation(tmp_path / "out", judged(), data, predict, 1, "run at step 3")
    text = page.read_text(encoding="utf-8")
    assert asked == [1]
    assert text.count("<img") == 2  # the confusion, and the worst image
    for words in ("run at step 3", "What is confused", "<td>hut</td>", "b.png: mean IoU"):
        assert words in text
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["images"][1]["file_name"] == "b.png"


def test_what_differs_is_red_and_what_is_open_is_light():
    image = np.full((2, 3, 3), 100, np.uint8)
    true = SemanticMap(np.array([[0, 1, 255], [0, 0, 1]], np.uint8), ("a", "b"))
    found = SemanticMap(np.array([[0, 0, 1], [0, 0, 1]], np.uint8), ("a", "b"))
    drawn = draw_true_and_found(image, true, found)
    assert drawn.shape == (2, 4 * 3 + 3 * 4, 3)
    predicted, wrong = drawn[:, 14:17], drawn[:, 21:]
    assert predicted[0, 2].tolist() == list(VOID_COLOR)
    red = (wrong[..., 0] == 220) & (wrong[..., 1] == 30)
    assert red.tolist() == [[False, True, False], [False, False, False]]
    with pytest.raises(ValueError, match="expected a true map"):
        draw_true_and_found(image, true, SemanticMap(found.class_idx, ("a", "c")))
