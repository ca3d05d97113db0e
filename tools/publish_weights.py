"""Make the file that is shipped: half precision, a recommended score, and a card with the measured figures."""

import argparse
import json
import sys
from pathlib import Path

import torch

from maskrcnn.engine.checkpoint import load_checkpoint, save_checkpoint


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: %(prog)s RUN/last.safetensors weights/nuclei.safetensors --score 0.5 --card card.json",
    )
    parser.add_argument("source", type=Path, help="a checkpoint of a training run")
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument("--score", type=float, help="score threshold to recommend")
    parser.add_argument("--card", type=Path, help="JSON object: data, licence, how it was made, measured figures")
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.source)
    settings = checkpoint.settings
    if args.score is not None:
        detection = settings.detection.model_copy(update={"score_threshold": args.score})
        settings = settings.model_copy(update={"detection": detection})
    card = checkpoint.card | (json.loads(args.card.read_text(encoding="utf-8")) if args.card else {})
    save_checkpoint(args.target, checkpoint.tensors, settings, card, torch.float16)
    size_mb = args.target.stat().st_size / 1e6
    print(f"{args.target}: {size_mb:.1f} MB, score above {settings.detection.score_threshold:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
