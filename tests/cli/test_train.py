import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import maskrcnn
from maskrcnn.config import model_settings
from maskrcnn.data.loading import Batch
from maskrcnn.files import folder_lock
from maskrcnn.model.build import build_model
from maskrcnn.training.step import TrainingStep
from maskrcnn.training.trainer import saved_config
from tests.cli.conftest import Said, Tool
from tests.coco_files import SMALL, VAL_SCENES, write_coco, write_label_images
from tests.oracles.mmdetection_layout import to_mmdetection, write_pth
from tests.tiny import tiny_settings

STEPS = {"batch_size": 2, "workers": 0, "warmup_steps": 1, "learning_rate": 0.01, "steps": 9}


def write_config(**differences: object) -> Path:
    """config.yaml in the working folder."""
    model = tiny_settings("maskrcnn", **SMALL).model_dump(mode="json", exclude_defaults=True)
    Path("config.yaml").write_text(
        yaml.safe_dump({"model": model, "train": STEPS, "data": {"val_fraction": 0.0}, **differences})
    )
    return Path("config.yaml")


def error(said: Said) -> str:
    assert said.status == 1
    assert "Traceback" not in said.err
    (line,) = said.err.splitlines()
    return line.removeprefix("error: ")


def test_train_then_evaluate_then_infer(tool: Tool, coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("--train", "data/train.json", "--val", "data/val.json", "--images", "data/images")
    said = tool("train", "--config", write_config(), *data, "--out", "run", "--steps", 2, "--device", "cpu")
    assert said.status == 0, said.err
    assert said.err == ""
    assert "4 images to train on, 2 to evaluate on, on cpu; trained: all; classes: square, disc\n" in said.out
    assert "step 2: AP mask " in said.out
    assert "step 2 of 2: loss " in said.out  # where there is no terminal for the progress bar
    assert "2 images, 3 objects; at most 20 detections" in said.out
    assert "use the model with --weights run/best.safetensors; curves and validation drawings are beside it" in said.out
    assert saved_config("run").train.steps == 2
    assert saved_config("run").data.train == str(coco / "train.json")

    assert error(tool("train", "--out", "run", *data)).startswith("run holds a run already; resume it")
    monkeypatch.chdir(coco)  # a run can be resumed from any folder
    assert error(tool("train", "--resume", "../run")) == "../run: the run is complete, all 2 steps are done"
    monkeypatch.chdir("..")

    # The counts depend on the score threshold, so that of an untrained model is asked for.
    options = ("--weights", "run/best.safetensors", "--score", "0.05", "--device", "cpu")
    said = tool(
        "evaluate",
        "--annotations",
        "data/val.json",
        "--images",
        "data/images",
        *options,
        "--out",
        "judged",
        "--worst",
        1,
    )
    assert (said.status, said.err) == (0, "")
    assert "mask score TP / (TP + FP + FN)" in said.out
    assert said.out.count("worst count: ") == 1
    assert "all figures: judged/evaluation.json" in said.out
    assert '"mask_score"' in Path("judged/evaluation.json").read_text()

    assert tool("infer", "data/images", *options, "--out", "found").status == 0
    assert len(Path("found/counts.csv").read_text().splitlines()) == 7


def test_an_interrupted_run_is_resumed(tool: Tool, coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("--train", "data/train.json", "--images", "data/images", "--device", "cpu")
    config = write_config(train={**STEPS, "steps": 3, "checkpoint_every": 1})
    real_step = TrainingStep.__call__

    def interrupted(self: TrainingStep, batch: Batch, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        if step == 3:
            raise KeyboardInterrupt
        return real_step(self, batch, optimizer, step)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingStep, "__call__", interrupted)
        said = tool("train", "--config", config, *data, "--out", "run")
    assert said.status == 130
    assert said.err.splitlines() == ["to continue from the last checkpoint: --resume run", "interrupted"]
    said = tool("train", "--resume", "run", "--device", "cpu")
    assert said.status == 0
    assert "resuming run at step 2 of 3\n" in said.out
    assert "use the model with --weights run/last.safetensors" in said.out
    assert maskrcnn.Predictor("run/last.safetensors", device="cpu").class_names == ("square", "disc")


def test_a_terminated_run_saves_its_step_and_goes_on(tool: Tool, coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("--train", "data/train.json", "--images", "data/images", "--device", "cpu")
    config = write_config(train={**STEPS, "steps": 3})
    real_step = TrainingStep.__call__

    def terminated(self: TrainingStep, batch: Batch, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(self, batch, optimizer, step)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingStep, "__call__", terminated)
        said = tool("train", "--config", config, *data, "--out", "run")
    assert said.status == 128 + signal.SIGTERM
    assert "stopped at step 2 of 3; all of it is saved in run" in said.out
    assert said.err.splitlines() == ["to continue from here: --resume run"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert "resuming run at step 2 of 3\n" in tool("train", "--resume", "run", "--device", "cpu").out


def test_a_folder_has_one_run(tool: Tool, coco: Path) -> None:
    data = ("--train", "data/train.json", "--images", "data/images", "--device", "cpu")
    with folder_lock("run", "training"):
        assert error(tool("train", "--config", write_config(), *data, "--out", "run")).startswith(
            "run is in use by train"
        )


def test_mistakes_are_one_sentence(tool: Tool, coco: Path) -> None:
    data = ("--train", "data/train.json", "--images", "data/images", "--out", "run", "--device", "cpu")
    for differences, sentence in (
        ({"train": {"learning_rat": 1}}, "config.yaml: unknown key train.learning_rat; did you mean learning_rate?"),
        ({"modle": {}}, "config.yaml: unknown key modle; did you mean model?"),
        ({"train": {"steps": 0}}, "config.yaml: train.steps: "),
        ({"train": {"seed": -1}}, "config.yaml: train.seed: "),
    ):
        assert error(tool("train", "--config", write_config(**differences), *data)).startswith(sentence)
    config = write_config()
    Path("notes.txt").write_text("a: [")
    write_coco(coco, "other", VAL_SCENES, class_names=("square", "circle"))
    for args, sentence in (
        (("--config", "gone.yaml", *data), "no configuration file gone.yaml"),
        (("--config", "notes.txt", *data), "notes.txt: not valid YAML in line 1: "),
        (("--config", config, "--out", "run"), "expected annotations to train on"),
        (("--config", config, *data, "--train", "data/gone.json"), "data/gone.json: there is no such file or folder"),
        (("--config", config, *data, "--train", "config.yaml"), "config.yaml is no annotation format that is known"),
        (("--config", config, *data, "--images", "gone"), "gone: there is no such folder of images"),
        (
            ("--config", config, *data, "--images", "."),
            "the data cannot be trained on as it is: 4 errors: train_1.png: ",
        ),
        (("--config", config, *data, "--val", "data/other.json"), "(class-names-differ)"),
        (
            ("--config", config, *data[2:], "--data", "data/train.json", "--train", "haeds"),
            "--train haeds: expected heads, 3+, 4+, 5+, all beside --annotations",
        ),
        (("--config", config, *data, "--train", "haeds"), "haeds: there is no such file or folder"),
        (
            ("--config", config, *data, "--preset", "mmdet_caffe"),
            "preset mmdet_caffe is for the weights to start from, and there are none",
        ),
        (("--resume", "run", "--preset", "mmdet_caffe"), "leave out --preset"),
        (("--config", config, *data, "--val-fraction", "1"), "settings: data.val_fraction: "),
        (("--config", config, *data, "--batch", "auto"), "batch_size auto fills the memory of a GPU; on a CPU give a"),
        (("--config", config, *data, "--steps", 0), "settings: train.steps: "),
        (("--config", config, *data, "--device", "tpu"), "device: expected auto, cpu, cuda, cuda:N"),
        (("--resume", "gone"), "gone/config.yaml: not found, so gone is no folder of a training run"),
        (
            ("--resume", "run", "--steps", 5, "--val-images", "x"),
            "--resume continues a run with its own settings and data; leave out --steps, --val-images",
        ),
    ):
        said = tool("train", *args)
        assert sentence in error(said), args
        assert not Path("run").exists()


def test_a_loss_that_is_not_finite(tool: Tool, coco: Path) -> None:
    config = write_config(train={**STEPS, "learning_rate": 100.0, "warmup_steps": 0})
    said = tool("train", "--config", config, "--train", "data/train.json", "--images", "data/images", "--out", "run")
    sentence = error(said)
    assert "the loss is not finite at step " in sentence
    assert "images of the batch: train_" in sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_cuda(tool: Tool, coco: Path) -> None:
    args = ("--config", write_config(), "--train", "data/train.json", "--images", "data/images", "--out", "run")
    assert error(tool("train", *args, "--device", "cuda")) == "device cuda: this machine has no CUDA devices"


def test_any_format_is_divided_checked_and_trained_on(tool: Tool, tmp_path: Path) -> None:
    """From label images, one value for each object, without a word about a split."""
    write_label_images(tmp_path / "cells", 6)
    options = ("--data", "cells", "--val-fraction", "0.4", "--train", "heads", "--steps", 2, "--batch", 4)
    said = tool("train", "--config", write_config(), *options, "--out", "run", "--device", "cpu")
    assert said.status == 0, said.err
    assert "4 images a step in place of 2, so the learning rate is 0.01 x 4 / 2 = 0.02" in said.out
    assert "trained: heads; classes: object" in said.out
    train, val = (json.loads(Path(f"run/data/{name}.json").read_text()) for name in ("train", "val"))
    names = [{image["file_name"] for image in part["images"]} for part in (train, val)]
    assert all(names)
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 6
    assert saved_config("run").train.layers == "heads"
    assert Path("run/evaluation/report.html").is_file()
    said = tool("train", "--resume", "run", "--device", "cpu")
    assert error(said) == "run: the run is complete, all 2 steps are done"


def test_errors_in_the_data_stop_a_training_unless_they_are_allowed(tool: Tool, coco: Path) -> None:
    """Pain 7: a degenerate box is named by file, annotation and reason, not found by a loss that is not a number."""
    path = coco / "train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [10, 10, 0, 5]
    path.write_text(json.dumps(content))
    options = ("--config", write_config(), "--data", "data/train.json", "--images", "data/images", "--device", "cpu")
    sentence = error(tool("train", *options, "--steps", 1, "--out", "run"))
    assert sentence.startswith("the data cannot be trained on as it is: 1 error: annotation 1 in data/train.json: ")
    assert "--allow degenerate-box" in sentence
    said = tool("train", *options, "--steps", 1, "--out", "run", "--allow", "degenerate-box")
    assert said.status == 0, said.err
    kept = json.loads(Path("run/data/train.json").read_text())["annotations"]
    assert len(kept) == len(content["annotations"]) - 1


def test_init_and_resume_are_told_apart(tool: Tool, coco: Path, weights: Path) -> None:
    """Pain 19: weights to start from make a new run, which says so; the same run goes on with its own settings."""
    options = ("--data", "data/train.json", "--images", "data/images", "--device", "cpu")
    train = {**STEPS, "steps": 1}
    Path("only.yaml").write_text(yaml.safe_dump({"train": train}))
    said = tool("train", "--config", "only.yaml", *options, "--init", weights, "--out", "run")
    assert said.status == 0, said.err
    assert f"new run, starting from the weights of {weights}: maskrcnn R18-FPN, 2 classes" in said.out
    assert "classes kept: square, disc; new: none" in said.out
    assert saved_config("run").model.backbone.depth == 18  # as in the weights, not as by default
    assert "leave out --init" in error(tool("train", "--resume", "run", "--init", weights))


def test_a_preset_says_how_the_file_to_start_from_is_read(tool: Tool, coco: Path, weights: Path) -> None:
    slim: dict[str, Any] = {
        "backbone": {"depth": 18, "stem_channels": 32},
        "fpn": {"channels": 32},
        "mask_head": {"channels": 32},
    }
    settings = model_settings("mmdet_pytorch", class_names=["disc"], box_head={"fc_channels": 64}, **slim)
    write_pth(Path("theirs.pth"), to_mmdetection(build_model(settings).state_dict()))
    model = {"resize": {"mode": "scale", "scale": 1.0}}
    train = {**STEPS, "steps": 1, "init_from": "theirs.pth", "init_preset": "mmdet_pytorch"}
    Path("start.yaml").write_text(yaml.safe_dump({"model": model, "train": train}))
    options = ("--config", "start.yaml", "--data", "data/train.json", "--images", "data/images", "--device", "cpu")
    said = tool("train", *options, "--preset", "mmdet_caffe", "--out", "run")
    assert said.status == 0, said.err
    assert "starting from the weights of theirs.pth: mmdetection R18-FPN, 1 class, BGR, the usual sizes" in said.out
    assert saved_config("run").train.init_preset == "mmdet_caffe"
    assert saved_config("run").model.pixels.order == "bgr"
    # What the configuration says of its own file is not said of another one.
    said = tool("train", *options, "--init", weights, "--out", "other")
    assert said.status == 0, said.err
    assert saved_config("other").train.init_preset is None


def test_another_body_than_that_of_the_weights_is_refused(tool: Tool, coco: Path, weights: Path) -> None:
    Path("other.yaml").write_text(yaml.safe_dump({"model": {"backbone": {"depth": 34}}, "train": STEPS}))
    options = ("--config", "other.yaml", "--data", "data/train.json", "--images", "data/images", "--device", "cpu")
    assert error(tool("train", *options, "--init", weights, "--out", "run")) == (
        "another body than that of the weights to start from: model.backbone.depth is 34, not 18; leave that out, or "
        "train.init_from"
    )
    assert not Path("run").exists()


def test_pain_14_masks_that_an_exporter_marked_as_crowds(tool: Tool, coco: Path) -> None:
    path = coco / "train.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(content))
    options = ("--config", write_config(), "--data", "data/train.json", "--images", "data/images", "--device", "cpu")
    sentence = error(tool("train", *options, "--steps", 1, "--out", "run"))
    assert "(mostly-crowd)" in sentence
    assert "--crowd-as-objects" in sentence
    said = tool("train", *options, "--steps", 1, "--out", "run", "--crowd-as-objects")
    assert said.status == 0, said.err
    assert all(one["iscrowd"] == 0 for one in json.loads(Path("run/data/train.json").read_text())["annotations"])
