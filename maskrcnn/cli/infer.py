"""Find, outline, count and draw every object in images and films."""

import argparse
import glob
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn.cli.box_arguments import add_boxes, with_boxes
from maskrcnn.cli.counts_said import counts_said, few_names
from maskrcnn.cli.default_weights import DEFAULT_IS_FOR, warn_of_photographs
from maskrcnn.cli.errors import report
from maskrcnn.cli.export_arguments import about_weights, add_export_arguments
from maskrcnn.cli.film_arguments import add_film_arguments, film_settings, films_of, infer_films
from maskrcnn.cli.measure_arguments import add_measure_arguments
from maskrcnn.cli.method_arguments import add_method_arguments, method_predictor
from maskrcnn.cli.model_arguments import add_model_arguments, add_tile_arguments, load_predictor
from maskrcnn.cli.picture_arguments import add_channel_and_planes, add_max_pixels, parts_said
from maskrcnn.cli.semantic_arguments import expect_no_objects, load_semantic_predictor
from maskrcnn.data.films.opening import FilmLike
from maskrcnn.data.images import read_image
from maskrcnn.data.pictures.finding import find_images
from maskrcnn.data.regions import read_regions
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.distributed import is_first, join, leave, share_cores, world_size
from maskrcnn.prediction.execution import choose_device
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_names import common_folder
from maskrcnn.prediction.job_predictor import JobPredictor, finds_classes
from maskrcnn.prediction.job_results import HISTOGRAMS, JobSummary, describe_shares
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.method_steps import write_steps
from maskrcnn.prediction.predictor import COUNTING_SCORE, Predictor
from maskrcnn.prediction.scene_files import SCENE_ENDING
from maskrcnn.report.count import add_counts
from maskrcnn.report.export.coco_panoptic import PANOPTIC_ENDING
from maskrcnn.report.intervals import LEVEL
from maskrcnn.report.selection import Selection
from maskrcnn.report.semantic_files import MAP_ENDING, OVERLAY_ENDING
from maskrcnn.report.written import DRAWING_ENDING, FULL_ENDING, is_ours, write_image
from maskrcnn.untrusted.names import printable

