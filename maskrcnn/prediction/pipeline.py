"""Pictures on their way: read by other threads, through the network in the caller's, drawn and recorded by others."""

import errno
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskrcnn.data.pages import Page, Reading, Slide
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.distributed import is_first, num_cores
from maskrcnn.prediction.ahead import ahead
from maskrcnn.prediction.box_predictor import BoxPredictor
from maskrcnn.prediction.exporting import rings_of
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.job_names import full_drawing
from maskrcnn.prediction.job_pages import OpenSlide, PageReader
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.slide_job import (
    IN_ANNOTATION,
    SlideFound,
    draw_full,
    find_on_slide,
    plain,
)
from maskrcnn.report.count import count
from maskrcnn.report.double_counts import double_counts
from maskrcnn.report.draw import figure
from maskrcnn.report.draw_semantic import semantic_figure
from maskrcnn.report.labels import LabelMode
from maskrcnn.report.measure import measure
from maskrcnn.report.preview import preview
from maskrcnn.report.selection import Selection
from maskrcnn.report.semantic_files import MAP_ENDING, OVERLAY_ENDING, write_class_map
from maskrcnn.report.written import write_drawing
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.semantic_map import SemanticMap
from maskrcnn.untrusted.names import printable

MAX_THREADS = 4
"""Threads that read, and threads that draw: at most these, and no more than one for every two cores."""
PICTURE_BYTES = 256 << 20
"""Pictures that wait for the network, and those that wait to be drawn, take no more than this each; larger ones come
one at a time."""

MAX_REASON = 500
"""Letters of the reason why a picture was not done; OpenCV gives its source files, too."""

Found = Instances | SemanticMap | SlideFound
"""In one image."""

Kept = Callable[[JobPage, FileState], TileFiles]


