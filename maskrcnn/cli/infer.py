"""Find, outline, count and draw every object in pictures."""

import argparse
import os
import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path

from tqdm import tqdm

from maskrcnn.cli.errors import report
from maskrcnn.cli.model_arguments import add_model_arguments, load_predictor
from maskrcnn.data.pictures.finding import find_images
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.distributed import is_first, join, leave, share_cores
from maskrcnn.prediction.execution import choose_device
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_results import JobSummary, describe
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.count import add_counts
from maskrcnn.report.export import write_image

LIKELY = 0.5
"""Score above which a detection of a published model is usually right."""
FOR_EVALUATION = 0.1
"""Thresholds up to this are those with which AP is published."""


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `infer`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Find, outline, count and draw every object in pictures. Stopped in the middle of several, the "
        "same command goes on from there; later it does only pictures that are new or changed. Under torchrun, "
        "processes and machines that see the same folders divide the pictures.",
        epilog="example: %(prog)s scans/ 'plates/*.tif' --out results --score 0.6",
    )
    add = parser.add_argument
    add(
        "paths", nargs="*", metavar="PATH", help="picture files, folders (searched through) or patterns; none: a sample"
    )
    add("--out", type=Path, default=Path("out"), help="folder for what is written (default: %(default)s)")
    add("--classes", help="only these classes, separated by commas (default: all)")
    add("--batch", type=int, default=1, help="pictures that go through the network together (default: %(default)s)")
    add("--no-draw", action="store_true", help="write no pictures")
    add(
        "--redo",
        action="store_true",
        help="do also what an earlier run with these settings did (one picture alone is always done)",
    )
    add_model_arguments(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; 1 when something named could not be found or read."""
    fail = partial(report, with_traceback=args.debug)
    if args.batch < 1:
        raise ValueError(f"--batch: expected at least 1, got {args.batch}")
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out: expected a folder, {args.out} is a file")
    files, errors = _find(args.paths, args.out)
    if args.paths and not files:
        for error in errors:
            fail(error)
        return 1
    device = join(choose_device(args.device))
    try:
        if device.type == "cpu":
            share_cores()
        args.device = str(device)
        with nullcontext() if is_first() else redirect_stdout(None):  # of several processes one says what all do
            predictor = _load(args)
            files = files or [_write_sample(args.out)]
        classes = [name.strip() for name in args.classes.split(",")] if args.classes is not None else None
        summary = infer_files(
            predictor,
            files,
            args.out,
            classes=classes,
            is_drawn=not args.no_draw,
            redo=args.redo,
            say=_say,
            on_failure=fail,
        )
        if not is_first():
            return 0
        _print_summary(args, predictor.class_names, summary)
    finally:
        leave()
    for error in errors:
        fail(error)
    if summary.failures and len(files) > 1:
        print(f"{len(summary.failures)} of {len(files)} files could not be read", file=sys.stderr)
    return 1 if errors or summary.failures else 0


def _load(args: argparse.Namespace) -> Predictor:
    predictor = load_predictor(args, args.batch)
    rule = predictor.settings.detection
    print(
        f"looks for {_names(predictor.class_names)}; score above {rule.score_threshold:g}, "
        f"{predictor.execution.description}"
    )
    if args.score is None and rule.score_threshold <= FOR_EVALUATION:
        print(f"that low a threshold is for evaluation; --score {LIKELY:g} keeps what is likely")
    return predictor


def _say(line: str) -> None:
    """Print above the progress bar, at once also into a file, for who looks into it while many pictures are done."""
    with tqdm.external_write_mode():
        print(line, flush=True)


def _find(paths: list[str], out: Path) -> tuple[list[Path], list[Exception]]:
    """Files of all paths, each once, and an error for each path that gave none."""
    found: dict[Path, Path] = {}
    errors: list[Exception] = []
    for path in paths:
        try:
            images = find_images(path, errors.append)
            chosen = [file for file in images if Path(path).is_file() or not _is_own_picture(file, out)]
            if images and not chosen:
                raise ValueError(f"{path}: holds only pictures that an earlier run wrote into {out}")
            for file in chosen:
                found.setdefault(Path(os.path.realpath(file)), file)  # resolve() fails at a link to itself
        except (OSError, ValueError) as error:
            errors.append(error)
    return list(found.values()), errors


def _is_own_picture(file: Path, out: Path) -> bool:
    """Whether an earlier run into the same folder wrote it: `infer .` twice must not count its own drawings."""
    return file.stem.endswith("_instances") and os.path.dirname(os.path.realpath(file)) == os.path.realpath(out)


def _write_sample(out: Path) -> Path:
    image, num_nuclei = draw_sample()
    path = out / "sample.png"
    write_image(path, image)
    print(f"no path given: {path} is a made-up micrograph, drawn by this package with {num_nuclei} nuclei in it")
    return path


def _print_summary(args: argparse.Namespace, class_names: tuple[str, ...], summary: JobSummary) -> None:
    if not summary.counts:
        return
    total = add_counts(counts for _, counts in summary.counts)
    if len(summary.counts) > 1:
        print(f"total of {len(summary.counts)} pictures: {describe(total)}")
    if summary.doubles:
        where = next(iter(summary.doubles)) if len(summary.doubles) == 1 else f"{len(summary.doubles)} pictures"
        print(
            f"perhaps counted twice in {where}: {sum(summary.doubles.values())} pairs of objects cover nearly the same "
            "pixels; --exclusive names classes of which a thing can only be one"
        )
    for sentence, where in summary.ceilings.items():
        print(f"limit reached in {where[0] if len(where) == 1 else f'{len(where)} pictures'}: {sentence}")
    if args.weights is None and args.paths and not any(total.values()):
        print(
            f"the default weights look for {_names(class_names)} only and found none; "
            "--weights coco is for everyday photographs, maskrcnn zoo lists more"
        )
    written = "counts.csv and instances.json" if args.no_draw else "pictures, counts.csv and instances.json"
    print(f"{written} are in {args.out}")


def _names(class_names: tuple[str, ...]) -> str:
    return ", ".join(class_names[:5]) + (f" and {len(class_names) - 5} more" if len(class_names) > 5 else "")
