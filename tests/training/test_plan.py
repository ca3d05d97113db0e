"""What a run does where its configuration is silent; a configuration that speaks is not touched."""

from pathlib import Path
from typing import Any

import pytest
import torch

from maskrcnn.config import Config, load_config, settings, validate
from maskrcnn.training import plan
from maskrcnn.training.plan import available_memory, duration, plan_model, plan_training
from maskrcnn.untrusted import machine_memory

CPU = torch.device("cpu")
GB = 2**30
ROOT = Path(__file__).parents[2]


def planned(config: Config, num_images: int = 12, memory: int = 16 * GB, **options: Any) -> Config:
    sizes = options.pop("sizes", [(480, 640)])
    return plan_training(
        plan_model(config, CPU).config, num_images, sizes, CPU, memory, **({"is_size_open": True} | options)
    ).config


def test_a_few_images_on_a_cpu():
    run = planned(Config())
    # 50 times through 12 images in batches of 2.
    assert (run.train.batch_size, run.train.steps, run.train.warmup_steps) == (2, 300, 30)
    assert (run.train.evaluate_every, run.train.optimizer, run.model.backbone.kind) == (30, "adamw", "resnet")
    assert run.model.resize.shortest_edge == 416
    assert run.train.checkpoint_every == 10


def test_little_memory_gives_smaller_images_then_smaller_batches():
    # At 416 px an image of 480 x 640 is 416 x 555 px x 1300 bytes = 0.28 GB; two of them in half the memory need 1.12.
    assert planned(Config(), memory=2 * GB).model.resize.shortest_edge == 416
    small = planned(Config(), memory=GB)
    assert (small.model.resize.shortest_edge, small.train.batch_size) == (320, 2)
    tiny = planned(Config(), memory=GB // 4)
    assert (tiny.model.resize.shortest_edge, tiny.train.batch_size) == (320, 1)


def test_large_sets_are_seen_less_often():
    assert planned(Config(), num_images=250).train.steps == 250 * 50 // 2
    assert planned(Config(), num_images=540).train.steps == 250 * 50 // 2
    assert planned(Config(), num_images=118_000).train.steps == 118_000 * 12 // 2
    assert planned(Config(), num_images=1).train.steps == 100


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "configs").glob("*.yaml"))])
def test_configurations_keep_their_meaning(name: str):
    config = load_config(ROOT / "configs" / name)
    run = planned(config, is_size_open=False)
    for field in config.train.model_fields_set:
        assert getattr(run.train, field) == getattr(config.train, field), field
    assert {"steps", "batch_size", "learning_rate", "warmup_steps"} <= config.train.model_fields_set
    assert run.train.learning_rate == config.train.learning_rate
    if config.model.model_fields_set:  # else it is for weights to start from, which say it
        assert run.model == config.model


def test_what_is_said_wins_and_the_rate_follows_a_planned_batch():
    run = planned(settings(train={"optimizer": "sgd", "steps": 500, "warmup_steps": 400}))
    assert (run.train.steps, run.train.warmup_steps, run.train.optimizer) == (500, 400, "sgd")
    assert run.train.learning_rate == pytest.approx(0.02 * 2 / 16)
    assert run.train.schedule == "step"  # as SGD's defaults have it
    assert planned(settings(train={"steps": 500})).train.warmup_steps == 50


def test_memory_is_what_the_system_and_the_container_leave(monkeypatch: pytest.MonkeyPatch):
    assert available_memory(CPU) > 2**20
    said: dict[str, str] = {}
    monkeypatch.setattr(machine_memory, "_text", lambda path: said.get(path, ""))
    assert available_memory(CPU) == 8 * GB  # where nothing says more
    said["/proc/meminfo"] = "MemTotal:  900 kB\nMemAvailable:   300 kB\nBuffers:  700 kB\n"
    assert available_memory(CPU) == 300 * 1024
    said |= {"/sys/fs/cgroup/memory.max": "max\n", "/sys/fs/cgroup/memory.current": "5\n"}
    assert available_memory(CPU) == 300 * 1024
    said["/sys/fs/cgroup/memory.max"] = "105\n"
    assert available_memory(CPU) == 100
    said["/sys/fs/cgroup/memory.current"] = "106\n"
    assert available_memory(CPU) == 0
    said.pop("/sys/fs/cgroup/memory.max")
    monkeypatch.setattr(plan, "world_size", lambda: 4)
    assert available_memory(CPU) == 75 * 1024  # the machine's memory is for all of its processes


@pytest.mark.parametrize(
    ("resize", "augment", "expected"),
    [
        ({}, {"crop": 100}, 100 * 100),
        ({"mode": "square", "shortest_edge": 90, "longest_edge": 90}, {}, 90 * 90),
        ({"mode": "scale", "scale": 0.5}, {}, 50 * 100),
        ({}, {}, 60 * 120),  # the shortest edge becomes 60
        ({}, {"shortest_edges": [40, 80]}, 80 * 160),  # of several the largest
        ({}, {"shortest_edges": [40, 80], "scale": [0.5, 1.5]}, 120 * 240),
        ({}, {"shortest_edges": [400]}, 150 * 300),  # the longest edge ends it
    ],
)
def test_pixels_of_the_network_s_input_on_paper(resize: dict[str, Any], augment: dict[str, Any], expected: int):
    run = settings(model={"resize": resize}, train={"augment": {"resize": True, **augment}})
    edges = (60, 300)
    assert plan._input_pixels(run, edges, (100, 200)) == expected


def test_durations():
    assert [duration(s) for s in (0.2, 50, 120, 5400, 3 * 86400)] == ["1 s", "50 s", "2 min", "1.5 h", "3.0 days"]


@pytest.mark.parametrize("augment", [{"scale": [1.2, 0.8]}, {"jitter": [2.0, 0.1], "crop": 64}])
def test_reversed_ranges_are_errors(augment: dict[str, Any]):
    with pytest.raises(ValueError, match=r"train\.augment: (scale|jitter) goes from the smaller factor to the larger"):
        validate(Config, {"train": {"augment": augment}}, "test")


def test_settings_from_python(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("train: {steps: 7, batch_size: 3}\n")
    config = settings(tmp_path / "a.yaml", train={"steps": 9}, data={"val_fraction": 0.1})
    assert (config.train.steps, config.train.batch_size, config.data.val_fraction) == (9, 3, 0.1)
    assert config.train.model_fields_set == {"steps", "batch_size"}
    assert settings(preset="torchvision_v1").model.family == "torchvision_v1"
    with pytest.raises(ValueError, match="a file or a preset"):
        settings(tmp_path / "a.yaml", preset="matterport")
    with pytest.raises(ValueError, match=r"settings: unknown key train\.step; did you mean steps"):
        settings(train={"step": 9})


@pytest.mark.parametrize(("images", "batch"), [(1.5, 1), (2.0, 2), (2.5, 2), (9.0, 2)])
def test_the_largest_batch_that_fits(images: float, batch: int):
    # At a crop the size of the input is known; half of the memory is for so many images.
    config = settings(model={"backbone": {"depth": 50}}, train={"augment": {"crop": 1000}, "precision": "fp32"})
    per_image = plan._bytes_per_pixel(config.model.backbone) * 1000**2
    memory = int(2 * images * per_image) + 1
    run = plan_training(config, 12, [(480, 640)], CPU, memory, is_size_open=False).config
    assert run.train.batch_size == batch
