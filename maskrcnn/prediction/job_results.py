"""What a job over many pictures gives at the end: a summary, its tables and instances.json, made from its records."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.names import printable, table_cell, utf8
from maskrcnn.prediction.job_records import Records
from maskrcnn.report.counts_table import CountRow, counts_csv
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.measure import METRIC, cell, in_micrometres
from maskrcnn.report.written import MEASURED_FIRST, json_text

COUNTS, INSTANCES, MEASUREMENTS = "counts.csv", "instances.json", "measurements.csv"


@dataclass(frozen=True)
class JobSummary:
    """What came of a batch of files."""

    root: Path | None = None
    """Folder from which the files are named in what was written; None for files on several drives."""
    counts: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """File and count by class name, of every file that was done; after the first file, classes without an object are
    left out."""
    failures: dict[Path, str] = field(default_factory=dict)
    """Files that could not be done, and why."""
    ceilings: dict[str, list[str]] = field(default_factory=dict)
    """Limits that results reached, a sentence each, and the files it happened to."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """How files were done where that was not the usual way, a sentence each, and the files."""
    doubles: dict[str, int] = field(default_factory=dict)
    """Files in which objects may be counted twice, and how many."""


def describe(counts: Mapping[str, int]) -> str:
    """Counts as words: "nucleus 60" or "cat 2, dog 1, total 3"; classes without an object are left out."""
    found = [f"{printable(name)} {number}" for name, number in counts.items() if number]
    if len(found) > 1:
        found.append(f"total {sum(counts.values())}")
    names = ", ".join(map(printable, counts)) if len(counts) <= 3 else f"{len(counts)} classes"
    return ", ".join(found) or f"nothing found ({names})"


def summarise(
    records: Records,
    files: Sequence[Path],
    failures: Mapping[Path, str],
    class_names: Sequence[str],
    root: Path | None,
) -> JobSummary:
    """The summary of `files` in their order, as far as they are done; `class_names` are those that were counted."""
    summary = JobSummary(root, failures={file: failures[file] for file in files if file in failures})
    for file in files:
        done = records.done.get(file)
        if done is None:
            continue
        # The first row names all classes; the others would take gigabytes for many files and classes.
        zeros = {} if summary.counts else dict.fromkeys(class_names, 0)
        summary.counts.append((str(file), zeros | done.counts))
        if done.num_doubles:
            summary.doubles[str(file)] = done.num_doubles
        for sentence in done.notes:
            summary.notes.setdefault(sentence, []).append(str(file))
        for sentence in done.ceilings:
            summary.ceilings.setdefault(sentence, []).append(str(file))
    return summary


def count_rows(records: Records, names: Mapping[Path, str], failures: Mapping[Path, str]) -> Iterator[CountRow]:
    """A row for every file, done or not, in the order of `names`."""
    for file, name in names.items():
        done = records.done.get(file)
        if done is None:
            yield CountRow(name, None, failures[file])
        else:
            status = f"limit reached: {'; '.join(done.ceilings)}" if done.ceilings else "ok"
            yield CountRow(name, done.counts, status)


def write_results(
    out: Path,
    rows: Iterable[CountRow],
    counted: Sequence[str],
    records: Records,
    names: Mapping[Path, str],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
    pixel_size_um: float | None,
) -> None:
    """Write counts.csv of `rows` with a column for each class that was `counted`, measurements.csv and instances.json
    of the files that are done, one after the other in memory. All name and order the files as `names` does."""
    done = [file for file in names if file in records.done]
    document = coco_dict([], class_names, category_ids)
    document |= {"images": _images(records, done, names), "annotations": _annotations(records, done)}
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
    with atomic_path(out / MEASUREMENTS) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows(_measurements(records, done, names, class_of, pixel_size_um))
    counts_csv(out / COUNTS, rows, counted)


def _images(records: Records, done: Sequence[Path], names: Mapping[Path, str]) -> Iterator[dict[str, Any]]:
    for image_id, file in enumerate(done, start=1):
        height, width = records.done[file].image_size
        yield {"id": image_id, "file_name": utf8(names[file]), "width": width, "height": height}


def _annotations(records: Records, done: Sequence[Path]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, file in enumerate(done, start=1):
        for annotation in records.annotations(file):
            number += 1
            yield {"id": number, "image_id": image_id, **annotation}


def _measurements(
    records: Records,
    done: Sequence[Path],
    names: Mapping[Path, str],
    class_of: Mapping[int, str],
    pixel_size_um: float | None,
) -> Iterator[list[object]]:
    """The lines of measurements.csv; files with other channels have their own columns, and empty cells in others."""
    measured = list(dict.fromkeys(name for file in done for name in records.done[file].measured))
    metric = list(METRIC) if pixel_size_um is not None else []
    yield [*MEASURED_FIRST, *measured, *metric]
    number = 0
    for file in done:
        columns = records.measured(file)
        if pixel_size_um is not None and columns:
            numbers = {name: np.array(values, float) for name, values in columns.items()}
            columns |= {name: values.tolist() for name, values in in_micrometres(numbers, pixel_size_um).items()}
        for i, annotation in enumerate(records.annotations(file)):
            number += 1
            x, y, width, height = annotation["bbox"]
            about = [number, class_of[annotation["category_id"]], annotation["score"], x, y, x + width, y + height]
            rest = [columns[name][i] if name in columns else None for name in (*measured, *metric)]
            yield [table_cell(names[file]), *map(cell, about + rest)]
