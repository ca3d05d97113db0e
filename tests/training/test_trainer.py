import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn.checkpoints.checkpoint import load_checkpoint
from maskrcnn.config import Config, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.loading import Batch
from maskrcnn.data.reading import load_annotations
from maskrcnn.training import trainer as trainer_module
from maskrcnn.training import validation as validation_module
from maskrcnn.training.run_state import load_run_state
from maskrcnn.training.schedule import learning_rate_factor
from maskrcnn.training.step import NonFiniteLossError, TrainingStep
from maskrcnn.training.trainer import Trainer, saved_config
from maskrcnn.training.validation import validation_losses
from tests.coco_files import CATEGORY_IDS, SMALL, TRAIN_SCENES, VAL_SCENES, write_coco
from tests.tiny import CLASS_NAMES, tiny_settings

LOSSES = ("total", "rpn_objectness", "rpn_box", "class", "box", "mask")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder, "train", TRAIN_SCENES)
    write_coco(folder, "val", VAL_SCENES)
    return folder


@pytest.fixture(scope="module")
def train(folder: Path) -> Annotations:
    return load_annotations(folder / "train.json", folder / "images")


@pytest.fixture(scope="module")
def val(folder: Path) -> Annotations:
    return load_annotations(folder / "val.json", folder / "images")


def config(**train_settings: Any) -> Config:
    """Three steps of two images; the model forgets the class names, which the data give."""
    model = tiny_settings("maskrcnn", **SMALL).model_dump() | {"class_names": ("object",)}
    settings = {
        "steps": 3,
        "batch_size": 2,
        "learning_rate": 0.01,
        "warmup_steps": 2,
        "workers": 0,
        "augment": {"scale": (0.8, 1.2), "crop": 48},
    }
    return validate(Config, {"model": model, "train": {**settings, **train_settings}}, "test")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fake_figures(name: str, value: float | None) -> SimpleNamespace:
    """An evaluation that says only this, of no objects."""
    return SimpleNamespace(summary=lambda: {name: value}, overall=SimpleNamespace(count=SimpleNamespace(total_true=0)))


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and number of a nested state, with where it is."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{name}.{key}")
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            yield from leaves(value, f"{name}[{i}]")
    else:
        yield name, state