class PictureError(RuntimeError):
    """A picture that could not be done; the message begins with its page, `status` says what was wrong."""

    def __init__(self, page: JobPage, what: str, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        for name in (str(page.file), printable(str(page.file))):
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
    content: Page | OpenSlide

    @property
    def num_bytes(self) -> int:
        """Of memory; a slide is one at a time."""
        if isinstance(self.content, OpenSlide):
            return PICTURE_BYTES + 1
        return self.content.image.nbytes + self.content.numbers.nbytes


def finished(
    predictor: JobPredictor,
    pages: Sequence[JobPage],
    drawing_of: Callable[[JobPage], Path | None],
    labels: Tensor,
    records: Records,
    reading: Reading,
    selection: Selection,
    kept: Kept,
    folder: Path,
    label_mode: LabelMode = "auto",
    smooth: bool = False,
    write_scene: Callable[[JobPage, np.ndarray, Instances], None] | None = None,
    *,
    is_full: bool = False,
    has_preview: bool = False,
    pixel_size_um: float | None = None,
) -> Generator[tuple[JobPage, dict[str, int] | PictureError], None, None]:
    """Each page and the counts of `labels` in it, in order, when it is drawn and on record; or why it is not.

    Counts leave out classes of which there is none. A page that `drawing_of` gives a place is drawn there. Whatever
    goes wrong with one is given in its place. Closing the generator still records what went through the network.
    `selection` says which objects count, `label_mode` what is written at those that are drawn. `kept` gives the tiles
    that are done of a page whose file is in a state. With `smooth` smooth outlines are recorded, too.
    `write_scene` takes a page, its image and its result.
    `folder` takes temporary files. `is_full` draws slides at full size, too; `has_preview` records what report.html
    shows of each page; `pixel_size_um` is in place of the files'.

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
                largest_bytes = max(largest_bytes, picture.num_bytes)
            yield picture

    def finish(detected: tuple[_Picture, Found] | PictureError) -> tuple[JobPage, dict[str, int] | PictureError]:
        if isinstance(detected, PictureError):
            return detected.page, detected
        picture, found = detected
        try:
            if isinstance(found, SemanticMap):
                return picture.page, _record_map(records, picture, drawing_of(picture.page), found)
            if isinstance(picture.content, OpenSlide):
                assert isinstance(found, SlideFound)
                return picture.page, finish_slide(picture, picture.content, found)
            assert isinstance(found, Instances)
            instances = selection(found[torch.isin(found.labels, labels)])
            path = drawing_of(picture.page)
            if path is not None:
                _writing(
                    path, partial(write_drawing, path, figure(picture.content.image, instances, labels=label_mode))
                )
            if write_scene is not None:
                write = partial(write_scene, picture.page, picture.content.image, instances)
                _writing(path or picture.page.file, write)
            small = preview(picture.content.image, instances) if has_preview else None
            ids = predictor.category_ids or None
            counts = _record(records, picture, path, instances, ids, small, smooth=smooth)
            if predictor.needs_tiles(instances.image_size):
                kept(picture.page, picture.state).remove()
            return picture.page, counts
        except OutputError:
            raise
        except Exception as error:
            return picture.page, PictureError(picture.page, "failed", error)

    def finish_slide(picture: _Picture, opened: OpenSlide, found: SlideFound) -> dict[str, int]:
        with closing(found.parts), closing(opened):
            path = drawing_of(picture.page)
            size = opened.slide.pixel_size_um if pixel_size_um is None else (pixel_size_um, pixel_size_um)
            if path is not None and found.overview is not None:
                _writing(path, partial(write_drawing, path, found.overview.page(found.counts, found.ceilings, size)))
                if is_full:
                    _writing(path, partial(draw_full, full_drawing(path), opened.slide, found, size))
            _record_slide(records, picture, opened.slide, path, found)
            kept(picture.page, picture.state).remove()
            return dict(found.counts)

    def detect_slide(picture: _Picture, opened: OpenSlide) -> SlideFound:
        assert isinstance(predictor, Predictor)
        tiles, is_drawn = kept(picture.page, picture.state), drawing_of(picture.page) is not None
        return find_on_slide(predictor, opened.slide, labels, selection, tiles, folder, is_drawn, has_preview)

    reader = PageReader(reading, predictor.needs_tiles)
    readers, finishers = ThreadPoolExecutor(num_threads), ThreadPoolExecutor(num_threads)
    try:
        yield from ahead(finish, _detections(predictor, pictures(), kept, detect_slide), finishers, limit)
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
    predictor: JobPredictor,
    pictures: Iterator[_Picture | PictureError],
    kept: Kept,
    detect_slide: Callable[[_Picture, OpenSlide], SlideFound],
) -> Iterator[tuple[_Picture, Found] | PictureError]:
    """Each picture and what is in it, a batch at a time; those that cannot be read stay in their place."""
    while batch := list(islice(pictures, predictor.batch_size)):
        alone = [
            not isinstance(one, PictureError) and (isinstance(one.content, OpenSlide) or _is_tiled(predictor, one))
            for one in batch
        ]
        small = [one for one, is_alone in zip(batch, alone, strict=True) if not is_alone]
        together = iter(_detect(predictor, [one for one in small if isinstance(one, _Picture)]))
        for picture, is_alone in zip(batch, alone, strict=True):
            if isinstance(picture, PictureError):
                yield picture
            else:
                yield _detect_in_tiles(predictor, picture, kept, detect_slide) if is_alone else next(together)


def _detect(predictor: JobPredictor, pictures: Sequence[_Picture]) -> list[tuple[_Picture, Found] | PictureError]:
    """The pictures together, or one by one where that fails, to find the one that is to blame."""
    if not pictures:
        return []
    try:
        if isinstance(predictor, BoxPredictor):
            return [(one, predictor.in_file(one.page.file, _page(one).image)) for one in pictures]
        return list(zip(pictures, predictor([_page(picture).image for picture in pictures]), strict=True))
    except Exception as error:  # memory that does not suffice, above all
        if len(pictures) == 1:
            return [PictureError(pictures[0].page, "failed", error)]
    return [found for picture in pictures for found in _detect(predictor, [picture])]


def _detect_in_tiles(
    predictor: JobPredictor,
    picture: _Picture,
    kept: Kept,
    detect_slide: Callable[[_Picture, OpenSlide], SlideFound],
) -> tuple[_Picture, Found] | PictureError:
    assert isinstance(predictor, Predictor)  # the others see every image whole
    try:
        if isinstance(picture.content, OpenSlide):
            return picture, detect_slide(picture, picture.content)
        tiles = kept(picture.page, picture.state)
        return picture, predictor.in_tiles(picture.content.image, kept=tiles, is_shown=is_first())
    except Exception as error:
        if isinstance(picture.content, OpenSlide):
            picture.content.close()
        if isinstance(error, OSError):  # readers raise `ImageError`, so it is a result that cannot be written
            raise OutputError(*error.args) from error
        return PictureError(picture.page, "failed", error)


def _page(picture: _Picture) -> Page:
    assert isinstance(picture.content, Page)
    return picture.content


def _is_tiled(predictor: JobPredictor, picture: _Picture) -> bool:
    image = _page(picture).image
    return predictor.needs_tiles((image.shape[0], image.shape[1]))


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
        _writing(overlay, partial(write_drawing, overlay, semantic_figure(_page(picture).image, found)))
    notes = (*_page(picture).notes, *found.notes)
    try:
        if path is not None:
            write_class_map(path, found)
        records.add(picture.page, picture.state, path, found.image_size, counts, [], notes=notes)
    except OSError as error:
        raise OutputError(*error.args) from error
    return counts


def _record_slide(records: Records, picture: _Picture, slide: Slide, path: Path | None, found: SlideFound) -> None:
    try:
        records.add(
            picture.page,
            picture.state,
            path,
            slide.source.size,
            found.counts,
            [],
            found.ceilings,
            found.num_doubles,
            (*slide.notes, *found.notes),
            None,
            slide.place,
            slide.pixel_size_um,
            preview=found.preview,
            parts=found.parts,
        )
    except OSError as error:
        raise OutputError(*error.args) from error


def _record(
    records: Records,
    picture: _Picture,
    path: Path | None,
    instances: Instances,
    category_ids: Sequence[int] | None,
    small: Mapping[str, Any] | None,
    *,
    smooth: bool,
) -> dict[str, int]:
    page, content = picture.page, _page(picture)
    counts = {name: number for name, number in count(instances).items() if number}
    num_doubles = len(double_counts(instances))
    measured = _measured(instances, content)
    try:
        records.add(
            page,
            picture.state,
            path,
            instances.image_size,
            counts,
            instances.to_coco(category_ids),
            instances.ceilings,
            num_doubles,
            (*content.notes, *instances.notes),
            measured,
            content.place,
            content.pixel_size_um,
            rings_of(instances.polygons(smooth=True)) if smooth and instances.pixels is None else (),
            small,
        )
    except OSError as error:
        raise OutputError(*error.args) from error
    return counts


def _measured(instances: Instances, content: Page) -> dict[str, list[int | float | None]]:
    """What `measure` says of each object and its annotation does not; None for what is not a finite number."""
    table = measure(instances, content.numbers, channel_names=content.channel_names)
    return {name: plain(table[name]) for name in table if name not in IN_ANNOTATION}
