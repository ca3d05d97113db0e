"""Many picture files through a predictor: drawings, counts and COCO JSON in one folder, whatever interrupts it."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from maskrcnn.data.pages import Planes, Reading
from maskrcnn.distributed import gather, is_first, rank, world_size
from maskrcnn.files import clear_temporaries, folder_lock
from maskrcnn.prediction.exporting import export_job
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.job_intervals import JobIntervals, facts_of_intervals, read_checked, with_intervals
from maskrcnn.prediction.job_names import (
    common_folder,
    drawing_paths,
    expect_no_source,
    expect_ours,
    full_drawing,
    page_drawing,
    relative_names,
)
from maskrcnn.prediction.job_pages import num_pages, pages_of
from maskrcnn.prediction.job_predictor import JobPredictor, finds_classes, info_of
from maskrcnn.prediction.job_processes import expect_same_files, from_first, share_slides, wait_for_all
from maskrcnn.prediction.job_records import JobPage, Records, settings_key
from maskrcnn.prediction.job_report import REPORT, facts_of, write_report
from maskrcnn.prediction.job_results import (
    CLASSES,
    COUNTS,
    HISTOGRAMS,
    INSTANCES,
    MEASUREMENTS,
    REGIONS,
    SHARES,
    JobSummary,
    count_rows,
    describe,
    describe_shares,
    summarise,
    write_results,
    write_shares,
)
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.pipeline import OutputError, PictureError, finished
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scene_files import PANOPTIC, SceneFiles
from maskrcnn.report.intervals import LEVEL
from maskrcnn.report.labels import LabelMode
from maskrcnn.report.selection import Selection
from maskrcnn.report.semantic_files import MAP_ENDING
from maskrcnn.report.written import DRAWING_ENDING
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.regions import Region
from maskrcnn.untrusted.names import printable
from maskrcnn.untrusted.spelling import did_you_mean

LOGGER = logging.getLogger("maskrcnn")
RECORDS = ".done"
"""Folder in the output folder for what is known of pictures that are done."""
MAX_SERIES_SAID = 5
"""Files with pages that are named one by one."""
TILES = "tiles"
"""Folder in that one for tiles of a picture that is not."""


def infer_files(
    predictor: JobPredictor,
    files: Sequence[Path],
    out: Path,
    *,
    root: Path | None = None,
    classes: Sequence[str] | None = None,
    is_drawn: bool = True,
    redo: bool = False,
    overwrite: bool = False,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
    selection: Selection | None = None,
    pixel_size_um: float | None = None,
    regions: Sequence[Region] = (),
    histograms: bool = False,
    labels: LabelMode = "auto",
    exports: Sequence[str] = (),
    smooth_outlines: bool = False,
    draws_full: bool = False,
    has_report: bool = True,
    about: Mapping[str, str] | None = None,
    interval: float = LEVEL,
    checked: Path | None = None,
    say: Callable[[str], None] = LOGGER.info,
    on_failure: Callable[[Exception], None] | None = None,
) -> JobSummary:
    """Write `<stem>_instances.png` for each file, counts.csv, measurements.csv and instances.json, all into `out`.

    With weights that know stuff also `<stem>_scene.png`, `<stem>_panoptic.png` (segment ids) and panoptic.json.

    Every page of a file is counted by itself, and drawn as `<stem>_page<number>_instances.png`. A page that cannot be
    read, or on which anything else fails, is reported, and its row of counts.csv says why; the others are finished.
    Other threads read the next pictures and draw the last ones while the network runs.

    Each of several pages is recorded in `out`/.done when it is finished. The same job again does only those that are
    not, or that changed; counts.csv and instances.json come at the end and are those of a job done in one go. Processes
    of a group (`maskrcnn.distributed`) divide the pages, and the tiles of each slide; the first gives the summary of
    all, the others an empty one.

    Args:
        root: folder from which files are named in counts.csv and instances.json; None takes the one that holds all.
        classes: names to keep; None keeps all.
        redo: do also what was done before.
        overwrite: replace files in `out` that no earlier job wrote.
        max_pixels, channel, planes: of `maskrcnn.data.pages.Reading`.
        selection: which objects count; None takes all.
        pixel_size_um: the side of a pixel in micrometres, in place of what the files say. measurements.csv has columns
            in micrometres where it is known.
        exports: formats of `maskrcnn.report.export.formats`, which are written to `out`/exports/<format>.
        smooth_outlines: with outlines between the pixels, not along their edges.
        regions: areas of every image in which objects are also counted by themselves: regions.csv.
        histograms: write measurements.png.
        labels: what is written at objects that are drawn, of `maskrcnn.draw`.
        draws_full: write also `<stem>_instances.tif` for each slide, a pyramidal TIFF of its full size. A slide is an
            image of more than 20 megapixels that is done in tiles; it is drawn as an overview.
        has_report: write report.html, a page to look at the folder; not of weights that give a class for every pixel.
        about: what that page says of the weights, a text by its name, before the settings.
        interval: share of images whose true count should lie between the `_low` and `_high` of counts.csv, which has
            them where the weights know how sure their counts are.
        checked: a counts.csv of these files in which somebody put own counts, and the status `checked`.
        say: takes one line for each page that was done; the logger "maskrcnn" where none is given.
        on_failure: takes the error of each page that could not be done; its text names the file. None logs a warning.

    Raises:
        ValueError: an unknown name in `classes`; a file outside `root`; a drawing that would replace one of `files`;
            processes that see different files.
        FolderInUseError: another job writes into `out`.
        FileExistsError: a file in `out` that no earlier job wrote would be replaced.
        OSError: `out` cannot be written, since the disk is full, say. What was done is kept.
        RuntimeError: another process died before its files were done.
    """
    if not 0 < interval < 1:
        raise ValueError(f"interval: expected a share between 0 and 1, got {interval:g}")
    reading = Reading(max_pixels, channel, planes, tuple(predictor.class_names))
    kept_labels = _labels(predictor.class_names, classes)
    class_names = [name for label, name in enumerate(predictor.class_names) if label in kept_labels]
    category_ids = predictor.category_ids or None
    intervals = JobIntervals.of(predictor, kept_labels.tolist(), selection, interval)
    root = common_folder(file.parent for file in files) if root is None else root
    names = relative_names(files, root)
    ending = MAP_ENDING if finds_classes(predictor) else DRAWING_ENDING
    drawings = drawing_paths(names, "" if root is None else root.absolute().name, out, ending)
    scenes = SceneFiles(predictor.scenes, is_drawn) if predictor.scenes is not None else None
    expect_same_files(files)
    has_report = has_report and not finds_classes(predictor)
    is_alone = len(files) == 1 and num_pages(files[0], reading) == 1
    folder = None if is_alone or not files else out / RECORDS
    smooth = smooth_outlines and bool(exports)
    make_key = cache(lambda: settings_key(predictor, kept_labels.tolist(), reading, selection, labels, smooth=smooth))
    full = " full" * (draws_full and is_drawn)
    settings = from_first(lambda: make_key() + full if folder else "")
    tiles = out / RECORDS / TILES
    info = info_of(predictor, class_names, reading, selection)

    def place_of(page: JobPage) -> Path:
        drawing = drawings[page.file]
        return drawing if page.number is None else page_drawing(drawing, page.number, page.num)

    def drawing_of(page: JobPage) -> Path | None:
        return place_of(page) if is_drawn else None

    def kept(page: JobPage, state: FileState) -> TileFiles:
        return TileFiles(tiles, f"{settings.removesuffix(full) or make_key()} {page.number}", state)

    with Records(folder, settings) as records, ExitStack() as stack:

        def prepare() -> tuple[list[JobPage], list[int], dict[JobPage, dict[str, int]]]:
            stack.enter_context(folder_lock(out, "infer"))
            if (out / RECORDS).is_symlink():  # its old records and tiles would be removed, whoever's folder that is
                raise ValueError(f"{out / RECORDS}: this is a link; expected a folder of ours, or nothing")
            clear_temporaries(out)
            if redo:
                shutil.rmtree(tiles, ignore_errors=True)
            _load(records, files, drawing_of, redo, say)
            for page, done in list(records.done.items()):
                is_drawn_too = scenes is None or scenes.are_there(place_of(page))
                if not is_drawn_too or (has_report and not done.has_preview):
                    del records.done[page]
            pages = pages_of(files, {page.file: page.num for page in records.done}, reading)
            places = [place for page in pages if (place := drawing_of(page)) is not None]
            if scenes is not None:
                places += [path for page in pages for path in scenes.paths(place_of(page))]
            expect_no_source(out, places, files)
            if not overwrite:
                tables = [COUNTS, INSTANCES, MEASUREMENTS, *[REGIONS] * bool(regions), *[HISTOGRAMS] * histograms]
                tables += [REPORT] * has_report + [PANOPTIC] * (scenes is not None)
                tables = [SHARES, CLASSES] if finds_classes(predictor) else tables
                whole = [full_drawing(place) for place in places] if full else []
                expect_ours([*(out / name for name in tables), *places, *whole])
            by_hand = {}
            if checked is not None:
                by_hand = read_checked(checked, {page: names[page.file] for page in pages}, class_names)
            _say_pages(pages, len(records.done), say)
            return pages, [i for i, page in enumerate(pages) if page not in records.done], by_hand

        def progress() -> str:
            num = f"{len(records.done)} of {len(pages)} images are" if world_size() == 1 else "a part is"
            return f"{num} done, and the same command goes on from there"

        pages: list[JobPage]
        todo: list[int]
        by_hand: dict[JobPage, dict[str, int]]
        pages, todo, by_hand = from_first(prepare)
        if world_size() > 1 and isinstance(predictor, Predictor):
            share_slides(predictor, [pages[i] for i in todo], reading, kept)
        own = [pages[i] for i in todo[rank() :: world_size()]]
        failures: dict[JobPage, str] = {}
        try:
            with (
                tqdm(total=len(own), unit="image", disable=None if len(own) > 1 and is_first() else True) as bar,
                closing(
                    finished(
                        predictor,
                        own,
                        drawing_of,
                        kept_labels,
                        records,
                        reading,
                        selection or Selection(),
                        kept,
                        out,
                        labels,
                        smooth,
                        partial(_write_scene, scenes, place_of) if scenes is not None else None,
                        is_full=bool(full),
                        has_preview=has_report,
                        pixel_size_um=pixel_size_um,
                    )
                ) as results,
            ):
                for page, result in results:
                    bar.update()
                    if not isinstance(result, PictureError):
                        counted = dict.fromkeys(class_names, 0) | result
                        told = describe_shares(counted) if finds_classes(predictor) else describe(counted)
                        say(f"{printable(str(page))}: {told}")
                        continue
                    failures[page] = result.status
                    if on_failure is None:
                        LOGGER.warning("%s", printable(str(result)))
                    else:
                        on_failure(result)
        except KeyboardInterrupt:
            if folder is not None and is_first():
                say(f"stopped: {progress()}")
            raise
        except OutputError as error:
            raise _unwritable(out, error, progress()) from error
        failures = wait_for_all(failures)
        try:
            if not is_first():
                return JobSummary(root)
            if world_size() > 1:
                records.load(files, drawing_of)
            _expect_all_done(records, pages, failures)
            page_names = {page: names[page.file] for page in pages}
            summary = summarise(records, pages, failures, class_names, root, by_hand)
            try:
                rows = list(count_rows(records, page_names, failures, by_hand))
                if intervals is not None:
                    rows, total = with_intervals(rows, pages, records, intervals)
                    summary = replace(summary, total=total)
                all_names = predictor.class_names
                if finds_classes(predictor):
                    write_shares(out, records, page_names, failures, class_names, all_names)
                else:
                    write_results(
                        out,
                        rows,
                        class_names,
                        records,
                        page_names,
                        info,
                        all_names,
                        category_ids,
                        pixel_size_um,
                        regions,
                        histograms,
                        has_intervals=intervals is not None,
                    )
                    if scenes is not None:
                        done = [page for page in pages if page in records.done]
                        about_done = ((names[p.file], place_of(p), records.done[p].image_size) for p in done)
                        scenes.write_json(out, info, about_done)
                    if has_report:
                        facts = facts_of(predictor, reading, selection, pixel_size_um, about or {})
                        if intervals is not None:
                            facts += facts_of_intervals(interval, summary.total)
                        write_report(
                            out,
                            root,
                            facts,
                            all_names,
                            category_ids,
                            rows,
                            records,
                            page_names,
                            drawing_of,
                            pixel_size_um,
                            regions,
                        )
                    export_job(out, exports, records, page_names, all_names, category_ids, reading, overwrite, say)
            except OSError as error:
                raise _unwritable(out, error, progress()) from error
            shutil.rmtree(tiles, ignore_errors=True)  # also what was left under other settings
            if folder is None:
                with suppress(OSError):
                    tiles.parent.rmdir()
            with suppress(OSError):  # the records are right as they are, this only makes them smaller
                records.compact()
            return summary
        finally:
            with suppress(RuntimeError):
                gather(None)  # torchrun ends all processes as soon as one ends badly, and the first may be writing


def _write_scene(
    scenes: SceneFiles, place_of: Callable[[JobPage], Path], page: JobPage, image: np.ndarray, found: Instances
) -> None:
    scenes.write(place_of(page), image, found)


def _unwritable(out: Path, error: OSError, progress: str) -> OSError:
    return OSError(f"{out}: cannot be written ({error.strerror or error}); {progress}")


def _labels(class_names: Sequence[str], classes: Sequence[str] | None) -> Tensor:
    wanted = list(class_names if classes is None else classes)
    unknown = [name for name in wanted if name not in class_names]
    if unknown:
        hint = did_you_mean(unknown[0], class_names)
        raise ValueError(f"classes: no class {unknown[0]!r} in these weights{hint}; known: {', '.join(class_names)}")
    return torch.tensor([class_names.index(name) for name in wanted])


def _load(
    records: Records,
    files: Sequence[Path],
    drawing_of: Callable[[JobPage], Path | None],
    redo: bool,
    say: Callable[[str], None],
) -> None:
    """Take up what is on record."""
    if redo:
        records.forget()
        return
    num_damaged = records.load(files, drawing_of)
    if num_damaged:
        say(
            "1 record of an earlier run is damaged; its image is done again"
            if num_damaged == 1
            else f"{num_damaged} records of earlier runs are damaged; their images are done again"
        )


def _say_pages(pages: Sequence[JobPage], num_done: int, say: Callable[[str], None]) -> None:
    """What was done before, and which files have pages."""
    if num_done:
        say(f"done before: {num_done} of {len(pages)} images (redo does them again)")
    series = {page.file: page.num for page in pages if page.number is not None}
    if len(series) <= MAX_SERIES_SAID:
        for file, num in series.items():
            say(f"{printable(str(file))}: {num} pages, each counted by itself")
    else:
        say(f"{len(series)} files have {sum(series.values())} pages, each counted by itself")


def _expect_all_done(records: Records, pages: Sequence[JobPage], failures: Mapping[JobPage, str]) -> None:
    missing = [page for page in pages if page not in records.done and page not in failures]
    if missing:
        names = ", ".join(map(str, missing[:3])) + ", ..." * (len(missing) > 3)
        raise RuntimeError(
            f"{len(missing)} of {len(pages)} images are not done, since a process died or they changed meanwhile: "
            f"{names}; counts.csv and instances.json are not written, the same command does the rest"
        )
