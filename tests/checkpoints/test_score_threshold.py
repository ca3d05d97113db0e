"""A checkpoint that recommends the threshold that counts best, and says where that was found."""

from pathlib import Path

import pytest
import torch

from maskrcnn.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from maskrcnn.checkpoints.score_threshold import stored_dtype, write_with_score_threshold
from maskrcnn.evaluation.evaluate import best_threshold, evaluate, threshold_note
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.report.intervals import CountIntervals
from maskrcnn.report.written import write_json
from maskrcnn.structures.instances import Instances
from tests.tiny import tiny_model, tiny_settings


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """One object, and three predictions on it: of 0.9, 0.7 and 0.3."""
    segmentation = [[10, 10, 30, 10, 30, 30, 10, 30]]
    write_json(
        tmp_path / "val.json",
        {
            "images": [{"id": 1, "file_name": "1.png", "height": 64, "width": 64}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "segmentation": segmentation}],
            "categories": [{"id": 3, "name": "square"}, {"id": 7, "name": "disc"}],
        },
    )
    result = Instances(
        image_size=(64, 64),
        boxes=torch.tensor([[10.0, 10.0, 30.0, 30.0]]).repeat(3, 1),
        labels=torch.zeros(3, dtype=torch.int64),
        scores=torch.tensor([0.9, 0.7, 0.3]),
        mask_probs=torch.ones(3, 28, 28),
        class_names=("square", "disc"),
    )
    return evaluate({1: result}, tmp_path / "val.json", (3, 7), max_detections=100, score_threshold=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_only_the_threshold_and_the_card_change(tmp_path: Path, evaluation: Evaluation, dtype: torch.dtype) -> None:
    source, target = tmp_path / "source.safetensors", tmp_path / "new" / "target.safetensors"
    settings = tiny_settings(detection={"score_threshold": 0.25})
    model = tiny_model()
    untrained = ("mask_head.logits.bias",)
    save_checkpoint(source, model.state_dict(), settings, {"licence": "CC0"}, dtype, untrained)
    before = load_checkpoint(source)
    threshold = best_threshold(evaluation)
    note = threshold_note(evaluation, "val.json", 0.25)
    write_with_score_threshold(target, source, before, before.settings, threshold, note)
    assert 0.7 < threshold <= 0.9
    after = load_checkpoint(target)
    assert after.settings.detection.score_threshold == threshold
    assert after.settings.model_dump(exclude={"detection"}) == before.settings.model_dump(exclude={"detection"})
    assert after.untrained == untrained
    chosen = {"value": threshold, "was": 0.25, "chosen_on": "val.json", "num_images": 1, "count_mae": 0.0}
    assert after.card == {"licence": "CC0", **note}
    assert after.card["score_threshold"] == chosen
    assert CountIntervals.from_dict(after.card["count_intervals"]) == evaluation.tuned_intervals
    assert stored_dtype(target) == dtype
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in after.tensors.items():
        assert torch.equal(tensor, before.tensors[name]), name


def test_a_file_of_another_package_becomes_one_of_ours(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    checkpoint = Checkpoint(tiny_settings(), tiny_model().state_dict(), {"imported": "torchvision R50-FPN"})
    target = tmp_path / "target.safetensors"
    write_with_score_threshold(
        target, tmp_path / "other.pth", checkpoint, checkpoint.settings, 0.5, {"score_threshold": {"value": 0.5}}
    )
    assert stored_dtype(target) == torch.float32
    assert load_checkpoint(target).card["imported"] == "torchvision R50-FPN"
