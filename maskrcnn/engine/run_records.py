"""The CSV files of a training run, which survive a kill and a resume without a row twice."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskrcnn.files import atomic_path

LOSS_COLUMNS = ("step", "lr", "total", "rpn_objectness", "rpn_box", "class", "box", "mask", "seconds")


class LossRecord:
    """One row for each step, written when `flush` is called (with every checkpoint)."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self._rows: list[Sequence[object]] = []
        _drop_after(path, step)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Remember the losses of a step."""
        self._rows.append([step, *(f"{values[name]:.6g}" for name in LOSS_COLUMNS[1:])])

    def flush(self) -> None:
        """Write what was remembered."""
        _write_rows(self.path, LOSS_COLUMNS, self._rows)
        self._rows = []


class MetricRecord:
    """One row for each evaluation, written at once."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        _drop_after(path, step)

    def append(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write one evaluation; None becomes an empty cell."""
        row = [step, *("" if value is None else f"{value:.6g}" for value in values.values())]
        _write_rows(self.path, ("step", *values), [row])


def _write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(columns)
        writer.writerows(rows)


def _drop_after(path: Path, step: int) -> None:
    """Remove the rows of steps that a resumed run will do again, and what a kill left half written."""
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    if not header:
        path.unlink()
        return
    whole = [row for row in rows if row.count(",") == header.count(",")]
    kept = [row for row in whole if int(row.split(",", 1)[0]) <= step]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
