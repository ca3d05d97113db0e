"""Train or fine-tune a model on one's own data."""

import argparse
import sys
from pathlib import Path

import torch

from maskrcnn.checkpoints.imagenet import IMAGENET, imagenet_weights
from maskrcnn.checkpoints.transfer import settings_from
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.model_arguments import add_preset_argument
from maskrcnn.config import Config, load_config, validate
from maskrcnn.data.problems import DataError
from maskrcnn.distributed import gather, is_first, join, leave, world_size
from maskrcnn.prediction.execution import choose_device
from maskrcnn.prediction.predictor import describe_weights
from maskrcnn.training.batch_size import with_batch_size
from maskrcnn.training.data import Sets, load_data, prepare_data
from maskrcnn.training.records import say
from maskrcnn.training.trainer import Trainer, saved_config

DATA_KEYS = ("annotations", "val", "images", "val_images", "val_fraction", "group_key", "crowd_as_objects", "allow")
NEW_RUN_KEYS = ("config", "train", "init", "preset", "steps", "batch")
LAYERS = ("heads", "3+", "4+", "5+", "all")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `train`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train or fine-tune a model: annotations of any known format are checked, then trained on.",
        epilog="example: %(prog)s --config configs/balloon.yaml --annotations balloon --init coco --train heads "
        "--out RUN",
    )
    add = parser.add_argument
    add("--config", type=Path, help="YAML file with the differences from the default settings")
    add_annotations_argument(parser)
    add("--val", metavar="PATH", help="annotations to evaluate on during training, where the others have no such part")
    add("--images", metavar="DIR", help="folder of the images, where it is not beside the annotations")
    add("--val-images", metavar="DIR", help="folder of the val images, where it is another one")
    add("--val-fraction", type=float, help="part of the images to evaluate on, where no val is given or in the data")
    add("--group-key", metavar="REGEX", help="images of which it finds the same text in the name stay on one side")
    add("--crowd-as-objects", action="store_true", default=None, help="for exporters that mark every mask as a crowd")
    add("--allow", nargs="+", metavar="KIND", help="leave out what has these errors instead of stopping")
    add(
        "--train",
        action="append",
        metavar="LAYERS",
        help="what is trained: heads, 3+, 4+, 5+ (the backbone from that stage on) or all",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="RUN", help="new folder for the run")
    where.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder; needs nothing else")
    add(
        "--init",
        metavar="WEIGHTS",
        help="weights to start from: a shipped name, coco, a file of any known package, or imagenet for the body alone",
    )
    add_preset_argument(parser)
    add("--steps", type=int, help="optimiser steps, in place of the configuration's")
    add("--batch", type=_batch, help="images of a step; the learning rate follows. auto: what the GPU holds")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; started by torchrun, it is one of several processes that train one model."""
    device = join(choose_device(args.device))
    try:
        return _train(args, device)
    finally:
        leave()


def _train(args: argparse.Namespace, device: torch.device) -> int:
    init = sets = None
    if args.resume:
        config = _resumed_config(args)
    else:
        config = _new_config(args)
        if config.train.init_from is not None:
            if config.train.init_from == IMAGENET:
                init = imagenet_weights(config.model)
            else:
                init = load_weights(config.train.init_from, preset=config.train.init_preset, is_partial=True)
            config, changes = settings_from(config, init)
            say(f"new run, starting from the weights of {config.train.init_from}: {describe_weights(init)}")
            for change in changes:
                say(f"the configuration differs: {change}")
        else:
            say("new run, from random weights")
        config, sets = _with_data(config, args)
    train, val = sets or load_data(config.data)
    if args.batch is not None:
        config = with_batch_size(config, args.batch, device, len(train.class_names))
    trainer = Trainer(config, train, val, args.resume or args.out, device, init)
    if args.resume:
        trainer.restore()
        say(f"the same run again: resuming {args.resume} at step {trainer.progress.step} of {config.train.steps}")
    if trainer.transfer is not None:
        say(trainer.transfer.table())
    where = f"{trainer.device}" if world_size() == 1 else f"{world_size()} processes of {trainer.device.type}"
    say(
        f"{len(train)} images to train on, {len(val) if val else 0} to evaluate on, on {where}; "
        f"trained: {config.train.layers}; classes: {', '.join(train.class_names)}"
    )
    try:
        evaluation = trainer.run()
    except KeyboardInterrupt:
        if (trainer.out / "last.pt").exists():
            print(f"--resume {trainer.out} goes on from the last checkpoint", file=sys.stderr)
        raise
    if evaluation is not None:
        say(evaluation.table())
    if is_first():
        weights = next(path for name in ("best", "last") if (path := trainer.out / f"{name}.safetensors").exists())
        report = ", the report of the last evaluation in evaluation/report.html" if evaluation is not None else ""
        say(f"use the model with --weights {weights}; curves and pictures of val are beside it{report}")
    return 0


def _resumed_config(args: argparse.Namespace) -> Config:
    """The settings of the run's folder, which must not be mixed with others: it is to be the same run."""
    keys = [key for key in (*NEW_RUN_KEYS, *DATA_KEYS) if getattr(args, key) is not None]
    if keys:
        given = ", ".join(f"--{key.replace('_', '-')}" for key in keys)
        raise ValueError(f"--resume continues a run with its own settings and data; leave out {given}")
    return saved_config(args.resume)


def _new_config(args: argparse.Namespace) -> Config:
    if (args.out / "last.pt").exists():
        raise ValueError(f"{args.out} holds a run already; continue it with --resume {args.out}, or give another --out")
    # Only what is set: weights to start from decide the rest of the model.
    values = (load_config(args.config) if args.config else Config()).model_dump(exclude_unset=True)
    given = {key: getattr(args, key) for key in DATA_KEYS if getattr(args, key) is not None}
    layers = [word for word in args.train or () if word in LAYERS]
    annotations = [word for word in args.train or () if word not in LAYERS]
    if annotations and "annotations" in given:
        raise ValueError(f"--train {annotations[0]}: expected {', '.join(LAYERS)} beside --annotations")
    if annotations or "annotations" in given:
        given["train"] = str(given.pop("annotations", None) or annotations[-1])
    values["data"] = values.get("data", {}) | given
    settings = dict(values.get("train", {}))
    if args.init is not None:
        settings.pop("init_preset", None)  # of the file that --init replaces
    changed = {
        "steps": args.steps,
        "init_from": args.init,
        "init_preset": args.preset,
        "layers": layers[-1] if layers else None,
    }
    values["train"] = settings | {key: value for key, value in changed.items() if value is not None}
    config = validate(Config, values, "command line")
    if args.preset is not None and config.train.init_from is None:
        raise ValueError(f"--preset {args.preset} is for the file of --init, and there is none")
    return config


def _with_data(config: Config, args: argparse.Namespace) -> tuple[Config, Sets | None]:
    """The data read, divided and checked, by the first process for all; the others read what it wrote."""
    prepared = sets = None
    if is_first():
        try:
            prepared, sets = prepare_data(config.data, config.train.seed, args.out / "data")
        except DataError as error:
            hint = "maskrcnn check-dataset shows them all"
            if any(problem.kind == "mostly-crowd" for problem in error.problems):
                hint += "; --crowd-as-objects takes crowd regions for objects"
            if error.allowable:
                hint += f"; --allow {' '.join(error.allowable)} leaves those annotations and images out"
            raise ValueError(f"{error}. {hint}") from None
    return config.model_copy(update={"data": gather(prepared)[0]}), sets


def _batch(text: str) -> int | str:
    if text != "auto" and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a number of images or auto, got {text!r}")
    return text if text == "auto" else int(text)
