"""Convert another package's checkpoint to a file of this package, or one of ours to a file of another."""

import argparse
from pathlib import Path

import torch

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.exporting import PACKAGES, write_for
from maskrcnn.cli.model_arguments import add_import_arguments, load_checkpoint_of
from maskrcnn.prediction.predictor import describe_weights


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `convert_weights`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Convert a Mask R-CNN checkpoint of torchvision, detectron2, mmdetection or matterport to one "
        "safetensors file that holds the weights, all settings and the class names. With --to, write any checkpoint as "
        "another package reads it, with its config beside it; what that package would compute otherwise is refused.",
        epilog="examples: %(prog)s mask_rcnn_coco.h5 coco.safetensors; "
        "%(prog)s best.safetensors best.pth --to detectron2",
    )
    add = parser.add_argument
    add("source", metavar="IN", help="checkpoint file, or a name of `maskrcnn zoo`")
    add("target", metavar="OUT", type=Path, help="file to write: .safetensors, with --to .pth")
    add("--to", choices=(*PACKAGES, "matterport"), metavar="PACKAGE", help=f"write for {', '.join(PACKAGES)}")
    add("--class-names", metavar="NAMES", help="class names, separated by commas, if the file has none")
    add("--half", action="store_true", help="store half precision: half the size, scores differ in the third digit")
    add_import_arguments(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.to == "matterport":
        raise ValueError("--to matterport: its .h5 files are read here, and not written")
    suffix = ".safetensors" if args.to is None else ".pth"
    if args.target.suffix != suffix:
        raise ValueError(f"expected OUT to end in {suffix}, got {args.target}")
    if args.to is not None and args.half:
        raise ValueError("--half: other packages are given the numbers as they are")
    checkpoint = load_checkpoint_of(args, args.source, args.class_names)
    checkpoint.build()  # what is written must fit
    if args.to is not None:
        written = write_for(args.to, args.target, checkpoint)
        print(f"{Path(args.source).name}: {describe_weights(checkpoint)}")
        print(f"written for {args.to}: {', '.join(map(str, written.paths))}; it is loaded there by\n\n{written.how}")
        return 0
    dtype = torch.float16 if args.half else torch.float32
    save_checkpoint(args.target, checkpoint.tensors, checkpoint.settings, checkpoint.card, dtype, checkpoint.untrained)
    print(f"{Path(args.source).name}: {describe_weights(checkpoint)}")
    if checkpoint.untrained:
        print(f"{len(checkpoint.untrained)} tensors are random; fine-tune before use")
    print(f"{args.target}: {args.target.stat().st_size / 1e6:.1f} MB, {len(checkpoint.tensors)} tensors")
    return 0
