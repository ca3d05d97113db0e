"""What a job over many pictures gives at the end: a summary, counts.csv and instances.json, made from its records."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskrcnn.files import atomic_path
from maskrcnn.prediction.job_records import Records
from maskrcnn.report.export import coco_dict, counts_csv


@dataclass(frozen=True)
class JobSummary:
    """What came of a batch of files."""

    counts: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """File and count by class name, of every file that was done; after the first file, classes without an object are
    left out."""
    failures: list[Path] = field(default_factory=list)
    """Files that could not be read."""
    ceilings: dict[str, list[str]] = field(default_factory=dict)
    """Limits that results touched, a sentence each, and the files it happened to."""
    doubles: dict[str, int] = field(default_factory=dict)
    """Files in which objects may be counted twice, and how many."""


def describe(counts: Mapping[str, int]) -> str:
    """Counts as words: "nucleus 60" or "cat 2, dog 1, total 3"; classes without an object are left out."""
    found = [f"{name} {number}" for name, number in counts.items() if number]
    if len(found) > 1:
        found.append(f"total {sum(counts.values())}")
    return ", ".join(found) or f"nothing found ({', '.join(counts) if len(counts) <= 3 else f'{len(counts)} classes'})"


def summarise(
    records: Records, files: Sequence[Path], failures: Iterable[Path], class_names: Sequence[str]
) -> JobSummary:
    """The summary of `files` in their order, as far as they are done; `class_names` are those that were counted."""
    failed = set(failures)
    summary = JobSummary(failures=[file for file in files if file in failed])
    for file in files:
        done = records.done.get(file)
        if done is None:
            continue
        # The first row names all classes; the others would take gigabytes for many files and classes.
        zeros = {} if summary.counts else dict.fromkeys(class_names, 0)
        summary.counts.append((str(file), zeros | done.counts))
        if done.num_doubles:
            summary.doubles[str(file)] = done.num_doubles
        for sentence in done.ceilings:
            summary.ceilings.setdefault(sentence, []).append(str(file))
    return summary


def write_results(
    out: Path,
    summary: JobSummary,
    records: Records,
    files: Sequence[Path],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
) -> None:
    """Write counts.csv and instances.json of the files that are done, in their order, one after the other in memory."""
    done = [file for file in files if file in records.done]
    empty = coco_dict([], class_names, category_ids)
    with atomic_path(out / "instances.json") as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        before = "{"
        for key, value in (
            empty | {"images": _images(records, done), "annotations": _annotations(records, done)}
        ).items():
            text.write(f'{before}"{key}":')
            before = ","
            if not isinstance(value, Iterator):
                text.write(_json(value))
                continue
            text.write("[")
            for i, one in enumerate(value):
                text.write("," * bool(i) + _json(one))
            text.write("]")
        text.write("}")
    counts_csv(out / "counts.csv", summary.counts)


def _images(records: Records, done: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for image_id, file in enumerate(done, start=1):
        height, width = records.done[file].image_size
        yield {"id": image_id, "file_name": str(file), "width": width, "height": height}


def _annotations(records: Records, done: Sequence[Path]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, file in enumerate(done, start=1):
        for annotation in records.annotations(file):
            number += 1
            yield {"id": number, "image_id": image_id, **annotation}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
