"""The options of `infer` about films, and films through it."""

import argparse
import glob
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maskrcnn.data.films.frame import Choice
from maskrcnn.data.films.kinds import film_kind
from maskrcnn.data.films.opening import FilmLike, is_address
from maskrcnn.data.films.series import SERIES_RATE
from maskrcnn.data.pages import Reading
from maskrcnn.data.pictures.finding import find_images
from maskrcnn.data.regions import read_regions
from maskrcnn.prediction.film_files import FILM_ENDING
from maskrcnn.prediction.film_job import infer_film, write_film_counts
from maskrcnn.prediction.film_names import film_names
from maskrcnn.prediction.film_settings import FilmSettings, FilmSummary, LineSpec
from maskrcnn.prediction.job_results import describe
from maskrcnn.prediction.tracks import FilmPredictor
from maskrcnn.report.counts_table import CountRow
from maskrcnn.report.selection import Selection
from maskrcnn.structures.regions import Region
from maskrcnn.tracking.lines import HYSTERESIS_PX
from maskrcnn.tracking.tracker import TrackingRules
from maskrcnn.untrusted.names import printable

ONLY_FILMS = ("every", "start", "end", "seconds", "frames", "fps", "live", "line", "zone")
"""Options that mean nothing to images."""
ONLY_IMAGES = ("export", "region", "histograms", "boxes", "steps")
"""Options that mean nothing to films."""


def add_film_arguments(parser: argparse.ArgumentParser) -> None:
    """Which frames, how objects are followed, lines and zones."""
    group = parser.add_argument_group(
        "films", "Videos, streams (rtsp://, http://) and cameras are followed, and each object is counted once."
    )
    add = group.add_argument
    add("--camera", type=int, metavar="N", help="follow what camera N sees, until Ctrl-C")
    add(
        "--sequence",
        action="store_true",
        help="the images, or the pages of one TIFF or GIF, are the frames of one film",
    )
    add("--fps", type=float, metavar="N", help=f"frames in a second of a --sequence (default: {SERIES_RATE:g})")
    add("--every", type=int, metavar="N", help="take every N-th frame")
    add("--start", type=float, metavar="S", help="begin at this second of the film")
    add("--end", type=float, metavar="S", help="end at this second of the film")
    add("--seconds", type=float, metavar="S", help="take so many seconds at most")
    add("--frames", type=int, metavar="N", help="take so many frames at most")
    add("--live", action="store_true", help="drop frames rather than fall behind a camera or stream")
    add(
        "--line",
        action="append",
        metavar="NAME:X0,Y0,X1,Y1",
        help="count objects that cross a line, px; in is to the right of the way from the first point to the second. "
        "Repeat it for several lines",
    )
    add(
        "--hysteresis",
        type=float,
        metavar="PX",
        help=f"an object is on a side of a line from this distance on (default: {HYSTERESIS_PX:g})",
    )
    add(
        "--zone",
        action="append",
        metavar="NAME:FILE|X,Y,X,Y,...",
        help="count objects in a polygon, px: its corners, or a file of regions as for --region. Repeat it for several",
    )
    add(
        "--confirm",
        type=int,
        metavar="N",
        help=f"an object counts that is seen in N frames on end (default: {TrackingRules.confirm_frames})",
    )
    add(
        "--lost",
        type=int,
        metavar="N",
        help="an object not seen for more than N frames is another one when it comes back "
        f"(default: {TrackingRules.max_lost_frames})",
    )


def films_of(args: argparse.Namespace) -> list[FilmLike]:
    """The films that the command names; [] where it names images, or nothing.

    Raises:
        ValueError: films beside images, or options that mean nothing to what is named.
        FileNotFoundError: of `find_images`.
    """
    films: list[FilmLike] = []
    others: list[str] = []
    if args.sequence:
        films = [_sequence(args.paths)]
    else:
        for path in args.paths:
            found = [path] if is_address(path) else [file for file in _expanded(path) if film_kind(file) is not None]
            films += found
            others += [path] * (not found)
    if args.camera is not None:
        others += args.paths if args.sequence else []
        films.append(args.camera)
    if films and others:
        raise ValueError(f"{printable(str(others[0]))}: films and images are done by commands of their own")
    given = [name for name in (ONLY_IMAGES if films else ONLY_FILMS) if getattr(args, name) not in (None, False, [])]
    if given:
        kind = "images" if films else "films (for pages or images that are one film, add --sequence)"
        raise ValueError(f"--{given[0]}: only for {kind}")
    return films


