"""Train or fine-tune a model on one's own data."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.model_arguments import add_preset_argument
from maskrcnn.data.problems import DataError
from maskrcnn.training.run import train
from maskrcnn.training.stopping import RunStopped

DATA_KEYS = ("val", "images", "val_images", "val_fraction", "group_key", "crowd_as_objects", "allow")
NEW_RUN_KEYS = ("config", "annotations", "train", "init", "preset", "steps", "batch")
LAYERS = ("heads", "3+", "4+", "5+", "all")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `train`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train or fine-tune a model: annotations of any known format are checked, then trained on. "
        "What is not said follows the data, the device and its memory, and is printed before the run starts.",
        epilog="example: %(prog)s --config configs/balloon.yaml --annotations balloon --init coco --train heads "
        "--out RUN",
    )
    add = parser.add_argument
    add("--config", type=Path, help="YAML file with the differences from the default settings")
    add_annotations_argument(parser)
    add("--val", metavar="PATH", help="annotations to evaluate on during training, where the others have no such part")
    add("--images", metavar="DIR", help="folder of the images, where it is not beside the annotations")
    add("--val-images", metavar="DIR", help="folder of the val images, where it is another one")
    add(
        "--val-fraction",
        type=float,
        help="part of the images held out to evaluate on, if there is no val (default: 0.2)",
    )
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
    add("--steps", type=int, help="optimiser steps (default: the configuration's, or by the number of images)")
    add(
        "--batch",
        type=_batch,
        help="images of a step; the learning rate follows. auto: what the GPU holds",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; started by torchrun, it is one of several processes that train one model."""
    folder = args.resume or args.out
    try:
        run = train(**_arguments(args))
    except DataError as error:
        hint = "maskrcnn check-dataset shows them all"
        if any(problem.kind == "mostly-crowd" for problem in error.problems):
            hint += "; --crowd-as-objects takes crowd regions for objects"
        if error.allowable:
            hint += f"; --allow {' '.join(error.allowable)} leaves those annotations and images out"
        raise ValueError(f"{error}. {hint}") from None
    except RunStopped as stopped:
        print(f"--resume {folder} goes on from here", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        if (folder / "last.pt").exists():
            print(f"--resume {folder} goes on from the last checkpoint", file=sys.stderr)
        raise
    log, report = logging.getLogger("maskrcnn"), ""  # which the first process alone shows
    if run.evaluation is not None:
        log.info(run.evaluation.table())
        report = ", the report of the last evaluation in evaluation/report.html"
    log.info(f"use the model with --weights {run.weights}; curves and pictures of val are beside it{report}")
    return 0


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Those of `train`."""
    if args.resume:
        keys = [key for key in (*NEW_RUN_KEYS, *DATA_KEYS) if getattr(args, key) is not None]
        if keys:
            given = ", ".join(f"--{key.replace('_', '-')}" for key in keys)
            raise ValueError(f"--resume continues a run with its own settings and data; leave out {given}")
        return {"out": args.resume, "resume": True, "device": args.device}
    layers = [word for word in args.train or () if word in LAYERS]
    annotations = [word for word in args.train or () if word not in LAYERS]
    if annotations and args.annotations is not None:
        raise ValueError(f"--train {annotations[0]}: expected {', '.join(LAYERS)} beside --annotations")
    return {
        "annotations": args.annotations or (annotations[-1] if annotations else None),
        "out": args.out,
        "config": args.config,
        "init": args.init,
        "preset": args.preset,
        "layers": layers[-1] if layers else None,
        "steps": args.steps,
        "batch_size": args.batch,
        "device": args.device,
        **{key: value for key in DATA_KEYS if (value := getattr(args, key)) is not None},
    }


def _batch(text: str) -> int | str:
    if text != "auto" and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a number of images or auto, got {text!r}")
    return text if text == "auto" else int(text)