def test_a_run_leaves_its_files(train: Annotations, val: Annotations, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trainer = Trainer(config(evaluate_every=2, average_decay=0.9), train, val, out)
    evaluation = trainer.run()
    assert evaluation is not None
    assert evaluation.class_names == CLASS_NAMES
    assert sorted(path.name for path in out.iterdir()) == [
        "best.safetensors",
        "config.yaml",
        "curves.png",
        "evaluation",
        "last.pt",
        "last.safetensors",
        "losses.csv",
        "metrics.csv",
        "predictions",
        "tensorboard",
    ]
    losses = rows(out / "losses.csv")
    assert [row["step"] for row in losses] == ["1", "2", "3"]
    for row in losses:
        parts = [float(row[name]) for name in LOSSES]
        assert parts[0] == pytest.approx(sum(parts[1:]), rel=1e-4)
    assert [row["step"] for row in rows(out / "metrics.csv")] == ["2", "3"]
    assert sorted(path.name for path in (out / "predictions").iterdir()) == [
        f"val_{image}_{step:06d}.png" for image in (1, 2) for step in (2, 3)
    ]
    assert any((out / "tensorboard").iterdir())
    assert Image.open(out / "curves.png").size > (100, 100)
    resolved = saved_config(out)
    assert resolved == trainer.config
    assert resolved.model.class_names == CLASS_NAMES
    checkpoint = load_checkpoint(out / "last.safetensors")
    assert checkpoint.settings.category_ids == CATEGORY_IDS
    assert (checkpoint.card["steps_done"], checkpoint.card["num_train_images"]) == (3, 4)
    assert evaluation.summary().items() <= checkpoint.card["val"].items()
    assert float(rows(out / "metrics.csv")[1]["val_loss"]) == pytest.approx(
        checkpoint.card["val"]["val_loss"], rel=1e-4
    )
    assert trainer.average is not None
    for name, tensor in trainer.average.tensors.items():
        assert torch.equal(checkpoint.tensors[name], tensor), name
    assert isinstance(torch.load(out / "last.pt", weights_only=True), dict)
    with pytest.raises(ValueError, match="the run is complete, all 3 steps are done"):
        trainer.run()


@pytest.mark.parametrize(
    "settings",
    [
        {"evaluate_every": 2, "clip_gradient_norm": 1.0},
        {"workers": 1, "precision": "bf16", "optimizer": "adamw", "average_decay": 0.9, "schedule": "cosine"},
    ],
    ids=["sgd_fp32", "adamw_bf16_average_worker"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    train: Annotations, val: Annotations, tmp_path: Path, settings: dict[str, Any]
) -> None:
    run = config(steps=5, **settings)
    judged_on = val if "evaluate_every" in settings else None
    Trainer(run, train, judged_on, tmp_path / "whole").run()
    assert Trainer(run, train, judged_on, tmp_path / "parts").run(stop_at=1) is None
    for stop_at in (3, None):
        torch.rand(stop_at or 1)  # another process has other random numbers
        trainer = Trainer(saved_config(tmp_path / "parts"), train, judged_on, tmp_path / "parts")
        trainer.restore()
        trainer.run(stop_at)
    whole, parts = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts"))
    for (name, one), (other_name, other) in zip(leaves(whole), leaves(parts), strict=True):
        assert name == other_name
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, name
    for name in ("losses.csv", "metrics.csv") if judged_on else ("losses.csv",):
        tables = [rows(tmp_path / folder / name) for folder in ("whole", "parts")]
        for row in tables[0] + tables[1]:
            row.pop("seconds", None)
        assert tables[0] == tables[1]
    rates = [float(row["lr"]) for row in rows(tmp_path / "parts" / "losses.csv")]
    assert rates == pytest.approx([0.01 * learning_rate_factor(step, run.train) for step in range(5)], rel=1e-5)


def test_workers_change_nothing(train: Annotations, tmp_path: Path) -> None:
    for workers in (0, 1):
        Trainer(config(steps=2, workers=workers), train, None, tmp_path / str(workers)).run()
    one, other = (torch.load(tmp_path / str(workers) / "last.pt", weights_only=True)["model"] for workers in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_rows_after_the_checkpoint_are_done_again(
    train: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config(checkpoint_every=2)
    trainer = Trainer(run, train, None, tmp_path)
    real_step = TrainingStep.__call__

    def killed_at_3(self: TrainingStep, batch: Batch, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        if step == 3:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return real_step(self, batch, optimizer, step)

    monkeypatch.setattr(TrainingStep, "__call__", killed_at_3)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = Trainer(run, train, None, tmp_path)
    resumed.restore()
    assert resumed.progress.step == 2
    resumed.run()
    assert [row["step"] for row in rows(tmp_path / "losses.csv")] == ["1", "2", "3"]


@pytest.mark.parametrize("part", ["backbone.stem", "rpn.objectness", "rpn.deltas", "box_head", "mask_head"])
def test_a_loss_that_is_not_finite_names_the_images(train: Annotations, tmp_path: Path, part: str) -> None:
    trainer = Trainer(config(batch_size=3), train, None, tmp_path)
    names = [name for name, _ in trainer.model.named_parameters() if name.startswith(part)]
    assert names
    with torch.no_grad():
        trainer.model.get_parameter(names[0]).fill_(torch.nan)
    with pytest.raises(NonFiniteLossError, match=r"at step 1 .* images of the batch: train_\d\.png, train_\d\.png"):
        trainer.run()


def test_the_steps_before_a_loss_that_is_not_finite_are_on_record(train: Annotations, tmp_path: Path) -> None:
    trainer = Trainer(config(steps=50, learning_rate=100.0, warmup_steps=0), train, None, tmp_path)
    with pytest.raises(NonFiniteLossError):
        trainer.run()
    assert [row["step"] for row in rows(tmp_path / "losses.csv")][:1] == ["1"]
    assert not (tmp_path / "last.pt").exists()


def test_images_without_objects(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "nothing", [[], []])
    nothing = load_annotations(path, tmp_path / "images")
    evaluation = Trainer(config(steps=2), nothing, nothing, tmp_path / "run").run()
    for row in rows(tmp_path / "run" / "losses.csv"):
        assert float(row["box"]) == float(row["mask"]) == float(row["rpn_box"]) == 0.0
        assert float(row["total"]) > 0
    assert evaluation is not None
    assert evaluation.summary()["mask_ap"] is None
    assert not (tmp_path / "run" / "best.safetensors").exists()  # there was nothing to be good at
    assert rows(tmp_path / "run" / "metrics.csv")[0]["mask_ap"] == ""


@pytest.mark.parametrize(
    ("best_by", "values"), [("mask_ap", [None, 0.1, 0.3, 0.2]), ("count_mae", [None, 3.0, 1.0, 2.0])]
)
def test_the_best_weights_are_kept(
    train: Annotations,
    val: Annotations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    best_by: str,
    values: list[float | None],
) -> None:
    left = iter(values)

    def fake_evaluation(*_: object, **__: object) -> SimpleNamespace:
        value = next(left)
        return fake_figures(best_by, value)

    monkeypatch.setattr(validation_module, "NUM_PICTURES", 0)
    monkeypatch.setattr(validation_module, "detect_all", lambda *_, **__: {})
    monkeypatch.setattr(validation_module, "evaluate", fake_evaluation)
    monkeypatch.setattr(validation_module, "write_evaluation", lambda *_: None)
    run = config(steps=4, evaluate_every=1, best_by=best_by, val_loss=False)
    Trainer(run, train, val, tmp_path).run(stop_at=3)
    trainer = Trainer(run, train, val, tmp_path)
    trainer.restore()
    assert trainer.progress.best == values[2]
    trainer.run()
    assert trainer.progress.best == values[2]
    card = load_checkpoint(tmp_path / "best.safetensors").card
    assert (card["steps_done"], card["val"]) == (3, {best_by: values[2]})
    assert load_checkpoint(tmp_path / "last.safetensors").card["steps_done"] == 4


def test_val_with_other_classes_is_refused(folder: Path, train: Annotations, tmp_path: Path) -> None:
    path = write_coco(tmp_path, "other", VAL_SCENES, class_names=("square", "circle"))
    other = load_annotations(path, tmp_path / "images")
    with pytest.raises(ValueError, match=r"other\.json has no category named disc; it has circle instead"):
        Trainer(config(), train, other, tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_training_image_is_one_sentence(tmp_path: Path, workers: int) -> None:
    path = write_coco(tmp_path, "train", TRAIN_SCENES[:1])
    (tmp_path / "images" / "train_1.png").write_bytes(b"no image")
    trainer = Trainer(config(workers=workers), load_annotations(path, tmp_path / "images"), None, tmp_path / "run")
    with pytest.raises(ValueError, match=r"train_1\.png: not an image in a known format") as caught:
        trainer.run()
    assert "\n" not in str(caught.value)


def test_pictures_of_one_name_in_two_folders(train: Annotations, tmp_path: Path) -> None:
    path = write_coco(tmp_path, "val", VAL_SCENES)
    for i, name in enumerate(("a", "b"), start=1):
        (tmp_path / "images" / name).mkdir()
        (tmp_path / "images" / f"val_{i}.png").rename(tmp_path / "images" / name / "x.png")
        path.write_text(path.read_text().replace(f"val_{i}.png", f"{name}/x.png"))
    Trainer(config(steps=1), train, load_annotations(path, tmp_path / "images"), tmp_path / "run").run()
    pictures = sorted(path.name for path in (tmp_path / "run" / "predictions").iterdir())
    assert pictures == ["a_x_000001.png", "b_x_000001.png"]


def test_what_cannot_be_resumed(train: Annotations, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder of a training run"):
        saved_config(tmp_path)
    trainer = Trainer(config(), train, None, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"last\.pt: no checkpoint to resume from"):
        trainer.restore()
    trainer.save()
    other = config().model_copy(update={"model": tiny_settings(fpn={"channels": 64, "norm": "none"})})
    with pytest.raises(ValueError, match=r"last\.pt: the model has changed since .*: fpn, detection differ"):
        Trainer(other, train, None, tmp_path).restore()
    whole = (tmp_path / "last.pt").read_bytes()
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        (tmp_path / "last.pt").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.pt: not a checkpoint of a run, or a damaged one"):
            trainer.restore()


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("progress", {"step": "many"}, r"progress: step: expected .*, got 'many'"),
        ("progress", {"step": -1}, r"progress: step: expected .*, got -1"),
        ("progress", {"step": 0, "best": float("nan")}, r"progress: best: expected .*, got nan"),
        ("progress", {"step": 0, "stopped_early": [1]}, r"progress: stopped_early: expected .*, got \[1\]"),
        ("progress", {"step": 0, "more": 1}, r"progress: unknown key more"),
        ("progress", {"step": 7}, r"7 steps are done, the schedule is elsewhere"),
        ("progress", 3, r"not the state of this run"),
        ("config", "{", r"its config is no JSON"),
        ("config", "[]", r"not the state of this run"),
        ("average", {"num_updates": -11, "tensors": {}}, r"number of updates of the average is below 0"),
        ("average", {"num_updates": 1, "tensors": {}}, r"the average is of tensors with other names"),
    ],
)
def test_a_crafted_state_is_one_sentence(
    train: Annotations, tmp_path: Path, key: str, value: object, sentence: str
) -> None:
    trainer = Trainer(config(average_decay=0.9), train, None, tmp_path)
    trainer.save()
    state = load_run_state(tmp_path, torch.device("cpu"))
    torch.save(state | {key: value}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=rf"last\.pt: .*{sentence}|last\.pt: {sentence}") as caught:
        trainer.restore()
    assert "\n" not in str(caught.value)
    assert trainer.progress.step == 0


def test_a_few_steps_learn_something(train: Annotations, tmp_path: Path) -> None:
    Trainer(config(steps=12, learning_rate=0.02, batch_size=4, augment={"resize": True}), train, None, tmp_path).run()
    totals = [float(row["total"]) for row in rows(tmp_path / "losses.csv")]
    assert np.mean(totals[-3:]) < 0.8 * np.mean(totals[:3])


def test_parts_of_a_batch_give_the_gradients_of_the_whole(train: Annotations, tmp_path: Path) -> None:
    # Group norm, and crops of one size that all have as many anchors: only the heads' regions may differ in number.
    for parts in (1, 2):
        Trainer(config(batch_size=4, accumulate=parts, steps=2), train, None, tmp_path / str(parts)).run()
    whole, split = (rows(tmp_path / parts / "losses.csv") for parts in ("1", "2"))
    for one, other in zip(whole, split, strict=True):
        assert float(one["rpn_objectness"]) == pytest.approx(float(other["rpn_objectness"]), rel=1e-3)
        assert float(one["total"]) == pytest.approx(float(other["total"]), rel=0.1)


@pytest.mark.parametrize(("layers", "is_trained"), [("heads", []), ("4+", [2, 3]), ("3+", [1, 2, 3])])
def test_frozen_layers_stay_as_they_are(train: Annotations, tmp_path: Path, layers: str, is_trained: list[int]) -> None:
    trainer = Trainer(config(steps=2, layers=layers), train, None, tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.run()
    after = trainer.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for i in range(4):
        assert any(name.startswith(f"backbone.stages.{i}.") for name in changed) == (i in is_trained)
    assert not any(name.startswith("backbone.stem.") for name in changed)
    assert {"fpn.output.0.conv.weight", "mask_head.logits.weight"} <= changed


def test_a_run_without_progress_stops_early(
    train: Annotations, val: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([0.3, 0.2, 0.1, 0.4])
    monkeypatch.setattr(validation_module, "NUM_PICTURES", 0)
    monkeypatch.setattr(validation_module, "detect_all", lambda *_, **__: {})
    monkeypatch.setattr(validation_module, "evaluate", lambda *_, **__: fake_figures("mask_ap", next(left)))
    monkeypatch.setattr(validation_module, "write_evaluation", lambda *_: None)
    run = config(steps=4, evaluate_every=1, patience=2, val_loss=False)
    trainer = Trainer(run, train, val, tmp_path)
    trainer.run()
    assert (trainer.progress.step, trainer.progress.best) == (3, 0.3)
    assert load_checkpoint(tmp_path / "last.safetensors").card["steps_done"] == 3
    resumed = Trainer(run, train, val, tmp_path)
    resumed.restore()
    with pytest.raises(ValueError, match=r"the run stopped early at step 3 \(train\.patience\)"):
        resumed.run()


def test_a_run_starts_from_other_weights(train: Annotations, tmp_path: Path) -> None:
    first = Trainer(config(), train, None, tmp_path / "first")
    first.run()
    init = load_checkpoint(tmp_path / "first" / "last.safetensors")
    second = Trainer(config(seed=1), train, None, tmp_path / "second", init=init)
    assert second.transfer is not None
    assert second.transfer.reinitialised == ()
    assert all(torch.equal(tensor, init.tensors[name]) for name, tensor in second.model.state_dict().items())


def test_losses_on_val_are_those_of_the_weights_alone(val: Annotations, train: Annotations, tmp_path: Path) -> None:
    model = Trainer(config(), train, None, tmp_path).model.eval()
    torch.manual_seed(1)
    first = validation_losses(model, val, "fp32")
    torch.manual_seed(2)
    assert validation_losses(model, val, "fp32") == first
    assert first["val_loss"] == pytest.approx(sum(value for name, value in first.items() if name != "val_loss"))


def test_the_average_takes_in_the_weights_of_every_step(
    train: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(config(average_decay=0.9), train, None, tmp_path)
    assert trainer.average is not None
    seen: list[torch.Tensor] = []
    name, parameter = next((n, p) for n, p in trainer.model.named_parameters() if p.requires_grad)
    expected = parameter.detach().clone()
    step = TrainingStep.__call__

    def watched(*args: Any) -> dict[str, float]:
        row = step(*args)
        seen.append(parameter.detach().clone())
        return row

    monkeypatch.setattr(TrainingStep, "__call__", watched)
    trainer.run()
    for k, weights in enumerate(seen, start=1):
        expected = torch.lerp(expected, weights, 1 - (1 + k) / (10 + k))
    assert len(seen) == trainer.average.num_updates == 3
    torch.testing.assert_close(trainer.average.tensors[name], expected)
    assert not torch.equal(seen[0], seen[-1])


def test_timing_takes_the_least_and_leaves_the_run_as_it_was(
    train: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock is read before a batch is loaded, after, and after its gradients: 2 s and 5 s, then 4 s and 3 s.
    ticks = iter([100.0, 102.0, 107.0, 200.0, 204.0, 207.0, 300.0, 301.0, 399.0])
    trainer = Trainer(config(), train, None, tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    random = torch.get_rng_state()
    monkeypatch.setattr(trainer_module, "SLOW_STEP_S", 6.0)
    monkeypatch.setattr(trainer_module.time, "perf_counter", lambda: next(ticks))
    assert trainer.seconds_per_step(2) == (2.0, 3.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.model.state_dict().items())
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.seconds_per_step(5) == (1.0, 98.0)  # one that takes too long is enough
    assert next(ticks, None) is None


def test_batch_statistics_over_processes_need_cuda(train: Annotations, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.sync_batch_norm needs CUDA"):
        Trainer(config(sync_batch_norm=True), train, None, tmp_path, "cpu")
