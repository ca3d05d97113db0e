"""What a job over many pictures gives at the end: a summary, its tables and instances.json, made from its records."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.prediction.job_intervals import CHECKED, TotalInterval
from maskrcnn.prediction.job_measurements import measurement_rows, region_rows, write_histograms
from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.report.counts_table import CountRow, counts_csv
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.semantic_files import ShareRow, classes_csv, shares_csv
from maskrcnn.report.written import json_text
from maskrcnn.structures.regions import Region
from maskrcnn.structures.semantic_map import SemanticMap, index_type
from maskrcnn.untrusted.names import printable, utf8

SHARES, CLASSES = "shares.csv", "classes.csv"
"""Of a class for every pixel."""
COUNTS, INSTANCES, MEASUREMENTS = "counts.csv", "instances.json", "measurements.csv"
REGIONS, HISTOGRAMS = "regions.csv", "measurements.png"


@dataclass(frozen=True)
class JobSummary:
    """What came of a batch of files."""

    root: Path | None = None
    """Folder from which the files are named in what was written; None for files on several drives."""
    counts: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """Page (such as "cells.png", or "film.tif page 3") and count by class name, of every one that was done; after the
    first, classes without an object are left out."""
    failures: dict[Path, str] = field(default_factory=dict)
    """Files that could not be done, or not all pages of them, and why the first was not."""
    ceilings: dict[str, list[str]] = field(default_factory=dict)
    """Limits that results reached, a sentence each, and the pages it happened to."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """How pages were done where that was not the usual way, a sentence each, and the pages."""
    doubles: dict[str, int] = field(default_factory=dict)
    """Pages in which objects may be counted twice, and how many."""
    total: TotalInterval | None = None
    """How sure the sum of all counts is, where the weights know it."""


def describe(counts: Mapping[str, int]) -> str:
    """Counts as words: "nucleus 60" or "cat 2, dog 1, total 3"; classes without an object are left out."""
    found = [f"{printable(name)} {number}" for name, number in counts.items() if number]
    if len(found) > 1:
        found.append(f"total {sum(counts.values())}")
    names = ", ".join(map(printable, counts)) if len(counts) <= 3 else f"{len(counts)} classes"
    return ", ".join(found) or f"nothing found ({names})"


def describe_shares(pixels: Mapping[str, int]) -> str:
    """Pixels by class as words, the largest first: "background 71.2%, person 28.8%"."""
    total = max(sum(pixels.values()), 1)
    found = sorted(((number, name) for name, number in pixels.items() if number), key=lambda pair: -pair[0])
    return ", ".join(f"{printable(name)} {number / total:.1%}" for number, name in found) or "no class"


def write_shares(
    out: Path,
    records: Records,
    names: Mapping[JobPage, str],
    failures: Mapping[JobPage, str],
    class_names: Sequence[str],
    all_names: Sequence[str],
) -> None:
    """Write shares.csv, a row for every page in the order of `names` and a column for each of `class_names`, and
    classes.csv of `all_names` in all that are done."""
    rows, pixels = [], dict.fromkeys(all_names, 0)
    for page, file in names.items():
        done = records.done.get(page)
        name = file if page.number is None else f"{file} page {page.number}"
        if done is None:
            rows.append(ShareRow(name, None, failures[page]))
            continue
        size = max(done.image_size[0] * done.image_size[1], 1)
        rows.append(ShareRow(name, {key: number / size for key, number in done.counts.items()}, "ok"))
        for key, number in done.counts.items():
            pixels[key] += number
    shares_csv(out / SHARES, rows, class_names)
    like = SemanticMap(np.zeros((0, 0), index_type(len(all_names))), tuple(all_names))
    classes_csv(out / CLASSES, like, list(pixels.values()))


def summarise(
    records: Records,
    pages: Sequence[JobPage],
    failures: Mapping[JobPage, str],
    class_names: Sequence[str],
    root: Path | None,
    checked: Mapping[JobPage, Mapping[str, int]] | None = None,
) -> JobSummary:
    """The summary of `pages` in their order, as far as they are done; `class_names` are those that were counted.

    `checked` has the counts of pages that were counted by hand.
    """
    checked = checked or {}
    summary = JobSummary(root)
    for page in pages:
        if page in failures:
            summary.failures.setdefault(page.file, failures[page])
        done = records.done.get(page)
        if done is None:
            continue
        # The first row names all classes; the others would take gigabytes for many pages and classes.
        zeros = {} if summary.counts else dict.fromkeys(class_names, 0)
        summary.counts.append((str(page), zeros | dict(checked.get(page, done.counts))))
        if done.num_doubles:
            summary.doubles[str(page)] = done.num_doubles
        for sentence in done.notes:
            summary.notes.setdefault(sentence, []).append(str(page))
        for sentence in done.ceilings:
            summary.ceilings.setdefault(sentence, []).append(str(page))
    return summary


def count_rows(
    records: Records,
    names: Mapping[JobPage, str],
    failures: Mapping[JobPage, str],
    checked: Mapping[JobPage, Mapping[str, int]] | None = None,
) -> Iterator[CountRow]:
    """A row for every page, done or not, in the order of `names`, which has the names of their files.

    `checked` has the counts of pages that were counted by hand.
    """
    for page, name in names.items():
        done = records.done.get(page)
        if checked and page in checked:
            yield CountRow(name, checked[page], CHECKED, page.number)
        elif done is None:
            yield CountRow(name, None, failures[page], page.number)
        else:
            status = f"limit reached: {'; '.join(done.ceilings)}" if done.ceilings else "ok"
            yield CountRow(name, done.counts, status, page.number)


def write_results(
    out: Path,
    rows: Iterable[CountRow],
    counted: Sequence[str],
    records: Records,
    names: Mapping[JobPage, str],
    info: Mapping[str, Any],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
    pixel_size_um: float | None,
    regions: Sequence[Region] = (),
    histograms: bool = False,
    *,
    has_intervals: bool = False,
) -> None:
    """Write counts.csv of `rows` with a column for each class that was `counted`, measurements.csv and instances.json
    of the pages that are done, one after the other in memory. All name and order the pages as `names` does.

    `info` is that of instances.json. `pixel_size_um` takes the place of what the files say of the size of a pixel. With
    `regions` there is regions.csv, with `histograms` measurements.png.
    """
    done = [page for page in names if page in records.done]
    document = coco_dict([], class_names, category_ids)
    document |= {"info": info, "images": _images(records, done, names), "annotations": _annotations(records, done)}
    with atomic_path(out / INSTANCES) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        before = "{"
        for key, value in document.items():
            text.write(f'{before}"{key}":')
            before = ","
            if not isinstance(value, Iterator):
                text.write(json_text(value))
                continue
            text.write("[")
            for i, one in enumerate(value):
                text.write("," * bool(i) + json_text(one))
            text.write("]")
        text.write("}")
    class_of = {one["id"]: one["name"] for one in document["categories"]}
    own = {page: names[page] for page in done}
    _write_table(out / MEASUREMENTS, measurement_rows(records, own, class_of, pixel_size_um, regions))
    if regions:
        _write_table(out / REGIONS, region_rows(records, own, class_of, counted, regions))
    if histograms:
        write_histograms(out / HISTOGRAMS, records, own, class_of, pixel_size_um)
    counts_csv(out / COUNTS, rows, counted, has_intervals=has_intervals)


def _write_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows(rows)


def _images(records: Records, done: Sequence[JobPage], names: Mapping[JobPage, str]) -> Iterator[dict[str, Any]]:
    for image_id, page in enumerate(done, start=1):
        height, width = records.done[page].image_size
        about = {"id": image_id, "file_name": utf8(names[page]), "width": width, "height": height}
        if page.number is not None:
            about |= {"page": page.number, **({"place": place} if (place := records.done[page].place) else {})}
        told = {"notes": records.done[page].notes, "limits": records.done[page].ceilings}
        yield about | {key: list(sentences) for key, sentences in told.items() if sentences}


def _annotations(records: Records, done: Sequence[JobPage]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, page in enumerate(done, start=1):
        in_picture = 0
        for annotations, _ in records.objects(page):
            for annotation in annotations:
                number, in_picture = number + 1, in_picture + 1
                yield {"id": number, "image_id": image_id, "number": in_picture, **annotation}
