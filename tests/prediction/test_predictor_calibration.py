"""Weights that know what their scores are worth: written by the evaluation, offered by the predictor."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from maskrcnn.evaluation.evaluate import threshold_note
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.score_calibration import ScoreReliability
from maskrcnn.prediction.scoring import write_tuned_weights
from maskrcnn.report.calibration import ScoreCalibration
from tests.coco_files import VAL_SCENES, write_coco

KNOWN = ScoreCalibration(0.8, -1.0, 500, 0.1, 0.08, 0.02)


@pytest.fixture
def evaluation(weights: Path, tmp_path: Path) -> Evaluation:
    annotations = write_coco(tmp_path / "data", "val", VAL_SCENES)
    found = maskrcnn.evaluate(weights, annotations, device="cpu", score=0.3)
    assert isinstance(found, Evaluation)
    assert found.score_reliability.calibration is None
    assert found.to_dict()["score_reliability"]["calibration"] is None
    return replace(found, score_reliability=ScoreReliability(found.score_reliability.raw, None, KNOWN))


def test_what_was_measured_travels_with_the_weights(weights: Path, evaluation: Evaluation, tmp_path: Path):
    checkpoint, target = load_checkpoint(weights), tmp_path / "tuned.safetensors"
    for score in (None, 0.3):
        write_tuned_weights(target, weights, checkpoint, checkpoint.settings, evaluation, "val.json", score)
        card = load_checkpoint(target).card
        assert card["score_calibration"] == KNOWN.to_dict() | {"calibrated_on": "val.json"}
        predictor = maskrcnn.Predictor(target, device="cpu")
        assert predictor.score_calibration == KNOWN
    # In place of what was known before, where nothing is known now.
    unknown = replace(evaluation, score_reliability=replace(evaluation.score_reliability, calibration=None))
    assert threshold_note(unknown, "val.json", 0.2)["score_calibration"] is None


def test_scores_stay_as_they_are(weights: Path, tmp_path: Path):
    checkpoint, knowing = load_checkpoint(weights), tmp_path / "knowing.safetensors"
    card = checkpoint.card | {"score_calibration": KNOWN.to_dict()}
    save_checkpoint(knowing, checkpoint.tensors, checkpoint.settings, card)
    image = tmp_path / "data" / "images" / "val_1.png"
    write_coco(tmp_path / "data", "val", VAL_SCENES)
    before = maskrcnn.Predictor(weights, device="cpu")(image)
    predictor = maskrcnn.Predictor(knowing, device="cpu")
    after = predictor(image)
    assert torch.equal(after.scores, before.scores)
    assert predictor.score_calibration is not None
    chances = predictor.score_calibration.calibrated(after.scores)
    assert ((chances > 0) & (chances < after.scores)).all()
    assert maskrcnn.Predictor(weights, device="cpu").score_calibration is None
    # A threshold leaves scores alone, another size of the picture does not.
    assert maskrcnn.Predictor(knowing, device="cpu", score=0.7).score_calibration == KNOWN
    assert maskrcnn.Predictor(knowing, device="cpu", resize=2.0).score_calibration is None


def test_a_damaged_card_is_one_sentence(weights: Path, tmp_path: Path):
    checkpoint, path = load_checkpoint(weights), tmp_path / "damaged.safetensors"
    card = checkpoint.card | {"score_calibration": {"temperature": "warm"}}
    save_checkpoint(path, checkpoint.tensors, checkpoint.settings, card)
    with pytest.raises(ValueError, match="score_calibration: expected a temperature"):
        maskrcnn.Predictor(path, device="cpu")
