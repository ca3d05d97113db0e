"""A semantic head trained beside the others: from panoptic annotations to weights, and two scenes learnt by heart."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import Checkpoint, load_checkpoint
from maskrcnn.checkpoints.transfer import transfer
from maskrcnn.config import Config, ModelSettings, load_config, model_settings, overlay, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.panoptic_quality import panoptic_quality, tally
from maskrcnn.evaluation.true_scenes import true_scenes
from maskrcnn.model.build import build_model
from maskrcnn.prediction.detecting import detect
from maskrcnn.prediction.scenes import scenes_of
from maskrcnn.report.written import write_json
from maskrcnn.training.instance_task import with_classes_of
from tests.panoptic_set import STUFF, STUFF_IDS, THING_IDS, THINGS, make_scene, write_set
from tests.tiny import batch, tiny_settings

BRANCH = {"channels": 32, "min_stuff_area": 50}
ROOT = Path(__file__).parents[2]
TINY = {
    "resize": {"mode": "scale", "scale": 1.0},
    "backbone": {"depth": 18, "stem_channels": 32, "norm": "gn"},
    "fpn": {"channels": 32, "norm": "gn"},
    "anchors": {"sizes": [16, 24, 32, 64, 128]},
    "box_head": {"fc_channels": 64},
    "mask_head": {"convs": 1, "channels": 32},
    "semantic_head": BRANCH,
}

# Few proposals and regions, so that a step is short: there are three objects in a scene at most.
FEW = {
    "anchors": {"sizes": (16, 24, 32, 64, 128)},
    "rpn": {"pre_nms_top_n": 50, "post_nms_top_n": 20, "train_pre_nms_top_n": 50, "train_post_nms_top_n": 20},
    "roi": {"proposals_per_image": 16},
    "mask_head": {"convs": 1, "channels": 32},
}


def test_the_example_trains_and_its_weights_know_the_stuff(tmp_path: Path):
    train, _ = write_set(tmp_path, 3, "panoptic_train")
    val, _ = write_set(tmp_path, 2, "panoptic_val", first_seed=100)
    example = load_config(ROOT / "configs" / "panoptic.yaml").model_dump(exclude_unset=True)
    del example["train"]["init_from"], example["model"]["resize"]
    small = {"steps": 3, "batch_size": 2, "warmup_steps": 1, "evaluate_every": 2, "workers": 0}
    config = validate(Config, overlay(example, {"model": TINY, "train": small}), "test")
    run = maskrcnn.train(train, val=str(val), out=tmp_path / "run", config=config, device="cpu")
    assert run.evaluation is not None
    assert run.evaluation.panoptic is not None
    assert run.evaluation.panoptic.num_images == 2
    assert "panoptic quality" in run.evaluation.table()
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"pq", "pq_things", "pq_stuff", "val_semantic"} <= rows[-1].keys()
    losses = (tmp_path / "run" / "losses.csv").read_text().splitlines()
    assert losses[0].endswith("mask,semantic,seconds")
    branch = load_checkpoint(run.weights).settings.semantic_head
    assert branch is not None
    assert (branch.class_names, branch.category_ids) == (("things", *STUFF), STUFF_IDS)
    # The same from Python as from the command line, and again from the file.
    again = maskrcnn.evaluate(str(run.weights), val, device="cpu")
    assert again.panoptic is not None
    assert again.panoptic.all.pq == pytest.approx(run.evaluation.panoptic.all.pq, abs=1e-6)


def of_data(table: Annotations, settings: ModelSettings) -> ModelSettings:
    """`settings` with the classes of a table, as a run takes them."""
    return with_classes_of(table, Config(model=settings)).model


@torch.no_grad()
def _quality(model, images, scenes) -> float:
    found = [scenes(one) for one in detect(model.eval(), images)]
    truth = [make_scene(seed)[1] for seed in range(len(images))]
    quality = panoptic_quality([tally(one, true) for one, true in zip(found, truth, strict=True)], THINGS, STUFF)
    assert quality.all.pq is not None
    return quality.all.pq


def test_two_scenes_are_learnt_by_heart(tmp_path: Path):
    file, _ = write_set(tmp_path, 2)
    table = load_annotations(file)
    settings = of_data(table, tiny_settings(semantic_head=BRANCH, **FEW))
    scenes = scenes_of(settings)
    assert scenes is not None
    torch.manual_seed(0)
    model = build_model(settings)
    samples = [table.load(index) for index in range(2)]
    images, targets = batch(model, [s.image for s in samples]), [s.targets for s in samples]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    steps = 45
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 8) * (1 - step / steps)
        optimizer.zero_grad()
        losses = model(images, targets)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    assert losses["semantic"].item() < 0.2
    quality = _quality(model, [s.image for s in samples], scenes)
    print(f"panoptic quality of two scenes after {steps} steps: {quality:.3f}")
    assert quality > 0.5


def test_data_without_stuff_are_refused(tmp_path: Path):
    file, _ = write_set(tmp_path, 2)
    objects = replace(load_annotations(file), stuff=None)
    with pytest.raises(ValueError, match=r"learns from .*, got ones without stuff; semantic_head: null"):
        of_data(objects, tiny_settings(semantic_head=BRANCH))
    assert of_data(objects, tiny_settings()).category_ids == THING_IDS
    write_json(tmp_path / "objects.json", objects.to_coco())
    config = maskrcnn.settings(model=TINY, train={"steps": 1, "best_by": "pq"})
    with pytest.raises(ValueError, match="got ones without stuff"):
        maskrcnn.train(
            tmp_path / "objects.json",
            images=str(tmp_path / "images"),
            out=tmp_path / "run",
            config=config,
            device="cpu",
        )
    without = maskrcnn.settings(model={**TINY, "semantic_head": None}, train={"steps": 1, "best_by": "pq"})
    with pytest.raises(ValueError, match=r"best_by pq needs model\.semantic_head"):
        maskrcnn.train(file, out=tmp_path / "other", config=without, device="cpu")


def test_labels_of_the_same_names_start_from_the_weights():
    names = ("things", "sky", "road", "grass")
    source = model_settings(**{**TINY, "semantic_head": {**BRANCH, "class_names": names}})
    own = model_settings(**{**TINY, "semantic_head": {**BRANCH, "class_names": ("anything", "Grass", "wall", "sky")}})
    torch.manual_seed(0)
    theirs, mine = build_model(source).state_dict(), build_model(own)
    fresh = mine.state_dict()["semantic_head.predictor.weight"].clone()
    report = transfer(mine, own, Checkpoint(source, theirs, {}))
    weight = mine.state_dict()["semantic_head.predictor.weight"]
    given = theirs["semantic_head.predictor.weight"]
    assert torch.equal(weight[[0, 1, 3]], given[[0, 3, 1]])
    assert torch.equal(weight[2], fresh[2])
    assert "semantic_head.predictor.weight" in report.fitted
    assert "semantic_head.levels.3.2.conv.weight" in report.loaded
    # Weights without the branch leave it as it is.
    plain = model_settings(**{**TINY, "semantic_head": None})
    report = transfer(build_model(own), own, Checkpoint(plain, build_model(plain).state_dict(), {}))
    assert "semantic_head.predictor.weight" in report.reinitialised


def test_true_scenes_of_the_val_part_have_the_models_classes(tmp_path: Path):
    file, scenes = write_set(tmp_path, 1)
    table = load_annotations(file)
    settings = of_data(table, tiny_settings(semantic_head=BRANCH))
    assert settings.semantic_head is not None
    true, _ = true_scenes(table, THING_IDS, settings.class_names, settings.semantic_head.stuff_names)(0)
    assert np.array_equal(true.ids > 0, scenes[0].ids > 0)