def film_settings(args: argparse.Namespace) -> FilmSettings:
    """What the options say.

    Raises:
        ValueError: a line or zone that is none, a number out of range.
    """
    choice = Choice(args.every or 1, args.start or 0.0, args.end, args.seconds, args.frames)
    rules = TrackingRules()
    lost = rules.max_lost_frames if args.lost is None else args.lost
    rules = TrackingRules(rules.sure_score, args.confirm or rules.confirm_frames, lost)
    lines = tuple(_line(text) for text in args.line or ())
    zones = tuple(zone for text in args.zone or () for zone in _zones(text))
    names = [one.name for one in (*lines, *zones)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--line, --zone: two are called {twice!r}; each needs a name of its own")
    return FilmSettings(
        choice=choice,
        frame_rate=SERIES_RATE if args.fps is None else args.fps,
        live=args.live,
        confirm_frames=rules.confirm_frames,
        max_lost_frames=rules.max_lost_frames,
        lines=lines,
        hysteresis_px=HYSTERESIS_PX if args.hysteresis is None else args.hysteresis,
        zones=zones,
        is_drawn=not args.no_draw,
        redo=args.redo,
        overwrite=args.overwrite,
        reading=Reading(args.max_pixels, args.channel, args.planes),
        selection=Selection(args.min_area, args.max_area, args.exclude_border),
        classes=tuple(name.strip() for name in args.classes.split(",")) if args.classes is not None else None,
    )


def infer_films(
    predictor: FilmPredictor,
    films: Sequence[FilmLike],
    out: Path,
    settings: FilmSettings,
    say: Callable[[str], None],
    fail: Callable[[Exception], None],
) -> int:
    """Follow the objects of each film; one alone writes into `out`, of several each into a folder of its own there.

    A film that cannot be used is reported, has a row in counts.csv, and the rest are done; 1 if there was one.
    """
    names = film_names(films)
    wanted = list(settings.classes or predictor.class_names)
    rows: list[CountRow] = []
    num_failed = 0
    for film, name in zip(films, names, strict=True):
        folder = out if len(films) == 1 else out / name
        try:
            summary = infer_film(predictor, film, folder, settings, say=say)
        except (ValueError, FileNotFoundError) as error:
            if len(films) == 1:
                raise
            fail(error)
            num_failed += 1
            rows.append(CountRow(name, None, f"unreadable: {' '.join(str(error).split())}"[:500]))
            continue
        _say_summary(say, summary, folder, settings)
        rows.append(CountRow(name, summary.counts, summary.status))
    write_film_counts(out, rows, wanted)
    if len(films) > 1:
        say(f"counts.csv with a row for each film is in {out}")
    if num_failed:
        print(f"{num_failed} of {len(films)} films could not be done", file=sys.stderr)
    return 1 if num_failed else 0


def _say_summary(say: Callable[[str], None], summary: FilmSummary, folder: Path, settings: FilmSettings) -> None:
    stopped = ", until it was stopped" if summary.was_stopped else ""
    say(f"{summary.name}: {describe(summary.counts)} in {summary.num_frames} frames{stopped}")
    for name, ways in summary.crossings.items():
        say(f"line {name}: {ways['in']} in, {ways['out']} out")
    for name, (entered, mean_s) in summary.zones.items():
        say(f"zone {name}: {entered} objects were in it, for {mean_s:.1f} s on the average")
    if settings.live:
        say(f"{summary.num_dropped} frames were dropped to keep up")
    for note in summary.notes:
        say(f"{summary.name}: {note}")
    if summary.codec and summary.codec != "H.264":
        say(f"the film is drawn in {summary.codec}")
    seconds = summary.seconds
    stages = ("decoding", "network", "tracking", "counting", "tables", "drawing", "writing")
    per_frame = ", ".join(
        f"{stage} {1000 * seconds[stage] / summary.num_frames:.1f}" for stage in stages if stage in seconds
    )
    say(f"ms for a frame, some at the same time: {per_frame}")
    say(f"the film, tracks.csv, counts.csv, instances.json and more are in {folder}")


def _sequence(paths: Sequence[str]) -> FilmLike:
    if not paths:
        raise ValueError("--sequence: name its images, in their order, or as a pattern or folder")
    files = [file for path in paths for file in find_images(path)]
    if len(files) == 1:
        return files[0]
    return files


def _expanded(path: str) -> list[Path]:
    if os.path.lexists(path) or not glob.has_magic(path):
        return [Path(path)]
    files = [Path(file) for file in sorted(glob.glob(path, recursive=True))]
    return [file for file in files if not file.name.endswith(FILM_ENDING)]  # drawn by earlier runs


def _line(text: str) -> LineSpec:
    name, numbers = _named(text, "--line", "NAME:X0,Y0,X1,Y1")
    if len(numbers) != 4 or numbers[:2] == numbers[2:]:
        raise ValueError(f"--line {printable(text)}: expected NAME:X0,Y0,X1,Y1 with two different points")
    return LineSpec(name, (numbers[0], numbers[1]), (numbers[2], numbers[3]))


def _zones(text: str) -> list[Region]:
    name, mark, rest = text.partition(":")
    if mark and name and not _numbers(rest):
        regions = read_regions(rest)
        several = len(regions) > 1
        return [Region(f"{name} {region.name}" if several else name, region.rings) for region in regions]
    name, numbers = _named(text, "--zone", "NAME:X,Y,X,Y,... or NAME:FILE")
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"--zone {printable(text)}: expected the x and y of three corners or more")
    return [Region(name, (np.array(numbers, float).reshape(-1, 2),))]


def _named(text: str, option: str, form: str) -> tuple[str, list[float]]:
    name, mark, rest = text.partition(":")
    numbers = _numbers(rest)
    if not mark or not name.strip() or numbers is None or not numbers:
        raise ValueError(f"{option}: expected {form}, got {printable(text)}")
    return name.strip(), numbers


def _numbers(text: str) -> list[float] | None:
    """Numbers with commas between; None where it is anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
