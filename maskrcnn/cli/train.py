"""Train or fine-tune a model on COCO data."""

import argparse
import sys
from pathlib import Path

from maskrcnn.config import Config, load_config, validate
from maskrcnn.data.coco import CocoDataset, load_coco
from maskrcnn.engine.predictor import choose_device
from maskrcnn.engine.trainer import Trainer, saved_config

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
    add("--steps", type=int, help="optimiser steps, in place of the configuration's")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    config = _resumed_config(args) if args.resume else _new_config(args)
    train, val = _load_data(config)
    trainer = Trainer(config, train, val, args.resume or args.out, choose_device(args.device))
    if args.resume:
        trainer.restore()
        print(f"resuming {args.resume} at step {trainer.progress.step} of {config.train.steps}")
    print(
        f"{len(train)} images to train on, {len(val) if val else 0} to evaluate on, on {trainer.device}; "
        f"classes: {', '.join(train.class_names)}"
    )
    try:
        evaluation = trainer.run()
    except KeyboardInterrupt:
        if (trainer.out / "last.pt").exists():
            print(f"--resume {trainer.out} goes on from the last checkpoint", file=sys.stderr)
        raise
    if evaluation is not None:
        print(evaluation.table())
    weights = next(path for name in ("best", "last") if (path := trainer.out / f"{name}.safetensors").exists())
    print(f"use the model with --weights {weights}; curves and pictures of val are beside it")
    return 0


def _resumed_config(args: argparse.Namespace) -> Config:
    """The settings of the run's folder, which must not be mixed with others: it is to be the same run."""
    given = [f"--{key.replace('_', '-')}" for key in ("config", *DATA_KEYS, "steps") if getattr(args, key) is not None]
    if given:
        raise ValueError(f"--resume continues a run with its own settings and data; leave out {', '.join(given)}")
    return saved_config(args.resume)


def _new_config(args: argparse.Namespace) -> Config:
    if (args.out / "last.pt").exists():
        raise ValueError(f"{args.out} holds a run already; continue it with --resume {args.out}, or give another --out")
    values = (load_config(args.config) if args.config else Config()).model_dump()
    data = values["data"] | {key: getattr(args, key) for key in DATA_KEYS if getattr(args, key) is not None}
    # Absolute, so that the run can be resumed from any folder.
    values["data"] = {key: str(Path(path).resolve()) if path is not None else None for key, path in data.items()}
    if args.steps is not None:
        values["train"]["steps"] = args.steps
    return validate(Config, values, "command line")


def _load_data(config: Config) -> tuple[CocoDataset, CocoDataset | None]:
    data = config.data
    if data.train is None or data.images is None:
        raise ValueError("expected --train JSON and --images DIR (or data.train and data.images in the configuration)")
    train = load_coco(data.train, data.images)
    if data.val is None:
        return train, None
    return train, load_coco(data.val, data.val_images or data.images)
