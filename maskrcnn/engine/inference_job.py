"""Many picture files through a predictor: figures, counts and COCO JSON in one folder."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from maskrcnn.data.images import read_image
from maskrcnn.engine.predictor import Predictor
from maskrcnn.report.count import count
from maskrcnn.report.double_counts import double_counts
from maskrcnn.report.draw import figure
from maskrcnn.report.export import coco_dict, counts_csv, write_image, write_json
from maskrcnn.structures.instances import Instances


@dataclass(frozen=True)
class JobSummary:
    """What came of a batch of files."""

    counts: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """File and count by class name, of every file that was done."""
    failures: list[Path] = field(default_factory=list)
    """Files that could not be read."""
    ceilings: dict[str, list[str]] = field(default_factory=dict)
    """Limits that results touched, a sentence each, and the files it happened to."""
    doubles: dict[str, int] = field(default_factory=dict)
    """Files in which objects may be counted twice, and how many."""


def infer_files(
    predictor: Predictor,
    files: Sequence[Path],
    out: Path,
    *,
    classes: Sequence[str] | None = None,
    is_drawn: bool = True,
    say: Callable[[str], None] = print,
    on_failure: Callable[[Exception], None] | None = None,
) -> JobSummary:
    """Write `<stem>_instances.png` for each file, counts.csv and instances.json, all into `out`.

    A file that cannot be read is reported and left out; the others are finished. Without any that can be read nothing
    is written.

    Args:
        classes: names to keep; None keeps all.
        say: takes one line for each file that was done.
        on_failure: takes the error of each file that could not be read; its text names the file. None says it.

    Raises:
        ValueError: an unknown name in `classes`.
    """
    labels = _labels(predictor.class_names, classes)
    names = figure_names(files)
    summary = JobSummary()

    def results() -> Iterator[tuple[str, Instances]]:
        for file, image, found in _detections(predictor, files, summary, on_failure or (lambda e: say(f"error: {e}"))):
            instances = found[torch.isin(found.labels, labels)]
            counts = {
                predictor.class_names[label]: n for label, n in enumerate(count(instances).values()) if label in labels
            }
            summary.counts.append((str(file), counts))
            say(f"{file}: {describe(counts)}")
            doubles = len(double_counts(instances))
            if doubles:
                summary.doubles[str(file)] = doubles
            for sentence in instances.ceilings:
                summary.ceilings.setdefault(sentence, []).append(str(file))
            if is_drawn:
                write_image(out / names[file], figure(image, instances))
            yield str(file), instances

    found = coco_dict(results(), predictor.class_names, predictor.config.category_ids or None)
    if summary.counts:
        write_json(out / "instances.json", found)
        counts_csv(out / "counts.csv", summary.counts)
    return summary


def describe(counts: dict[str, int]) -> str:
    """Counts as words: "nucleus 60" or "cat 2, dog 1, total 3"; classes without an object are left out."""
    found = [f"{name} {number}" for name, number in counts.items() if number]
    if len(found) > 1:
        found.append(f"total {sum(counts.values())}")
    return ", ".join(found) or f"nothing found ({', '.join(counts) if len(counts) <= 3 else f'{len(counts)} classes'})"


def figure_names(files: Sequence[Path]) -> dict[Path, str]:
    """A file name for the picture of each file: its stem, with the folder and the extension where stems are equal."""
    spellings = [
        (file.stem, f"{file.parent.name}_{file.stem}", f"{file.parent.name}_{file.stem}_{file.suffix[1:]}")
        for file in files
    ]
    # Lower case, since some file systems do not tell cases apart.
    used = Counter(name.lower() for names in spellings for name in dict.fromkeys(names))
    result = {}
    for number, (file, names) in enumerate(zip(files, spellings, strict=True), start=1):
        unique = next((name for name in names if used[name.lower()] == 1), f"{names[-1]}_{number}")
        result[file] = f"{unique}_instances.png"
    return result


def _detections(
    predictor: Predictor, files: Sequence[Path], summary: JobSummary, on_failure: Callable[[Exception], None]
) -> Iterator[tuple[Path, np.ndarray, Instances]]:
    """File, picture and instances of each file that can be read, a batch at a time."""
    batch: list[tuple[Path, np.ndarray]] = []
    for i, file in enumerate(tqdm(files, unit="image", disable=None if len(files) > 1 else True)):
        try:
            batch.append((file, read_image(file)))
        except (OSError, ValueError) as error:
            summary.failures.append(file)
            on_failure(error)
        if batch and (len(batch) == predictor.batch_size or i == len(files) - 1):
            found = predictor([image for _, image in batch])
            yield from ((file, image, one) for (file, image), one in zip(batch, found, strict=True))
            batch = []


def _labels(class_names: Sequence[str], classes: Sequence[str] | None) -> torch.Tensor:
    wanted = list(class_names if classes is None else classes)
    unknown = [name for name in wanted if name not in class_names]
    if unknown:
        raise ValueError(f"classes: no class {unknown[0]!r} in these weights; known: {', '.join(class_names)}")
    return torch.tensor([class_names.index(name) for name in wanted])