OWN_ENDINGS = DRAWING_ENDING, FULL_ENDING, HISTOGRAMS, SCENE_ENDING, PANOPTIC_ENDING, MAP_ENDING, OVERLAY_ENDING
"""Of images that earlier runs drew."""
LIKELY = 0.5
"""Score above which a detection of a published model is usually right."""


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `infer`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Find, outline, count and draw every object in images and films. A run that was stopped resumes "
        "when the command is repeated; run later, it processes only new or changed images. File names in counts.csv "
        "and instances.json are relative to the input folder, or to the folder that all inputs share. Under torchrun, "
        "several processes or machines with a common file system share the images.",
        epilog="example: %(prog)s scans/ 'plates/*.tif' --out results --score 0.6",
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH",
        help="image files, folders (searched recursively) or patterns; or videos, or the address of a stream "
        "(default: a synthetic sample image)",
    )
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="folder for the results (default: %(default)s)")
    add("--classes", metavar="NAMES", help="count only these classes, separated by commas (default: all)")
    add(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="images read at a time; a GPU processes those of equal size together (default: %(default)s)",
    )
    add("--no-draw", action="store_true", help="do not write images with the objects drawn in")
    add(
        "--draw",
        choices=("auto", "full"),
        default="auto",
        help="full: beside the overview of a slide, also a pyramidal TIFF of its full size with the objects drawn in "
        "(default: %(default)s)",
    )
    add(
        "--redo",
        action="store_true",
        help="process all images again, also those that an earlier run finished (a single image always is)",
    )
    add(
        "--overwrite",
        action="store_true",
        help="allow files in the --out folder that infer did not write to be replaced",
    )
    add_film_arguments(parser)
    add_measure_arguments(parser)
    add_max_pixels(parser)
    add_channel_and_planes(parser)
    add_model_arguments(parser)
    add_method_arguments(parser)
    add("--steps", action="store_true", help="with --method: write the pictures on the way to the folder steps")
    add_export_arguments(parser)
    add_boxes(parser)
    add_tile_arguments(parser, "images that the network would see smaller than usual, or in which it reaches a limit")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; 1 when something named could not be found or read."""
    fail = partial(report, args=args)
    if args.steps and args.method is None:
        raise ValueError("--steps: a method has steps, name one with --method")
    if args.batch < 1:
        raise ValueError(f"--batch: expected at least 1, got {args.batch}")
    selection = Selection(args.min_area, args.max_area, args.exclude_border)
    regions = read_regions(args.region) if args.region is not None else []
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out: expected a folder, {args.out} is a file")
    films = films_of(args)
    if films:
        return _follow(args, films, fail)
    found = _find(args.paths)
    files = found.files
    if args.paths and not files:
        for error in [*found.unlisted, *found.errors]:
            fail(error)
        return 1
    device = join(choose_device(args.device))
    try:
        if device.type == "cpu":
            share_cores()
        args.device = str(device)
        with nullcontext() if is_first() else redirect_stdout(None):  # of several processes one says what all do
            predictor = with_boxes(args, _load(args), files)
            if args.interval is not None and getattr(predictor, "count_intervals", None) is None:
                raise ValueError(
                    "--interval: these weights do not know how sure their counts are at these settings; "
                    "tools/evaluate.py --set-threshold finds it out on annotated images, and stores it with them"
                )
            if selection:
                print(f"counting only objects {selection}")
            for path, number in found.num_skipped.items():
                _say(
                    f"skipped in {path}: {number} drawing{'s' * (number > 1)} of earlier runs "
                    "(to count in one, name it)"
                )
            for sentence in found.unread:
                _say(sentence)
            files = files or [_write_sample(args.out, args.overwrite)]
        classes = [name.strip() for name in args.classes.split(",")] if args.classes is not None else None
        try:
            with parts_said():
                summary = infer_files(
                    predictor,
                    files,
                    args.out,
                    root=found.root,
                    classes=classes,
                    is_drawn=not args.no_draw,
                    draws_full=args.draw == "full",
                    redo=args.redo,
                    overwrite=args.overwrite,
                    max_pixels=args.max_pixels,
                    channel=args.channel,
                    planes=args.planes,
                    selection=selection,
                    pixel_size_um=args.pixel_size,
                    exports=args.export,
                    smooth_outlines=args.outlines == "smooth",
                    has_report=not args.no_report,
                    about=about_weights(args, predictor),
                    regions=regions,
                    histograms=args.histograms,
                    labels=args.labels,
                    interval=LEVEL if args.interval is None else args.interval,
                    checked=args.checked,
                    say=_say,
                    on_failure=fail,
                )
        except FileExistsError as error:
            raise FileExistsError(f"{error}; choose another folder with --out, or allow it with --overwrite") from error
        if not is_first():
            return 0
        _print_summary(
            args, predictor.class_names, summary, finds_classes(predictor), knows_stuff=predictor.scenes is not None
        )
        if isinstance(predictor, MethodPredictor) and args.steps:
            reading = {"max_pixels": args.max_pixels, "channel": args.channel}
            done = [file for file in files if file not in summary.failures]
            num = write_steps(predictor, done, args.out / "steps", found.root, reading)
            _say(f"{num} pictures of the steps are in {args.out / 'steps'}")
        if (
            args.weights is None
            and args.method is None
            and args.paths
            and any(any(counts.values()) for _, counts in summary.counts)
        ):
            warn_of_photographs(files)
    finally:
        leave()
    for error in [*found.unlisted, *found.errors]:
        fail(error)
    counted = [f"{len(summary.failures)} of {len(files)} files could not be read"] * (
        bool(summary.failures) and len(files) > 1
    )
    if found.unlisted:
        num = len(found.unlisted)
        counted.append(f"{num} folder{'s' * (num > 1)} could not be listed, so the count is incomplete")
    if counted:
        print("; ".join(counted), file=sys.stderr)
    return 1 if found.unlisted or found.errors or summary.failures else 0


def _follow(args: argparse.Namespace, films: Sequence[FilmLike], fail: Callable[[Exception], None]) -> int:
    """The same for films."""
    settings = film_settings(args)
    args.device = str(join(choose_device(args.device)))
    try:
        if world_size() > 1:
            raise ValueError("a film is followed by one process; run without torchrun, a film each")
        predictor = _load(args)
        if not isinstance(predictor, Predictor | MethodPredictor):
            raise ValueError(f"{predictor.description}: this finds no objects of its own, so there are none to follow")
        try:
            return infer_films(predictor, films, args.out, settings, _say, fail)
        except FileExistsError as error:
            raise FileExistsError(f"{error}; choose another folder with --out, or allow it with --overwrite") from error
    finally:
        leave()


def _load(args: argparse.Namespace) -> JobPredictor:
    method = method_predictor(args)
    if method is not None:
        return method
    pixels = load_semantic_predictor(args)
    if pixels is not None:
        expect_no_objects(args)
        return pixels
    if args.weights is None and args.paths:
        print(f"no --weights given: {DEFAULT_IS_FOR}")
    predictor = load_predictor(args, args.batch)
    rule = predictor.settings.detection
    print(
        f"classes: {few_names(predictor.class_names)}; score above {rule.score_threshold:g}; "
        f"{predictor.execution.description}"
    )
    if args.score is None and rule.score_threshold <= COUNTING_SCORE:
        print(f"a threshold this low is meant for evaluation; --score {LIKELY:g} keeps only likely objects")
    return predictor


def _say(line: str) -> None:
    """Print above the progress bar, and flush, so that a log file can be followed during a long run."""
    with tqdm.external_write_mode():
        print(printable(line), flush=True)


@dataclass
class _Found:
    """What the paths of a command line lead to."""

    files: list[Path] = field(default_factory=list)
    root: Path | None = None
    """Folder that the files are named from."""
    num_skipped: dict[str, int] = field(default_factory=dict)
    """Paths with our own drawings in them, and how many."""
    unread: list[str] = field(default_factory=list)
    """A sentence for each sort of image beside others that cannot be read."""
    unlisted: list[OSError] = field(default_factory=list)
    """Folders that could not be looked into."""
    errors: list[Exception] = field(default_factory=list)
    """One for each path that gave no file."""


def _find(paths: list[str]) -> _Found:
    """Files of all paths, each once. A folder's or pattern's own drawings are left out; a file that is named is not."""
    found = _Found()
    files: dict[str, Path] = {}
    roots: list[Path] = []
    for path in paths:
        try:
            images = find_images(path, found.unlisted.append, found.unread.append)
            chosen = [file for file in images if os.path.isfile(path) or not _is_own_drawing(file)]
            if images and not chosen:
                raise ValueError(f"{path}: holds only drawings of earlier runs")
            if len(chosen) < len(images):
                found.num_skipped[path] = len(images) - len(chosen)
            for file in chosen:
                files.setdefault(os.path.realpath(file), file)  # resolve() fails at a link to itself
            if chosen:
                roots.append(_root(path))
        except (OSError, ValueError) as error:
            found.errors.append(error)
    found.files = list(files.values())
    found.root = roots[0] if len(roots) == 1 else common_folder(roots)
    return found


def _is_own_drawing(file: Path) -> bool:
    return file.name.endswith(OWN_ENDINGS) and is_ours(file)


def _root(path: str) -> Path:
    """The folder that a path names: itself, that of a file, or the part of a pattern that is fixed."""
    if os.path.isdir(path):
        return Path(path)
    if os.path.lexists(path):
        return Path(path).parent
    return Path(*takewhile(lambda part: not glob.has_magic(part), Path(path).parts))


def _write_sample(out: Path, overwrite: bool) -> Path:
    image, num_nuclei = draw_sample()
    path = out / "sample.png"
    if os.path.lexists(path) and not overwrite and not _is_picture(path, image):
        raise FileExistsError(
            f"{path}: a file that no earlier run wrote would be overwritten by the sample; choose another folder with "
            "--out, or allow it with --overwrite"
        )
    write_image(path, image)
    _say(f"no path given: {path} is a synthetic micrograph, drawn by this package with {num_nuclei} nuclei in it")
    return path


def _is_picture(path: Path, image: np.ndarray) -> bool:
    try:
        return np.array_equal(read_image(path), image)
    except (OSError, ValueError):
        return False


def _print_summary(
    args: argparse.Namespace, class_names: tuple[str, ...], summary: JobSummary, has_maps: bool, *, knows_stuff: bool
) -> None:
    if summary.counts and has_maps:
        total = add_counts(counts for _, counts in summary.counts)
        _say(f"all {len(summary.counts)} images: {describe_shares(total)}")
    elif summary.counts:
        for sentence in counts_said(args, class_names, summary):
            _say(sentence)
    if len(args.paths) > 1:
        _say(
            f"file names are relative to {'the folder they share' if summary.root else 'the drive'}: "
            f"{summary.root or '/'}"
        )
    tables = "regions.csv, " * (args.region is not None) + "measurements.png, " * args.histograms
    tables += "report.html, " * (not args.no_report)
    tables += "panoptic.json and its PNGs, " * knows_stuff
    written = f"{'drawings, ' * (not args.no_draw)}{tables}counts.csv, measurements.csv and instances.json"
    if has_maps:
        written = "class maps, overlays, " * (not args.no_draw) + "shares.csv and classes.csv"
    _say(f"{written} are in {args.out}")
