"""A model that looks for errors in annotations, from Python."""

from pathlib import Path

import pytest

import maskrcnn
from maskrcnn.evaluation.suspects import rank_suspects
from maskrcnn.prediction.predictor import Predictor
from tests.coco_files import TRAIN_SCENES, write_checkpoint, write_coco


def test_the_model_sees_every_image_down_to_low_scores(tmp_path: Path):
    weights = write_checkpoint(tmp_path / "tiny.safetensors")
    annotations = write_coco(tmp_path, "val", TRAIN_SCENES)
    predictor = Predictor(weights, device="cpu", score=0.99)
    suspects = maskrcnn.find_suspects(predictor, annotations, out=tmp_path / "out")
    assert predictor.model.box_head.rules.score_threshold == 0.99  # as it was
    (judged,) = suspects.splits.values()
    assert list(judged.results) == [1, 2, 3, 4]
    assert all(len(one) for one in judged.results.values())
    assert len(predictor(tmp_path / "images" / "val_1.png")) == 0
    truths = list(judged.truths.values())
    assert list(judged.suspects) == rank_suspects(truths, list(judged.results.values()))
    assert sum(one.annotation >= 0 for one in judged.suspects) == 5  # a random model agrees with nobody
    assert (tmp_path / "out" / "suspects.csv").is_file()
    again = maskrcnn.find_suspects(weights, annotations, device="cpu")
    assert again.ranked() == [("annotations", one) for _, one in suspects.ranked()]


def test_mistakes_are_one_sentence(tmp_path: Path):
    weights = write_checkpoint(tmp_path / "tiny.safetensors")
    other = write_coco(tmp_path, "other", TRAIN_SCENES, class_names=("square", "circle"))
    with pytest.raises(ValueError, match=r"other\.json has no category named disc; it has circle instead"):
        maskrcnn.find_suspects(weights, other, device="cpu")
    with pytest.raises(ValueError, match="a predictor has its options already, got score beside it"):
        maskrcnn.find_suspects(Predictor(weights, device="cpu"), other, score=0.5)
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        maskrcnn.find_suspects(tmp_path / "gone.safetensors", other)
