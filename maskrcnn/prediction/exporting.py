"""What a job found, or what a file of annotations holds, on its way into the formats of other tools."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.pages import Page, Reading
from maskrcnn.data.pictures.geo import geo_reference
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.report.export.formats import write_formats
from maskrcnn.report.export.picture import FoundObject, FoundPicture, GeoReference, stems
from maskrcnn.structures.polygons import Polygon

Ring = list[float]
EXPORTS = "exports"
"""Folder in the output folder for files of other tools."""


def pictures_of_job(
    records: Records,
    names: Mapping[JobPage, str],
    class_of: Mapping[int, str],
    read: Callable[[JobPage], np.ndarray],
) -> Iterator[FoundPicture]:
    """The pages that are done, in the order of `names`; `class_of` has the name of each category id.

    `read` gives the pixels of a page.
    """
    done = [page for page in names if page in records.done]
    for page, stem in zip(done, stems([(names[page], page.number) for page in done]), strict=True):
        outlines = records.outlines(page)
        annotations = records.annotations(page)
        objects = [
            replace(_found(annotation, class_of, outlines[i] if outlines else None), number=i + 1)
            for i, annotation in enumerate(annotations)
            if annotation["area"]
        ]
        num_empty = len(annotations) - len(objects)
        size, geo = records.done[page].image_size, _geo(page.file)
        yield FoundPicture(names[page], stem, size, objects, page.number, partial(read, page), geo, num_empty)


def pictures_of_annotations(table: Annotations, *, is_read: bool = True) -> Iterator[FoundPicture]:
    """The pictures of a table of annotations, of any format; crowd regions are left out.

    `is_read`: the files of the pictures are in the table's folder.
    """
    names = [(name, table.page(i)) for i, name in enumerate(table.file_names)]
    class_of = dict(zip(table.category_ids, table.class_names, strict=True))
    for i, stem in enumerate(stems(names)):
        objects: list[FoundObject] = []
        num_empty = 0
        for row in table.rows(i).tolist():
            if not table.is_object[row]:
                num_empty += is_empty_rle(table, row)
                continue
            record = table.coco["annotations"][row]
            x, y, width, height = table.boxes_xywh[row].tolist()
            if not np.isfinite([x, y, width, height]).all():
                x, y, width, height = table.mask_boxes_xywh[row].tolist()
            known = {"category_id": table.category_ids[table.labels[row]], "segmentation": table.rle(row)}
            numbers = {key: record[key] for key in ("score", "track_id") if isinstance(record.get(key), int | float)}
            found = _found(known | numbers | {"bbox": [x, y, width, height]}, class_of, None)
            objects.append(replace(found, number=record.get("number")))
        own = [one.number for one in objects]
        are_numbers = all(type(number) is int and 0 < number < 1 << 31 for number in own)
        if not are_numbers or len(set(own)) < len(own):  # only infer's own are known to be good
            objects = [replace(one, number=None) for one in objects]
        path = table.image_path(i)
        pixels, geo = (partial(table.read, i), _geo(path)) if is_read else (None, None)
        yield FoundPicture(*names[i][:1], stem, table.size(i), objects, names[i][1], pixels, geo, num_empty)


def is_empty_rle(table: Annotations, row: int) -> bool:
    """Whether it is an object without a pixel, as networks find them now and then; of polygons it is a mistake."""
    is_known = table.labels[row] >= 0 and not table.is_crowd[row] and not table.mask_areas[row]
    return bool(is_known) and isinstance(table.coco["annotations"][row].get("segmentation"), dict)


def rings_of(outlines: Sequence[Sequence[Polygon]]) -> list[list[list[Ring]]]:
    """Outlines as they are kept in a record: of each object the parts, of each part its rings, outer first."""
    return [
        [[np.round(ring, 3).ravel().tolist() for ring in (p["exterior"], *p["holes"])] for p in parts]
        for parts in outlines
    ]


def _found(annotation: Mapping[str, Any], class_of: Mapping[int, str], outline: list[list[Ring]] | None) -> FoundObject:
    x, y, width, height = annotation["bbox"]
    smooth: list[Polygon] | None = None
    if outline is not None:
        parts = [[np.array(ring, np.float64).reshape(-1, 2) for ring in rings] for rings in outline]
        smooth = [{"exterior": rings[0], "holes": rings[1:]} for rings in parts] or None
    return FoundObject(
        class_of[annotation["category_id"]],
        annotation["segmentation"],
        (x, y, x + width, y + height),
        annotation.get("score"),
        smooth,
        annotation.get("track_id"),
    )


def _geo(path: Path) -> GeoReference | None:
    found = geo_reference(path)
    return GeoReference(*found) if found is not None else None


def export_job(
    out: Path,
    exports: Sequence[str],
    records: Records,
    names: Mapping[JobPage, str],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
    reading: Reading,
    overwrite: bool,
    say: Callable[[str], None],
) -> None:
    """Write the objects of the pages that are done in the formats `exports`, and `say` what each loses."""
    if not exports:
        return
    class_of = dict(zip(category_ids or range(1, len(class_names) + 1), class_names, strict=True))
    with closing(PageReader(reading, lambda size: False)) as reader:
        pictures = pictures_of_job(records, names, class_of, lambda page: _image(reader, page))
        done = write_formats(out / EXPORTS, exports, pictures, class_names, overwrite=overwrite, outlines_said=say)
    for one in done:
        say(str(one))


def _image(reader: PageReader, page: JobPage) -> np.ndarray:
    content = reader.read(page)[1]
    assert isinstance(content, Page)  # since nothing is to be done in tiles
    return content.image
