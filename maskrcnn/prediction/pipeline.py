"""Pictures on their way: read by other threads, through the network in the caller's, drawn and recorded by others."""

import errno
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskrcnn.data.pages import Page, Reading
from maskrcnn.data.pictures.finding import shown
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.distributed import is_first, num_cores
from maskrcnn.names import printable
from maskrcnn.prediction.ahead import ahead
from maskrcnn.prediction.exporting import rings_of
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.prediction.job_records import FileState, JobPage, Records
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.count import count
from maskrcnn.report.double_counts import double_counts
from maskrcnn.report.draw import figure
from maskrcnn.report.draw_semantic import semantic_figure
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.labels import LabelMode
from maskrcnn.report.measure import measure
from maskrcnn.report.selection import Selection
from maskrcnn.report.semantic_files import MAP_ENDING, OVERLAY_ENDING, write_class_map
from maskrcnn.report.written import write_drawing
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.semantic_map import SemanticMap

MAX_THREADS = 4
"""Threads that read, and threads that draw: at most these, and no more than one for every two cores."""
PICTURE_BYTES = 256 << 20
"""Pictures that wait for the network, and those that wait to be drawn, take no more than this each; larger ones come
one at a time."""

MAX_REASON = 500
"""Letters of the reason why a picture was not done; OpenCV gives its source files, too."""

Found = Instances | SemanticMap
"""In one image."""
IN_ANNOTATION = ("id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1")
"""Columns of `measure` that are made from an annotation."""

Kept = Callable[[JobPage, FileState], TileFiles]


