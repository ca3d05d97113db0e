"""Make the file that is shipped: half precision, recommended settings, and a card with the measured figures."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from maskrcnn.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from maskrcnn.config import ModelSettings, validate


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: %(prog)s RUN/last.safetensors weights/x.safetensors --set detection.score_threshold=0.5",
    )
    parser.add_argument("source", type=Path, help="a checkpoint of a training run")
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument("--set", nargs="+", default=[], metavar="PATH=VALUE", help="settings of use, by dotted path")
    parser.add_argument("--card", type=Path, help="JSON object: data, licence, how it was made, measured figures")
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.source)
    values = checkpoint.settings.model_dump()
    for change in args.set:
        _set(values, *change.split("=", 1))
    settings = validate(ModelSettings, values, "--set")
    card = checkpoint.card | (json.loads(args.card.read_text(encoding="utf-8")) if args.card else {})
    save_checkpoint(args.target, checkpoint.tensors, settings, card, torch.float16)
    size_mb = args.target.stat().st_size / 1e6
    print(f"{args.target}: {size_mb:.1f} MB, score above {settings.detection.score_threshold:g}")
    return 0


def _set(values: dict[str, Any], path: str, value: str) -> None:
    *groups, key = path.split(".")
    for group in groups:
        values = values.setdefault(group, {})
    values[key] = yaml.safe_load(value)


if __name__ == "__main__":
    sys.exit(main())
