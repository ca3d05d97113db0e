"""A whole training run: settings, data, plan, training and what it leaves; from Python as from the command line."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maskrcnn.checkpoints.imagenet import IMAGENET
from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.config import Config, DataSettings, load_config, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.splitting import OneSidedError
from maskrcnn.distributed import gather, is_first, join, leave, world_size
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.files import clear_temporaries, folder_lock
from maskrcnn.prediction.execution import choose_device
from maskrcnn.training import instance_task, semantic_task
from maskrcnn.training.batch_size import with_batch_size
from maskrcnn.training.data import Sets, load_data, prepare_data
from maskrcnn.training.plan import available_memory, duration, plan_model, plan_training
from maskrcnn.training.trainer import Trainer, saved_config

log = logging.getLogger("maskrcnn")

HELD_OUT = (0.2, 0.35, 0.5)
"""Part of the images that is held out where nothing is said; the larger ones where so few images all came to one
side."""
NUM_TIMED = 2  # steps that the estimate of the time is from, at most
WORTH_TIMING = 20  # steps of a run


@dataclass(frozen=True)
class TrainedRun:
    """What a run left."""

    folder: Path
    weights: Path
    """The best weights on val, or the last ones where there is no val."""
    evaluation: Evaluation | SemanticEvaluation | None
    """The last one on val, in the first process."""


def train(
    annotations: str | Path | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    config: Config | str | Path | None = None,
    init: str | Path | None = None,
    preset: str | None = None,
    layers: str | None = None,
    steps: int | None = None,
    batch_size: int | str | None = None,
    device: str = "auto",
    **data: Any,
) -> TrainedRun:
    """Train or fine-tune a model; what is neither given here nor in `config` follows the data and the device.

    Progress is told through the logger "maskrcnn" (`logging.basicConfig(level="INFO")` shows it). Ctrl-C and SIGTERM
    end the run after the step at hand, with a checkpoint.

    Args:
        annotations: to train on, of any known format; None where `config` names them.
        out: folder of the run, which must not hold another one.
        resume: go on with the run in `out`, with its own settings and data.
        config: settings (see `maskrcnn.settings`), or a YAML file with them.
        init: weights to start from: a shipped name, a name of the zoo, or a file of any known package.
        preset: conventions of the file `init`, where it is another package's and does not say them.
        layers: what is trained: all, 3+, 4+, 5+ (the backbone from that stage on) or heads.
        steps: optimiser steps of the whole run.
        batch_size: images of a step; "auto" is what the GPU holds.
        device: auto, cpu, cuda or cuda:N.
        data: fields of `DataSettings`, such as val, images, val_fraction.

    Raises:
        FileNotFoundError: annotations, images, weights or the run to resume are not there.
        ValueError: settings or data that cannot be used, or a folder that is in use or holds a run already.
        NonFiniteLossError: the loss became infinite or not a number.
        RunStopped: (a KeyboardInterrupt) a signal ended the run, which can be resumed.
    """
    given = {"config": config, "init": init, "preset": preset, "layers": layers, "steps": steps} | data
    names = [name for name, value in {"annotations": annotations, **given}.items() if value is not None]
    if resume and names:
        raise ValueError(f"a run is resumed with its own settings and data; leave out {', '.join(names)}")
    where = join(choose_device(device))
    try:
        if not is_first():
            return _run(Path(out), resume, annotations, given, batch_size, where)
        if resume:
            saved_config(out)  # before a folder is made for a lock
        with folder_lock(out, "training"):
            clear_temporaries(out)
            return _run(Path(out), resume, annotations, given, batch_size, where)
    finally:
        leave()


def _run(
    out: Path,
    resume: bool,
    annotations: str | Path | None,
    given: dict[str, Any],
    batch_size: int | str | None,
    device: torch.device,
) -> TrainedRun:
    init: Any = None
    sets, chosen, is_size_open = None, (), False
    if resume:
        config = saved_config(out)
    else:
        if (out / "last.pt").exists():
            raise ValueError(f"{out} holds a run already; resume it, or choose another folder")
        config = _new_config(annotations, given)
        plan = plan_model(config, device)
        config, chosen = plan.config, plan.chosen
        is_size_open = "resize" not in config.model.model_fields_set and config.train.init_from in (None, IMAGENET)
        if config.train.init_from is not None:
            config, init = (instance_task if config.semantic is None else semantic_task).starting_weights(config)
        elif config.semantic is not None:
            log.info("new run, from random weights")
        else:
            shipped = ", ".join(shipped_weights())
            log.info(
                "new run, from random weights; it learns sooner and better from trained ones (init): %s comes with the "
                "package, coco (everyday photographs) is downloaded once",
                shipped or "nothing",
            )
        config, sets = _with_data(config, out)
    train, val = sets or load_data(config.data)
    with_classes = instance_task.with_classes_of if config.semantic is None else semantic_task.with_pixel_classes_of
    config = with_classes(train, config)  # which memory depends on
    if not resume:
        batch = batch_size if isinstance(batch_size, int) else None
        if batch is not None and not {"batch_size", "learning_rate"} & config.train.model_fields_set:
            config, batch_size = _with_train(config, batch_size=batch), None
        memory = min(gather(available_memory(device)))
        plan = plan_training(config, len(train), _some_sizes(train), device, memory, is_size_open=is_size_open)
        config, chosen = plan.config, chosen + plan.chosen
    if batch_size is not None:
        config = with_batch_size(config, batch_size, device)
    trainer = Trainer(config, train, val, out, device, init)
    if resume:
        trainer.restore()
        log.info("the same run again: resuming %s at step %d of %d", out, trainer.progress.step, config.train.steps)
    if trainer.transfer is not None:
        log.info(trainer.transfer.table())
    where = f"{trainer.device}" if world_size() == 1 else f"{world_size()} processes of {trainer.device.type}"
    log.info(
        "%d images to train on, %d to evaluate on, on %s; trained: %s; classes: %s",
        len(train),
        len(val) if val else 0,
        where,
        config.train.layers,
        ", ".join((config.semantic or config.model).class_names),
    )
    if val is None:
        log.info("no val part: nothing will tell how good the model is on images that it has not seen")
    if chosen:
        log.info("chosen, since the configuration does not say it:\n  %s", "\n  ".join(chosen))
    _estimate(trainer, len(val) if val else 0)
    evaluation = trainer.run()
    best = out / "best.safetensors"
    return TrainedRun(out, best if best.exists() else out / "last.safetensors", evaluation)


def _new_config(annotations: str | Path | None, given: Mapping[str, Any]) -> Config:
    """The settings of the configuration below those that are `given`; only what is set, since the rest is open."""
    config = given["config"]
    own = config if isinstance(config, Config) else load_config(config) if config is not None else Config()
    values = own.model_dump(exclude_unset=True)
    names = ("config", "init", "preset", "layers", "steps")
    data = {name: _plain(value) for name, value in given.items() if value is not None and name not in names}
    if annotations is not None:
        data["train"] = str(annotations)
    values["data"] = values.get("data", {}) | data
    settings = dict(values.get("train", {}))
    if given["init"] is not None:
        settings.pop("init_preset", None)  # of the file that the given one replaces
    steps = given["steps"]
    if steps is not None and settings.get("warmup_steps") and settings.get("steps", 0) > steps > 0:
        shorter = settings["warmup_steps"] * steps // settings["steps"]
        log.info("warm-up of %d steps in place of %d, as the run is shorter", shorter, settings["warmup_steps"])
        settings["warmup_steps"] = shorter
    changed = {
        "steps": steps,
        "init_from": _plain(given["init"]),
        "init_preset": given["preset"],
        "layers": given["layers"],
    }
    values["train"] = settings | {key: value for key, value in changed.items() if value is not None}
    result = validate(Config, values, "settings")
    if given["preset"] is not None and result.train.init_from is None:
        raise ValueError(f"preset {given['preset']} is for the weights to start from, and there are none")
    return result


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _with_data(config: Config, out: Path) -> tuple[Config, Sets | None]:
    """The data read, divided and checked, by the first process for all; the others read what it wrote."""
    prepared = sets = None
    if is_first():
        if "val_fraction" in config.data.model_fields_set:
            prepared, sets = prepare_data(config.data, config.train.seed, out / "data")
        else:
            prepared, sets = _with_held_out(config, out)
    return config.model_copy(update={"data": gather(prepared)[0]}), sets


def _with_held_out(config: Config, out: Path) -> tuple[DataSettings, Sets]:
    """A val part of its own, unless the data have one; none for so few images that they cannot be divided."""
    for fraction in (*HELD_OUT, 0.0):
        data = config.data.model_copy(update={"val_fraction": fraction})
        try:
            prepared, (train, val) = prepare_data(data, config.train.seed, out / "data")
        except OneSidedError:
            continue
        if fraction and config.data.val is None and val is not None and val.source == train.source:
            if len(val) < fraction * (len(val) + len(train)) / 2 and fraction != HELD_OUT[-1]:
                continue  # chance gave so few that a larger part is better
            log.info("%d images are held out as val, which the data do not have (data.val_fraction)", len(val))
        return prepared, (train, val)
    raise AssertionError("undivided data cannot be one-sided")


def _with_train(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def _some_sizes(dataset: Annotations) -> list[tuple[int, int]]:
    """(height, width) of up to eight images, evenly over the set."""
    sizes = []
    for index in range(0, len(dataset), max(1, len(dataset) // 8)):
        image = dataset.read(index)
        sizes.append((image.shape[0], image.shape[1]))
    return sizes


def _estimate(trainer: Trainer, num_val: int) -> None:
    """Say how long the run will take, from a few real steps."""
    settings = trainer.config.train
    left = settings.steps - trainer.progress.step
    if left < WORTH_TIMING:
        return
    log.info("timing a step or two ...")
    loading, computing = trainer.seconds_per_step(NUM_TIMED)
    # On a CPU the loading is done by the same cores; a GPU works while it is done.
    is_cpu = trainer.device.type == "cpu"
    step = loading + computing if is_cpu else max(loading / max(settings.workers, 1), computing)
    own_batch = max(1, settings.batch_size // world_size())
    # Two passes forward for each image are about as long as one with its gradients.
    judging = left // settings.evaluate_every * num_val / world_size() * computing / own_batch
    log.info(
        "about %s: %d steps of %.2g s%s; it can be stopped at any time, and resumed",
        duration(left * step + judging),
        left,
        step,
        f", and {left // settings.evaluate_every} evaluations on val" if num_val else "",
    )