class PictureError(RuntimeError):
    """A picture that could not be done; the message begins with its page, `status` says what was wrong."""

    def __init__(self, page: JobPage, what: str, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        for name in (str(page.file), shown(page.file)):
            reason = reason.removeprefix(f"{name}: ")
        reason = printable(" ".join(reason.split())[:MAX_REASON])
        if not isinstance(error, OSError | ValueError):
            reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        self.page, self.status = page, f"{what}: {reason}"
        self.__cause__ = error
        # What a reader says of a file needs no "unreadable" before it.
        super().__init__(f"{printable(str(page))}: {reason if isinstance(error, ImageError) else self.status}")


class OutputError(OSError):
    """What was done cannot be written: the disk is full, say. Not the fault of a picture."""


class _Picture(NamedTuple):
    page: JobPage
    state: FileState
    content: Page


def finished(
    predictor: JobPredictor,
    pages: Sequence[JobPage],
    drawing_of: Callable[[JobPage], Path | None],
    labels: Tensor,
    records: Records,
    reading: Reading,
    selection: Selection,
    kept: Kept,
    label_mode: LabelMode = "auto",
    smooth: bool = False,
    write_scene: Callable[[JobPage, np.ndarray, Instances], None] | None = None,
) -> Generator[tuple[JobPage, dict[str, int] | PictureError], None, None]:
    """Each page and the counts of `labels` in it, in order, when it is drawn and on record; or why it is not.

    Counts leave out classes of which there is none. A page that `drawing_of` gives a place is drawn there. Whatever
    goes wrong with one is given in its place. Closing the generator still records what went through the network.
    `selection` says which objects count, `label_mode` what is written at those that are drawn. `kept` gives the tiles
    that are done of a page whose file is in a state. With `smooth` smooth outlines are recorded, too.
    `write_scene` takes a page, its image and its result.

    Raises:
        OutputError: a drawing or a record cannot be written.
    """
    num_threads = max(1, min(MAX_THREADS, num_cores() // 2))
    largest_bytes = 0  # of the pictures so far

    def limit() -> int:
        return min(num_threads, PICTURE_BYTES // largest_bytes) if largest_bytes else 0

    def pictures() -> Iterator[_Picture | PictureError]:
        nonlocal largest_bytes
        for picture in ahead(partial(_read, reader), pages, readers, limit):
            if isinstance(picture, _Picture):
                largest_bytes = max(largest_bytes, picture.content.image.nbytes + picture.content.numbers.nbytes)
            yield picture

    def finish(detected: tuple[_Picture, Found] | PictureError) -> tuple[JobPage, dict[str, int] | PictureError]:
        if isinstance(detected, PictureError):
            return detected.page, detected
        picture, found = detected
        try:
            if isinstance(found, SemanticMap):
                return picture.page, _record_map(records, picture, drawing_of(picture.page), found)
            instances = selection(found[torch.isin(found.labels, labels)])
            path = drawing_of(picture.page)
            if path is not None:
                _writing(
                    path, partial(write_drawing, path, figure(picture.content.image, instances, labels=label_mode))
                )
            if write_scene is not None:
                write = partial(write_scene, picture.page, picture.content.image, instances)
                _writing(path or picture.page.file, write)
            counts = _record(records, picture, path, instances, predictor.category_ids or None, smooth=smooth)
            if predictor.needs_tiles(instances.image_size):
                kept(picture.page, picture.state).remove()
            return picture.page, counts
        except OutputError:
            raise
        except Exception as error:
            return picture.page, PictureError(picture.page, "failed", error)

    reader = PageReader(reading)
    readers, finishers = ThreadPoolExecutor(num_threads), ThreadPoolExecutor(num_threads)
    try:
        yield from ahead(finish, _detections(predictor, pictures(), kept), finishers, limit)
    finally:
        readers.shutdown(cancel_futures=True)
        finishers.shutdown()
        reader.close()


def _read(reader: PageReader, page: JobPage) -> _Picture | PictureError:
    try:
        state, content = reader.read(page)
        return _Picture(page, state, content)
    except Exception as error:  # the libraries that decode raise what they like
        return PictureError(page, "unreadable", error)


def _detections(
    predictor: JobPredictor, pictures: Iterator[_Picture | PictureError], kept: Kept
) -> Iterator[tuple[_Picture, Found] | PictureError]:
    """Each picture and what is in it, a batch at a time; those that cannot be read stay in their place."""
    while batch := list(islice(pictures, predictor.batch_size)):
        readable = [picture for picture in batch if isinstance(picture, _Picture)]
        tiled = [predictor.needs_tiles(_size(one)) for one in readable]
        together = iter(_detect(predictor, [one for one, alone in zip(readable, tiled, strict=True) if not alone]))
        found = (
            _detect_in_tiles(predictor, one, kept) if alone else next(together)
            for one, alone in zip(readable, tiled, strict=True)
        )
        yield from (picture if isinstance(picture, PictureError) else next(found) for picture in batch)


def _detect(predictor: JobPredictor, pictures: Sequence[_Picture]) -> list[tuple[_Picture, Found] | PictureError]:
    """The pictures together, or one by one where that fails, to find the one that is to blame."""
    if not pictures:
        return []
    try:
        return list(zip(pictures, predictor([picture.content.image for picture in pictures]), strict=True))
    except Exception as error:  # memory that does not suffice, above all
        if len(pictures) == 1:
            return [PictureError(pictures[0].page, "failed", error)]
    return [found for picture in pictures for found in _detect(predictor, [picture])]


def _detect_in_tiles(predictor: JobPredictor, picture: _Picture, kept: Kept) -> tuple[_Picture, Found] | PictureError:
    assert isinstance(predictor, Predictor)  # the others see every image whole
    try:
        return picture, predictor.in_tiles(
            picture.content.image, kept=kept(picture.page, picture.state), is_shown=is_first()
        )
    except OSError as error:  # the picture is in memory, so it is a tile's result that cannot be written
        raise OutputError(*error.args) from error
    except Exception as error:
        return PictureError(picture.page, "failed", error)


def _size(picture: _Picture) -> tuple[int, int]:
    return picture.content.image.shape[0], picture.content.image.shape[1]


def _writing(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # some file systems take less than is usual
            raise ValueError(f"the drawing's name is too long: {path.name}") from error
        raise OutputError(*error.args) from error


def _record_map(records: Records, picture: _Picture, path: Path | None, found: SemanticMap) -> dict[str, int]:
    """Write a map and its overlay, and record the pixels of each class as the counts of objects are."""
    counts = {name: n for name, n in zip(found.class_names, found.pixels.tolist(), strict=True) if n}
    if path is not None:
        overlay = path.with_name(path.name.removesuffix(MAP_ENDING) + OVERLAY_ENDING)
        _writing(overlay, partial(write_drawing, overlay, semantic_figure(picture.content.image, found)))
    notes = (*picture.content.notes, *found.notes)
    try:
        if path is not None:
            write_class_map(path, found)
        records.add(picture.page, picture.state, path, found.image_size, counts, [], notes=notes)
    except OSError as error:
        raise OutputError(*error.args) from error
    return counts


def _record(
    records: Records,
    picture: _Picture,
    path: Path | None,
    instances: Instances,
    category_ids: Sequence[int] | None,
    *,
    smooth: bool,
) -> dict[str, int]:
    page, content = picture.page, picture.content
    counts = {name: number for name, number in count(instances).items() if number}
    found: Iterable[dict] = coco_dict([(str(page), instances)], instances.class_names, category_ids)["annotations"]
    # Numbers are given when all pictures are there.
    annotations = [
        {key: value for key, value in one.items() if key not in ("id", "image_id", "number")} for one in found
    ]
    num_doubles = len(double_counts(instances))
    measured = _measured(instances, content)
    try:
        records.add(
            page,
            picture.state,
            path,
            instances.image_size,
            counts,
            annotations,
            instances.ceilings,
            num_doubles,
            (*content.notes, *instances.notes),
            measured,
            content.place,
            content.pixel_size_um,
            rings_of(instances.polygons(smooth=True)) if smooth and instances.pixels is None else (),
        )
    except OSError as error:
        raise OutputError(*error.args) from error
    return counts


def _measured(instances: Instances, content: Page) -> dict[str, list[int | float | None]]:
    """What `measure` says of each object and its annotation does not; None for what is not a finite number."""
    table = measure(instances, content.numbers, channel_names=content.channel_names)
    columns = {name: table[name].tolist() for name in table if name not in IN_ANNOTATION}
    return {
        name: [int(value) if isinstance(value, bool) else value if math.isfinite(value) else None for value in values]
        for name, values in columns.items()
    }
