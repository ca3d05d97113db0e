"""Many picture files through a predictor: figures, counts and COCO JSON in one folder, whatever interrupts it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from maskrcnn.distributed import gather, is_first, rank, world_size
from maskrcnn.prediction.job_records import Records, settings_key
from maskrcnn.prediction.job_results import JobSummary, describe, summarise, write_results
from maskrcnn.prediction.pipeline import finished
from maskrcnn.prediction.predictor import Predictor

RECORDS = ".done"
"""Folder in the output folder for what is known of pictures that are done."""


def infer_files(
    predictor: Predictor,
    files: Sequence[Path],
    out: Path,
    *,
    classes: Sequence[str] | None = None,
    is_drawn: bool = True,
    redo: bool = False,
    say: Callable[[str], None] = print,
    on_failure: Callable[[Exception], None] | None = None,
) -> JobSummary:
    """Write `<stem>_instances.png` for each file, counts.csv and instances.json, all into `out`.

    A file that cannot be read is reported and left out; the others are finished. Without any that can be read nothing
    is written. Other threads read the next pictures and draw the last ones while the network runs.

    Each of several files is recorded in `out`/.done when it is finished. The same job again does only those that are
    not, or that changed; counts.csv and instances.json come at the end and are those of a job done in one go. Processes
    of a group (`maskrcnn.distributed`) divide the files; the first gives the summary of all, the others an empty one.

    Args:
        classes: names to keep; None keeps all.
        redo: do also what was done before.
        say: takes one line for each file that was done.
        on_failure: takes the error of each file that could not be read; its text names the file. None says it.

    Raises:
        ValueError: an unknown name in `classes`; processes that see different files.
        RuntimeError: another process died before its files were done.
    """
    labels = _labels(predictor.class_names, classes)
    class_names = [name for label, name in enumerate(predictor.class_names) if label in labels]
    figures = {file: out / name for file, name in figure_names(files).items()} if is_drawn else {}
    folder = out / RECORDS if len(files) > 1 else None
    _expect_same_files(files)
    settings = _from_first(lambda: settings_key(predictor, labels.tolist()) if folder else "")
    with Records(folder, settings) as records:
        todo: list[int] = _from_first(lambda: _find_todo(records, files, figures, redo, say))
        own = [files[i] for i in todo[rank() :: world_size()]]
        failures: list[Path] = []

        def fail(file: Path, error: Exception) -> None:
            failures.append(file)
            bar.update()
            if on_failure is None:
                say(f"error: {error}")
            else:
                on_failure(error)

        with tqdm(total=len(own), unit="image", disable=None if len(own) > 1 and is_first() else True) as bar:
            try:
                with closing(finished(predictor, own, figures, labels, records, fail)) as results:
                    for file, counts in results:
                        bar.update()
                        say(f"{file}: {describe(dict.fromkeys(class_names, 0) | counts)}")
            except KeyboardInterrupt:
                if folder is not None and is_first():
                    num = f"{len(records.done)} of {len(files)} pictures are" if world_size() == 1 else "a part is"
                    say(f"stopped: {num} done, and the same command goes on from there")
                raise
        failures = _wait_for_all(failures)
        try:
            if not is_first():
                return JobSummary()
            if world_size() > 1:
                records.load(files, figures)
            _expect_all_done(records, files, failures)
            summary = summarise(records, files, failures, class_names)
            if summary.counts:
                write_results(
                    out, summary, records, files, predictor.class_names, predictor.settings.category_ids or None
                )
                records.compact()
            return summary
        finally:
            with suppress(RuntimeError):
                gather(None)  # torchrun ends all processes as soon as one ends badly, and the first may be writing


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


def _labels(class_names: Sequence[str], classes: Sequence[str] | None) -> Tensor:
    wanted = list(class_names if classes is None else classes)
    unknown = [name for name in wanted if name not in class_names]
    if unknown:
        raise ValueError(f"classes: no class {unknown[0]!r} in these weights; known: {', '.join(class_names)}")
    return torch.tensor([class_names.index(name) for name in wanted])


def _find_todo(
    records: Records, files: Sequence[Path], figures: Mapping[Path, Path], redo: bool, say: Callable[[str], None]
) -> list[int]:
    """Indices of the files that are not on record."""
    if redo:
        records.forget()
    else:
        records.load(files, figures)
    if records.done:
        say(f"done before: {len(records.done)} of {len(files)} pictures (--redo does them again)")
    return [i for i, file in enumerate(files) if file not in records.done]


def _from_first(make: Callable[[], Any]) -> Any:
    """What `make` gives in the first process, known to all."""
    return gather(make() if is_first() else None)[0]


def _expect_same_files(files: Sequence[Path]) -> None:
    names = "\0".join(map(str, files)).encode(errors="surrogatepass")
    if len(set(gather(hashlib.sha256(names).hexdigest()))) > 1:
        raise ValueError("the processes see different files; each needs all of them, under the same paths")


def _wait_for_all(failures: list[Path]) -> list[Path]:
    """The files that any process could not read; where one died, the first has to do with its own."""
    try:
        return [file for part in gather(failures) for file in part]
    except RuntimeError:  # a process that dies closes its connections
        if not is_first():
            raise
        return failures


def _expect_all_done(records: Records, files: Sequence[Path], failures: Sequence[Path]) -> None:
    failed = set(failures)
    missing = [file for file in files if file not in records.done and file not in failed]
    if missing:
        names = ", ".join(map(str, missing[:3])) + ", ..." * (len(missing) > 3)
        raise RuntimeError(
            f"{len(missing)} of {len(files)} pictures are not done, since a process died or they changed meanwhile: "
            f"{names}; counts.csv and instances.json are not written, the same command does the rest"
        )
