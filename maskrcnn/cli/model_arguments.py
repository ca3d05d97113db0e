"""The arguments of every command that uses a trained model."""

import argparse
import math
from pathlib import Path
from typing import Literal

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS, load_weights
from maskrcnn.config import PRESETS
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.tiling import TileSize


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights, and how they are used."""
    add = parser.add_argument
    add(
        "--weights",
        help="a name (nuclei, coco, or another that `maskrcnn zoo` lists) or a checkpoint file of this package, "
        f"torchvision, detectron2, mmdetection or matterport (default: {DEFAULT_WEIGHTS})",
    )
    add_import_arguments(parser)
    add("--force", action="store_true", help="use the weights even if parts of them were never trained")
    add(
        "--score",
        type=float,
        help="keep detections with a score above this, 0 to 1 (default: stored with the weights)",
    )
    add(
        "--exclusive",
        nargs="+",
        metavar="CLASSES",
        help="groups of classes that exclude one another, such as cat,dog: an object found as both counts once; or all",
    )
    add(
        "--max-detections",
        type=int,
        metavar="N",
        help="most detections in one image (default: stored with the weights)",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="precision of the network; bf16 is faster on processors that support it (default: %(default)s, which is "
        "fp32 on a CPU)",
    )
    add(
        "--resize",
        type=_resize,
        metavar="PX|FACTOR",
        help="size at which the network sees an image: px of the shorter side (800) or a factor (2.0x) "
        "(default: stored with the weights)",
    )


def add_tile_arguments(parser: argparse.ArgumentParser, help_of_auto: str) -> None:
    """How pictures larger than the network's input are divided."""
    add = parser.add_argument
    add(
        "--tile",
        type=_tile,
        default="auto",
        metavar="auto|off|PX",
        help=f"process images in overlapping tiles of this side, counting each object once; auto: {help_of_auto} "
        "(default: %(default)s)",
    )
    add(
        "--overlap",
        type=int,
        metavar="PX",
        help="overlap of the tiles, at most a third of a tile (default: the longest object that the anchors allow)",
    )


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """How a file of another package is read."""
    add_preset_argument(parser)
    parser.add_argument(
        "--partial",
        action="store_true",
        help="if the file does not fit as a whole, load the parts that do; the rest is random",
    )


def add_preset_argument(parser: argparse.ArgumentParser) -> None:
    """What a file of another package does not say itself."""
    # Of C4 and DC5 networks no file is read yet.
    presets = [name for name in PRESETS if name not in ("maskrcnn", "detectron2_c4", "detectron2_dc5")]
    parser.add_argument(
        "--preset", choices=presets, help="conventions of another package's checkpoint, if the file does not tell"
    )


def load_checkpoint_of(args: argparse.Namespace, name: str | None, class_names: str | None = None) -> Checkpoint:
    """The weights called `name`; prints a table of what fitted where that is not all."""
    names = tuple(part.strip() for part in class_names.split(",")) if class_names is not None else None
    checkpoint = load_weights(name, preset=args.preset, class_names=names, is_partial=args.partial)
    if args.partial:
        checkpoint, fit = checkpoint.completed()
        if not fit.is_exact:
            print(fit.table())
    return checkpoint


def load_predictor(args: argparse.Namespace, batch_size: int = 1) -> Predictor:
    """The predictor that those arguments ask for; says what weights it has."""
    predictor = Predictor(
        load_checkpoint_of(args, args.weights),
        device=args.device,
        precision=args.precision,
        score=args.score,
        max_detections=args.max_detections,
        resize=args.resize,
        exclusive_classes=_exclusive_classes(args.exclusive),
        tile=args.tile,
        overlap=args.overlap,
        batch_size=batch_size,
        allow_untrained=args.force,
        keep_memory=True,  # the process is for this alone
    )
    print(f"{Path(args.weights or DEFAULT_WEIGHTS).name}: {predictor.description}")
    return predictor


def _exclusive_classes(groups: list[str] | None) -> list[list[str]] | Literal["all"] | None:
    if groups is None or groups == ["all"]:
        return "all" if groups else None
    return [[name.strip() for name in group.split(",")] for group in groups]


def _tile(text: str) -> TileSize:
    if text in ("auto", "off"):
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected auto, off or a number of pixels such as 1024, got {text!r}")
    return int(text)


def _resize(text: str) -> int | float:
    """A whole number of pixels, or a factor such as 1.5x."""
    try:
        value = float(text[:-1]) if text.endswith("x") else int(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected pixels such as 800 or a factor such as 1.5x, got {text!r}")
    return value
