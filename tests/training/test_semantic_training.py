"""U-Net and torchvision's networks through the one trainer: from class images to weights, resumed, and judged again."""

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.semantic_weights import load_semantic
from maskrcnn.config import Config, settings
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.training.data import load_data
from maskrcnn.training.semantic_task import SemanticTask, starting_weights
from maskrcnn.training.trainer import Trainer, saved_config
from tests.class_sets import NAMES, VOID, make_scene, write_class_set
from tests.coco_files import TRAIN_SCENES, VAL_SCENES, write_coco

UNET = {"network": {"channels": 4, "levels": 3}, "loss": {"cross_entropy": 1.0, "dice": 0.5}}
FAST = {
    "batch_size": 2,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "warmup_steps": 1,
    "evaluate_every": 2,
    "checkpoint_every": 2,
    "workers": 0,
    "average_decay": 0.9,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_class_set(tmp_path / "set", {"train": range(4), "val": range(4, 6)})


def config(semantic: Mapping[str, Any] = UNET, **train: Any) -> Config:
    return settings(semantic=dict(semantic), train=FAST | train)


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_unet_is_trained_judged_and_used_through_the_same_doors(data: Path, tmp_path: Path):
    augment = {"scale": (0.8, 1.2), "crop": 40, "brightness": 0.1}
    run = maskrcnn.train(data, out=tmp_path / "run", config=config(steps=4, augment=augment), device="cpu")
    assert isinstance(run.evaluation, SemanticEvaluation)
    assert run.evaluation.class_names == NAMES
    assert run.evaluation.score.num_images == 2
    rows = metrics(tmp_path / "run")
    assert [row["step"] for row in rows] == ["2", "4"]
    judged = {"mean_iou", "mean_dice", "pixel_accuracy", "train_mean_iou", "train_mean_dice"}
    assert judged | {"val_loss", "val_cross_entropy", "val_dice"} <= rows[0].keys()
    losses = (tmp_path / "run" / "losses.csv").read_text().splitlines()
    assert losses[0] == "step,lr,total,cross_entropy,dice,seconds"
    for name in ("curves.png", "evaluation/report.html", "predictions/val_images_4_000004.png", "best.safetensors"):
        assert (tmp_path / "run" / name).is_file(), name
    found = load_semantic(run.weights)
    assert found is not None
    assert found.class_names == NAMES
    assert found.card["val"]["mean_iou"] == pytest.approx(max(float(row["mean_iou"]) for row in rows), abs=1e-5)
    # What the exported weights find is what was judged.
    predictor = maskrcnn.SemanticPredictor(tmp_path / "run" / "last.safetensors", device="cpu")
    image, labels = make_scene(4)
    hits = int((predictor(image).class_idx == labels).sum())
    image, labels = make_scene(5)
    hits += int((predictor(image).class_idx == labels).sum())
    assert run.evaluation.score.pixel_accuracy == pytest.approx(hits / (2 * (labels != VOID).sum()))


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(data: Path, tmp_path: Path):
    whole = maskrcnn.train(data, out=tmp_path / "whole", config=config(steps=4), device="cpu")
    parts = tmp_path / "parts"
    shutil.copytree(whole.folder / "data", parts / "data")
    shutil.copy(whole.folder / "config.yaml", parts)
    own = saved_config(parts)
    Trainer(own, *load_data(own.data), parts).run(stop_at=2)
    resumed = maskrcnn.train(out=parts, resume=True, device="cpu")
    assert metrics(parts) == metrics(whole.folder)
    first, second = (load_semantic(run.folder / "last.safetensors") for run in (whole, resumed))
    assert first is not None
    assert second is not None
    assert all(torch.equal(second.tensors[name], tensor) for name, tensor in first.tensors.items())


def test_objects_become_foreground(tmp_path: Path):
    train = write_coco(tmp_path, "train", TRAIN_SCENES)
    val = write_coco(tmp_path, "val", VAL_SCENES)
    run = maskrcnn.train(
        train, val=str(val), images=str(tmp_path / "images"), out=tmp_path / "run", config=config(steps=2), device="cpu"
    )
    found = load_semantic(run.weights)
    assert found is not None
    assert found.class_names == ("background", "square", "disc")
    assert found.settings.background == "background"


def test_torchvisions_networks_are_trained_through_the_same_door(data: Path, tmp_path: Path):
    own = config({"network": {"name": "lraspp_mobilenet_v3_large"}}, steps=1, val_loss=False)
    run = maskrcnn.train(data, out=tmp_path / "run", config=own, device="cpu")
    found = load_semantic(run.weights)
    assert found is not None
    assert found.sentence == "lraspp_mobilenet_v3_large, 3 classes"
    # Another run starts from it, also without naming the network; classes of the same name keep their rows.
    (data / "classes.txt").write_text("grass\nsky\ndoor\n", encoding="utf-8")
    config_, init = starting_weights(config({}, steps=1, init_from=str(run.weights)))
    again = Trainer(config_, *_sets(data), tmp_path / "again", init=init)
    assert again.transfer is not None
    assert "classes kept: grass, sky" in again.transfer.table()
    entry = "classifier.low_classifier.weight"
    rows = again.model.body.state_dict()[entry]
    assert torch.equal(rows[:2], found.tensors[entry][[1, 0]])
    assert not torch.equal(rows[2], found.tensors[entry][2])


def _sets(data: Path) -> tuple[Any, Any]:
    splits = read_dataset(data)
    return splits["train"], splits["val"]


def test_two_scenes_are_learnt_by_heart(data: Path, tmp_path: Path):
    """Both losses, the average, the augmentation's frame and the void column at work together."""
    own = config({**UNET, "network": {"channels": 8, "levels": 3}}, steps=60, evaluate_every=60, checkpoint_every=60)
    splits = _sets(data)
    small = splits[0].select(np.arange(4) < 2, np.zeros(0, bool))
    trainer = Trainer(own, small, small, tmp_path / "run")
    evaluation = trainer.run()
    assert isinstance(evaluation, SemanticEvaluation)
    assert evaluation.score.mean_iou is not None
    assert evaluation.score.mean_iou > 0.9, evaluation.table()


def test_what_does_not_fit_is_said(data: Path, tmp_path: Path):
    splits = _sets(data)
    for changes, message in (
        ({"best_by": "mask_ap"}, r"best_by of pixels is one of mean_iou, mean_dice, pixel_accuracy, got mask_ap"),
        ({"layers": "heads"}, r"layers heads needs a U-Net on a body"),
        ({"augment": {"copy_paste": 0.5}}, r"augment\.copy_paste is about objects"),
    ):
        with pytest.raises(ValueError, match=message):
            SemanticTask(config(steps=1, **changes), *splits, tmp_path)
    with pytest.raises(ValueError, match=r"loss\.class_weights: no class 'tower'; there are sky, grass, hut"):
        SemanticTask(config({"loss": {"class_weights": {"tower": 2}}}, steps=1), *splits, tmp_path).build()
    with pytest.raises(ValueError, match="expected objects, got a class for every pixel; a group `semantic`"):
        maskrcnn.train(data, out=tmp_path / "run", steps=1, device="cpu")
    with pytest.raises(ValueError, match="expected the weights of a semantic network to start from"):
        maskrcnn.train(data, out=tmp_path / "other", config=config(steps=1), init="nuclei", device="cpu")


def test_frozen_parts_of_a_body_stay_as_they_are(data: Path, tmp_path: Path):
    network = {"channels": 2, "encoder": {"depth": 18, "stem_channels": 8}}
    trainer = Trainer(
        config({"network": network}, steps=1, layers="heads", val_loss=False), *_sets(data), tmp_path / "r"
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.run()
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("body.body."), name


def test_batches_of_several_sizes_are_padded_with_void(data: Path, tmp_path: Path):
    Image.fromarray(make_scene(0)[0][:31, :50]).save(data / "train/images/0.png")
    Image.fromarray(make_scene(0)[1][:31, :50]).save(data / "train/labels/0.png")
    run = maskrcnn.train(data, out=tmp_path / "run", config=config(steps=2, batch_size=4), device="cpu")
    assert run.evaluation is not None
