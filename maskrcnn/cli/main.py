"""`maskrcnn COMMAND`: infer, train, evaluate."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, TextIO

import maskrcnn
from maskrcnn.cli.errors import report
from maskrcnn.optional import MissingPackageError
from maskrcnn.untrusted.names import printable_lines
from maskrcnn.untrusted.spelling import did_you_mean

COMMANDS = {
    "infer": "find, outline, count and draw every object in images",
    "train": "train or fine-tune a model on your own data",
    "evaluate": "measure a model on annotated data: AP, masks, counts",
    "compare": "methods without weights and trained models on annotated images, in one table",
    "check_dataset": "find errors in a data set before training on it",
    "convert_dataset": "convert annotations (VIA, LabelMe, YOLO, VOC, masks) to COCO JSON, split into train and val",
    "convert": "write what was found, or any annotations, in the format of another tool",
    "convert_weights": "convert another package's checkpoint to a file of this package",
    "serve": "a page in the browser and an HTTP interface for a model",
    "doctor": "check this machine: versions, hardware, the answer on a sample, speed",
    "zoo": "list the public checkpoints that --weights knows by name",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="maskrcnn",
        description="Mask R-CNN: find, outline, count and draw every object in an image.",
        epilog="commands:\n" + "\n".join(f"  {name:15} {sentence}" for name, sentence in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"maskrcnn {maskrcnn.__version__}")
    parser.add_argument(
        "command", type=_command, metavar="COMMAND", help="one of those below; COMMAND --help explains it"
    )
    command = parser.parse_args(argv[:1]).command
    return run_tool(command, argv[1:], prog=f"maskrcnn {command}")


def _command(word: str) -> str:
    """The command in any spelling: check-dataset is check_dataset."""
    name = word.lower().replace("-", "_")
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        raise argparse.ArgumentTypeError(f"no command {word!r}{hint}")
    return name


def run_tool(command: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one command with its arguments; a mistake of the user becomes one sentence and exit status 1."""
    try:
        tool = importlib.import_module(f"maskrcnn.cli.{command}")  # torch is imported only by the command that needs it
    except (ImportError, RuntimeError) as error:  # what torchvision raises where it was made for another torch
        print(f"error: a package that maskrcnn needs does not load: {error}", file=sys.stderr)
        print("install both together: pip install --force-reinstall torch torchvision", file=sys.stderr)
        return 1
    parser: argparse.ArgumentParser = tool.build_parser(prog)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    log, lines = logging.getLogger("maskrcnn"), _Lines()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(lines)
    try:
        with redirect_stdout(_Printable(sys.stdout)):  # pyright: ignore[reportArgumentType, reportCallIssue]
            return tool.execute(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, MissingPackageError) as error:
        report(error, args)
        return 1
    finally:  # who calls this from Python has a logger as it was
        log.removeHandler(lines)
        log.setLevel(level)


class _Printable:
    """A stream whose text does nothing to a terminal, whatever names of strangers (of files, of classes) are in it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(printable_lines(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Lines(logging.Handler):
    """What the package has to say as plain lines, above a progress bar, once however many processes there are."""

    def emit(self, record: logging.LogRecord) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        from tqdm import tqdm  # slow, and `--help` has nothing to say

        with tqdm.external_write_mode():
            if record.levelno < logging.WARNING:
                print(record.getMessage(), flush=True)
            else:
                text = printable_lines(record.getMessage())
                print(f"{record.levelname.lower()}: {text}", file=sys.stderr, flush=True)
