"""Train or fine-tune a model on COCO data."""

import argparse
import sys
from pathlib import Path

import torch

from maskrcnn.config import Config, load_config, validate
from maskrcnn.data.coco import CocoDataset, load_coco
from maskrcnn.engine.distributed import is_first, join, leave, world_size
from maskrcnn.engine.predictor import choose_device, describe_weights
from maskrcnn.engine.run_records import say
from maskrcnn.engine.trainer import Trainer, saved_config
from maskrcnn.engine.transfer import settings_from
from maskrcnn.engine.weights import load_weights

DATA_KEYS = ("train", "val", "images", "val_images")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `train`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train a model on COCO instance annotations.",
        epilog="example: %(prog)s --config configs/nuclei.yaml --train A.json --val B.json --images DIR --out RUN",
    )
    add = parser.add_argument
    add("--config", type=Path, help="YAML file with the differences from the default settings")
    add("--train", metavar="JSON", help="COCO annotations to train on")
    add("--val", metavar="JSON", help="COCO annotations to evaluate on during training")
    add("--images", metavar="DIR", help="folder of the images that both name")
    add("--val-images", metavar="DIR", help="folder of the val images, where it is another one")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="RUN", help="new folder for the run")
    where.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder; needs nothing else")
    add("--init", metavar="WEIGHTS", help="weights to start from: a shipped name, coco, or a file of any known package")
    add("--steps", type=int, help="optimiser steps, in place of the configuration's")
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
    config = _resumed_config(args) if args.resume else _new_config(args)
    init = None
    if config.train.init_from is not None and not args.resume:
        init = load_weights(config.train.init_from, preset=config.train.init_preset, is_partial=True)
        config, changes = settings_from(config, init)
        say(f"new run, starting from the weights of {config.train.init_from}: {describe_weights(init)}")
        for change in changes:
            say(f"the configuration differs: {change}")
    train, val = _load_data(config)
    trainer = Trainer(config, train, val, args.resume or args.out, device, init)
    if args.resume:
        trainer.restore()
        say(f"the same run again: resuming {args.resume} at step {trainer.progress.step} of {config.train.steps}")
    elif init is None:
        say("new run, from random weights")
    if trainer.transfer is not None:
        say(trainer.transfer.table())
    where = f"{trainer.device}" if world_size() == 1 else f"{world_size()} processes of {trainer.device.type}"
    say(
        f"{len(train)} images to train on, {len(val) if val else 0} to evaluate on, on {where}; "
        f"classes: {', '.join(train.class_names)}"
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
        say(f"use the model with --weights {weights}; curves and pictures of val are beside it")
    return 0


def _resumed_config(args: argparse.Namespace) -> Config:
    """The settings of the run's folder, which must not be mixed with others: it is to be the same run."""
    given = [
        f"--{key.replace('_', '-')}"
        for key in ("config", *DATA_KEYS, "init", "steps")
        if getattr(args, key) is not None
    ]
    if given:
        raise ValueError(f"--resume continues a run with its own settings and data; leave out {', '.join(given)}")
    return saved_config(args.resume)


def _new_config(args: argparse.Namespace) -> Config:
    if (args.out / "last.pt").exists():
        raise ValueError(f"{args.out} holds a run already; continue it with --resume {args.out}, or give another --out")
    # Only what is set: weights to start from decide the rest of the model.
    values = (load_config(args.config) if args.config else Config()).model_dump(exclude_unset=True)
    data = values.get("data", {}) | {key: getattr(args, key) for key in DATA_KEYS if getattr(args, key) is not None}
    # Absolute, so that the run can be resumed from any folder.
    values["data"] = {key: str(Path(path).resolve()) if path is not None else None for key, path in data.items()}
    given = {"steps": args.steps, "init_from": args.init}
    values["train"] = values.get("train", {}) | {key: value for key, value in given.items() if value is not None}
    return validate(Config, values, "command line")


def _load_data(config: Config) -> tuple[CocoDataset, CocoDataset | None]:
    data = config.data
    if data.train is None or data.images is None:
        raise ValueError("expected --train JSON and --images DIR (or data.train and data.images in the configuration)")
    train = load_coco(data.train, data.images)
    if data.val is None:
        return train, None
    return train, load_coco(data.val, data.val_images or data.images)
