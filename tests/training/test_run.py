"""From what a caller gives to a run: which settings win, and what is said before it starts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from maskrcnn.config import Config, settings
from maskrcnn.training import run as module
from maskrcnn.training.records import write_config
from maskrcnn.training.run import _estimate, _new_config, train

NOTHING: dict[str, Any] = dict.fromkeys(("config", "init", "preset", "layers", "steps"))


@pytest.mark.parametrize(
    ("train", "steps", "warmup"),
    [
        ({"steps": 1000, "warmup_steps": 100}, 500, 50),  # in proportion
        ({"steps": 1000, "warmup_steps": 100}, 1000, 100),
        ({"steps": 1000, "warmup_steps": 100}, 2000, 100),  # a longer run keeps it
        ({"steps": 1000, "warmup_steps": 0}, 500, 0),
        ({"steps": 1000}, 500, None),  # not said: planned later
        ({"warmup_steps": 100}, 50, 100),
        ({"steps": 1000, "warmup_steps": 100}, None, 100),
    ],
)
def test_the_warm_up_shrinks_with_the_run(
    train: dict[str, Any], steps: int | None, warmup: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "maskrcnn")
    config = _new_config(None, NOTHING | {"config": settings(train=train), "steps": steps})
    assert config.train.steps == (steps if steps is not None else 1000)
    if warmup is None:
        assert "warmup_steps" not in config.train.model_fields_set
    else:
        assert config.train.warmup_steps == warmup
    assert ("warm-up of" in caplog.text) == (warmup not in (None, train.get("warmup_steps")))


def test_what_is_given_wins_and_only_what_is_said_is_set(tmp_path: Path) -> None:
    own = settings(train={"init_from": "coco", "init_preset": "torchvision_v2", "steps": 7}, data={"train": "a.json"})
    config = _new_config(tmp_path / "b.json", NOTHING | {"config": own, "init": tmp_path / "w.safetensors"})
    assert config.data.train == str(tmp_path / "b.json")
    assert config.train.init_from == str(tmp_path / "w.safetensors")
    assert config.train.model_fields_set == {"steps", "init_from"}  # the preset was of the other weights
    kept = _new_config(None, NOTHING | {"config": own})
    assert (kept.train.init_preset, kept.data.train) == ("torchvision_v2", "a.json")
    with pytest.raises(ValueError, match="preset matterport is for the weights to start from, and there are none"):
        _new_config(None, NOTHING | {"preset": "matterport"})


class Timed:
    """A trainer of known speed."""

    device = torch.device("cpu")

    def __init__(self, step: int, **train: Any) -> None:
        self.config: Config = settings(train={"steps": 1000, "evaluate_every": 100, "batch_size": 4, **train})
        self.progress = SimpleNamespace(step=step)
        self.asked = 0

    def seconds_per_step(self, num_steps: int) -> tuple[float, float]:
        self.asked += 1
        return 0.5, 1.5


@pytest.mark.parametrize(
    ("step", "num_val", "words"),
    [
        # 1000 steps of 2 s.
        (0, 0, "about 33 min: 1000 steps of 2 s; it can be stopped"),
        # 200 left; 2 evaluations of 40 pictures, of 1.5 s / 4 each: 30 s more.
        (800, 40, "about 7 min: 200 steps of 2 s, and 2 evaluations on val;"),
    ],
)
def test_how_long_a_run_will_take_on_paper(
    step: int, num_val: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "maskrcnn")
    trainer = Timed(step)
    _estimate(trainer, num_val)  # pyright: ignore[reportArgumentType]
    assert words in caplog.text


def test_on_a_gpu_loading_goes_on_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "maskrcnn")
    for workers, words in ((2, "1000 steps of 1.5 s"), (0, "1000 steps of 1.5 s")):
        trainer = Timed(0, workers=workers)
        trainer.device = torch.device("cuda")
        _estimate(trainer, 0)  # pyright: ignore[reportArgumentType]
        assert words in caplog.text


def test_a_run_of_a_few_steps_is_not_timed() -> None:
    almost_done = Timed(1000 - module.WORTH_TIMING + 1)
    _estimate(almost_done, 0)  # pyright: ignore[reportArgumentType]
    assert almost_done.asked == 0
    worth_it = Timed(1000 - module.WORTH_TIMING)
    _estimate(worth_it, 0)  # pyright: ignore[reportArgumentType]
    assert worth_it.asked == 1


class Recorded:
    """In the trainer's place."""

    made: ClassVar[list["Recorded"]] = []

    def __init__(self, config: Config, train: Any, val: Any, out: Path, device: torch.device, init: Any) -> None:
        self.config, self.train, self.val, self.out, self.device, self.init = config, train, val, out, device, init
        self.progress, self.transfer, self.is_restored = SimpleNamespace(step=0), None, False
        self.made.append(self)

    def restore(self) -> None:
        self.is_restored = True

    def seconds_per_step(self, num_steps: int) -> tuple[float, float]:
        return 0.1, 0.2

    def run(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        write_config(self.config, self.out / "config.yaml")
        (self.out / "last.pt").touch()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    monkeypatch.setattr(module, "Trainer", Recorded)
    monkeypatch.setattr(Recorded, "made", [])
    return Recorded.made


def test_a_run_is_planned_once_and_resumed_as_it_was(
    coco: Path, tmp_path: Path, made: list[Recorded], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "maskrcnn")
    out = tmp_path / "run"
    given: dict[str, Any] = {"val": coco / "val.json", "images": coco / "images", "device": "cpu"}
    run = train(coco / "train.json", out=out, steps=30, **given)
    assert run.weights == out / "last.safetensors"  # there is no best one
    (first,) = made
    assert (first.config.train.steps, first.config.train.warmup_steps) == (30, 3)
    assert first.config.train.batch_size == 2  # planned: the default of the settings is 16
    assert (len(first.train), len(first.val), first.is_restored) == (4, 2, False)
    assert "chosen, since the configuration does not say it" in caplog.text
    assert "timing a step or two" in caplog.text
    with pytest.raises(ValueError, match="holds a run already"):
        train(coco / "train.json", out=out, steps=30, **given)
    caplog.clear()
    (out / "best.safetensors").touch()
    assert train(out=out, resume=True, device="cpu").weights == out / "best.safetensors"
    _, again = made
    assert again.is_restored
    assert again.config == first.config
    assert (len(again.train), len(again.val)) == (4, 2)
    assert "chosen, since" not in caplog.text
    with pytest.raises(ValueError, match="resumed with its own settings and data; leave out annotations, steps"):
        train(coco / "train.json", out=out, resume=True, steps=3)


def test_a_given_batch_is_kept_and_the_rest_follows_it(coco: Path, tmp_path: Path, made: list[Recorded]) -> None:
    given: dict[str, Any] = {"val": coco / "val.json", "images": coco / "images", "device": "cpu"}
    train(coco / "train.json", out=tmp_path / "one", batch_size=1, **given)
    train(coco / "train.json", out=tmp_path / "four", batch_size=4, **given)
    one, four = (recorded.config.train for recorded in made)
    assert (one.batch_size, four.batch_size) == (1, 4)
    assert one.steps == max(100, 4 * 50)  # 50 times through 4 images
    assert four.learning_rate == pytest.approx(2 * one.learning_rate)  # the square root of the batch, with AdamW
