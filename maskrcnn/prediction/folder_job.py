"""Many picture files through a predictor: drawings, counts and COCO JSON in one folder, whatever interrupts it."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from maskrcnn.data.images import read_picture
from maskrcnn.distributed import gather, is_first, rank, world_size
from maskrcnn.files import clear_temporaries, folder_lock
from maskrcnn.names import printable
from maskrcnn.prediction.exporting import pictures_of_job
from maskrcnn.prediction.job_names import common_folder, drawing_names, relative_names
from maskrcnn.prediction.job_records import FileState, Records, settings_key
from maskrcnn.prediction.job_results import (
    COUNTS,
    INSTANCES,
    MEASUREMENTS,
    JobSummary,
    count_rows,
    describe,
    summarise,
    write_results,
)
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.pipeline import OutputError, PictureError, finished
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.export.formats import write_formats
from maskrcnn.report.selection import Selection
from maskrcnn.report.written import is_ours
from maskrcnn.spelling import did_you_mean

LOGGER = logging.getLogger("maskrcnn")
EXPORTS = "exports"
"""Folder in the output folder for files of other tools."""
RECORDS = ".done"
"""Folder in the output folder for what is known of pictures that are done."""
TILES = "tiles"
"""Folder in that one for tiles of a picture that is not."""


def infer_files(
    predictor: Predictor,
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
    selection: Selection | None = None,
    pixel_size_um: float | None = None,
    exports: Sequence[str] = (),
    smooth_outlines: bool = False,
    say: Callable[[str], None] = LOGGER.info,
    on_failure: Callable[[Exception], None] | None = None,
) -> JobSummary:
    """Write `<stem>_instances.png` for each file, counts.csv, measurements.csv and instances.json, all into `out`.

    A file that cannot be read, or on which anything else fails, is reported, and its row of counts.csv says why; the
    others are finished. Other threads read the next pictures and draw the last ones while the network runs.

    Each of several files is recorded in `out`/.done when it is finished. The same job again does only those that are
    not, or that changed; counts.csv and instances.json come at the end and are those of a job done in one go. Processes
    of a group (`maskrcnn.distributed`) divide the files; the first gives the summary of all, the others an empty one.

    Args:
        root: folder from which files are named in counts.csv and instances.json; None takes the one that holds all.
        classes: names to keep; None keeps all.
        redo: do also what was done before.
        overwrite: replace files in `out` that no earlier job wrote.
        max_pixels, channel: of `read_image`.
        selection: which objects count; None takes all.
        pixel_size_um: the side of a pixel in micrometres, which measurements.csv then has columns in, too.
        exports: formats of `maskrcnn.report.export.formats`, which are written to `out`/exports/<format>.
        smooth_outlines: with outlines between the pixels, not along their edges.
        say: takes one line for each file that was done; the logger "maskrcnn" where none is given.
        on_failure: takes the error of each file that could not be done; its text names the file. None logs a warning.

    Raises:
        ValueError: an unknown name in `classes`; a file outside `root`; a drawing that would replace one of `files`;
            processes that see different files.
        FolderInUseError: another job writes into `out`.
        FileExistsError: a file in `out` that no earlier job wrote would be replaced.
        OSError: `out` cannot be written, since the disk is full, say. What was done is kept.
        RuntimeError: another process died before its files were done.
    """
    reading = {"max_pixels": max_pixels, "channel": channel}
    labels = _labels(predictor.class_names, classes)
    class_names = [name for label, name in enumerate(predictor.class_names) if label in labels]
    category_ids = predictor.settings.category_ids or None
    root = common_folder(file.parent for file in files) if root is None else root
    names = relative_names(files, root)
    drawings = _drawings(names, "" if root is None else root.absolute().name, out) if is_drawn else {}
    folder = out / RECORDS if len(files) > 1 else None
    _expect_same_files(files)
    smooth = smooth_outlines and bool(exports)
    make_key = cache(lambda: settings_key(predictor, labels.tolist(), channel, selection, smooth=smooth))
    settings = _from_first(lambda: make_key() if folder else "")
    tiles = out / RECORDS / TILES

    def kept(state: FileState) -> TileFiles:
        return TileFiles(tiles, settings or make_key(), state)

    with Records(folder, settings) as records, ExitStack() as stack:

        def prepare() -> list[int]:
            stack.enter_context(folder_lock(out, "infer"))
            clear_temporaries(out)
            if redo:
                shutil.rmtree(tiles, ignore_errors=True)
            if not overwrite:
                _expect_ours([out / COUNTS, out / INSTANCES, out / MEASUREMENTS, *drawings.values()])
            return _find_todo(records, files, drawings, redo, say)

        def progress() -> str:
            num = f"{len(records.done)} of {len(files)} images are" if world_size() == 1 else "a part is"
            return f"{num} done, and the same command goes on from there"

        todo: list[int] = _from_first(prepare)
        own = [files[i] for i in todo[rank() :: world_size()]]
        failures: dict[Path, str] = {}
        try:
            with (
                tqdm(total=len(own), unit="image", disable=None if len(own) > 1 and is_first() else True) as bar,
                closing(
                    finished(
                        predictor,
                        own,
                        drawings,
                        labels,
                        records,
                        reading,
                        selection or Selection(),
                        kept,
                        smooth=smooth,
                    )
                ) as results,
            ):
                for file, result in results:
                    bar.update()
                    if not isinstance(result, PictureError):
                        say(f"{printable(str(file))}: {describe(dict.fromkeys(class_names, 0) | result)}")
                        continue
                    failures[file] = result.status
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
        failures = _wait_for_all(failures)
        try:
            if not is_first():
                return JobSummary(root)
            if world_size() > 1:
                records.load(files, drawings)
            _expect_all_done(records, files, failures)
            summary = summarise(records, files, failures, class_names, root)
            try:
                rows = count_rows(records, names, failures)
                all_names = predictor.class_names
                write_results(out, rows, class_names, records, names, all_names, category_ids, pixel_size_um)
                _export(out, exports, records, names, all_names, category_ids, reading, overwrite, say)
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


def _export(
    out: Path,
    exports: Sequence[str],
    records: Records,
    names: Mapping[Path, str],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
    reading: Mapping[str, Any],
    overwrite: bool,
    say: Callable[[str], None],
) -> None:
    if not exports:
        return
    class_of = dict(zip(category_ids or range(1, len(class_names) + 1), class_names, strict=True))
    pictures = pictures_of_job(records, names, class_of, lambda file: read_picture(file, **reading)[0])
    done = write_formats(out / EXPORTS, exports, pictures, class_names, overwrite=overwrite, outlines_said=say)
    for one in done:
        say(str(one))


def _drawings(names: Mapping[Path, str], root_name: str, out: Path) -> dict[Path, Path]:
    """Where each file is drawn.

    Raises:
        ValueError: in the place of one of the files.
    """
    chosen = drawing_names(list(names.values()), root_name)
    drawings = {file: out / chosen[name] for file, name in names.items()}
    sources = {os.path.realpath(file) for file in names}
    for file, drawing in drawings.items():
        if os.path.realpath(drawing) in sources:
            raise ValueError(f"{out}: the drawing of {file} would replace the image {drawing}; choose another folder")
    return drawings


def _expect_ours(paths: Sequence[Path]) -> None:
    others = [path for path in paths if os.path.lexists(path) and not is_ours(path)]
    if others:
        which = ", ".join(map(str, others[:3])) + ", ..." * (len(others) > 3)
        what = "a file" if len(others) == 1 else f"{len(others)} files"
        raise FileExistsError(f"{which}: {what} that no earlier job wrote would be overwritten")


def _unwritable(out: Path, error: OSError, progress: str) -> OSError:
    return OSError(f"{out}: cannot be written ({error.strerror or error}); {progress}")


def _labels(class_names: Sequence[str], classes: Sequence[str] | None) -> Tensor:
    wanted = list(class_names if classes is None else classes)
    unknown = [name for name in wanted if name not in class_names]
    if unknown:
        hint = did_you_mean(unknown[0], class_names)
        raise ValueError(f"classes: no class {unknown[0]!r} in these weights{hint}; known: {', '.join(class_names)}")
    return torch.tensor([class_names.index(name) for name in wanted])


def _find_todo(
    records: Records, files: Sequence[Path], drawings: Mapping[Path, Path], redo: bool, say: Callable[[str], None]
) -> list[int]:
    """Indices of the files that are not on record."""
    num_damaged = 0
    if redo:
        records.forget()
    else:
        num_damaged = records.load(files, drawings)
    if num_damaged:
        say(
            "1 record of an earlier run is damaged; its image is done again"
            if num_damaged == 1
            else f"{num_damaged} records of earlier runs are damaged; their images are done again"
        )
    if records.done:
        say(f"done before: {len(records.done)} of {len(files)} images (redo does them again)")
    return [i for i, file in enumerate(files) if file not in records.done]


def _from_first(make: Callable[[], Any]) -> Any:
    """What `make` gives in the first process, known to all, or raises."""
    value, failure = None, None
    if is_first():
        try:
            value = make()
        except (OSError, ValueError) as error:
            failure = error
    value, failure = gather((value, failure))[0]
    if failure is not None:
        raise failure
    return value


def _expect_same_files(files: Sequence[Path]) -> None:
    names = "\0".join(map(str, files)).encode(errors="surrogatepass")
    if len(set(gather(hashlib.sha256(names).hexdigest()))) > 1:
        raise ValueError("the processes see different files; each needs all of them, under the same paths")


def _wait_for_all(failures: dict[Path, str]) -> dict[Path, str]:
    """The files that any process could not do; where one died, the first has to do with its own."""
    try:
        return {file: status for part in gather(failures) for file, status in part.items()}
    except RuntimeError:  # a process that dies closes its connections
        if not is_first():
            raise
        return failures


def _expect_all_done(records: Records, files: Sequence[Path], failures: Mapping[Path, str]) -> None:
    missing = [file for file in files if file not in records.done and file not in failures]
    if missing:
        names = ", ".join(map(str, missing[:3])) + ", ..." * (len(missing) > 3)
        raise RuntimeError(
            f"{len(missing)} of {len(files)} images are not done, since a process died or they changed meanwhile: "
            f"{names}; counts.csv and instances.json are not written, the same command does the rest"
        )
