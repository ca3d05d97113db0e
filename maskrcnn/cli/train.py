"""Train or fine-tune a model on your own data."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.model_arguments import add_preset_argument
from maskrcnn.cli.picture_arguments import add_max_pixels
from maskrcnn.data.formats.recognise import FORMATS
from maskrcnn.data.problems import DataError
from maskrcnn.training.run import train
from maskrcnn.training.stopping import RunStopped

DATA_KEYS = (
    "val",
    "format",
    "images",
    "val_images",
    "val_fraction",
    "group_key",
    "crowd_as_objects",
    "allow",
    "max_pixels",
)
NEW_RUN_KEYS = ("config", "annotations", "train", "init", "preset", "steps", "batch")
LAYERS = ("heads", "3+", "4+", "5+", "all")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `train`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train or fine-tune a model. Annotations in any known format are checked first. Settings that you "
        "leave out follow the data, the device and its memory; they are printed before the run starts.",
        epilog="example: %(prog)s --config configs/balloon.yaml --annotations balloon --init coco --train heads "
        "--out RUN",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="YAML file with the settings that differ from the defaults")
    add_annotations_argument(parser)
    add("--val", metavar="PATH", help="validation annotations, if --annotations has no validation split")
    add("--format", choices=FORMATS, help="format of the annotations (default: recognised)")
    add("--images", metavar="DIR", help="folder of the images (default: searched near the annotations)")
    add("--val-images", metavar="DIR", help="folder of the validation images (default: that of --images)")
    add(
        "--val-fraction",
        type=float,
        metavar="F",
        help="fraction of the images to hold out for validation, if there is no validation split (default: 0.2)",
    )
    add(
        "--group-key",
        metavar="RE",
        help="regular expression; images whose file names match with the same text (of its group, if it has one) are "
        r"held out together. '^(plate\d+)_' keeps plates together",
    )
    add(
        "--crowd-as-objects",
        action="store_true",
        default=None,
        help="treat crowd regions as objects, for exporters that mark every mask as a crowd",
    )
    add(
        "--allow",
        nargs="+",
        metavar="KIND",
        help="leave out annotations and images with errors of these kinds, instead of stopping",
    )
    add_max_pixels(parser)
    add(
        "--train",
        action="append",
        metavar="LAYERS",
        help="layers to train: heads, 3+, 4+, 5+ (the heads, and the backbone from that stage on) or all",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="RUN", help="folder for a new run")
    where.add_argument(
        "--resume", type=Path, metavar="RUN", help="resume the run in this folder, with its own settings and data"
    )
    add(
        "--init",
        metavar="WEIGHTS",
        help="weights to start from: a name (nuclei, coco, or another that `maskrcnn zoo` lists), a checkpoint file of "
        "any known package, or imagenet for the backbone alone",
    )
    add_preset_argument(parser)
    add(
        "--steps",
        type=int,
        metavar="N",
        help="optimiser steps (default: from the configuration, or chosen by the number of images)",
    )
    add(
        "--batch",
        type=_batch,
        metavar="N|auto",
        help="images per step; the learning rate is scaled in proportion. auto fills the GPU's memory",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; started by torchrun, it is one of several processes that train one model."""
    folder = args.resume or args.out
    try:
        run = train(**_arguments(args))
    except DataError as error:
        hint = "maskrcnn check_dataset lists them all"
        if any(problem.kind == "mostly-crowd" for problem in error.problems):
            hint += "; --crowd-as-objects treats crowd regions as objects"
        if error.allowable:
            hint += f"; --allow {' '.join(error.allowable)} leaves those annotations and images out"
        raise ValueError(f"{error}. {hint}") from None
    except RunStopped as stopped:
        print(f"to continue from here: --resume {folder}", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        if (folder / "last.pt").exists():
            print(f"to continue from the last checkpoint: --resume {folder}", file=sys.stderr)
        raise
    log, report = logging.getLogger("maskrcnn"), ""  # which the first process alone shows
    if run.evaluation is not None:
        log.info(run.evaluation.table())
        report = "; evaluation/report.html has the last evaluation"
    log.info(f"use the model with --weights {run.weights}; curves and validation drawings are beside it{report}")
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
