"""What a training run writes and shows about itself, which survives a kill and a resume without a row twice."""

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from maskrcnn.config import Config
from maskrcnn.files import atomic_path
from maskrcnn.report.curves import plot_curves

log = logging.getLogger("maskrcnn")


class RunRecords:
    """Configuration, losses, metrics, TensorBoard, curves and the progress bar of one run."""

    def __init__(
        self, out: Path, config: Config, step: int, loss_names: Sequence[str], steps_per_epoch: float | None = None
    ) -> None:
        """`loss_names` are the model's."""
        out.mkdir(parents=True, exist_ok=True)
        write_config(config, out / "config.yaml")
        self.out, self.steps_per_epoch = out, steps_per_epoch
        self.losses, self.metrics = (
            LossRecord(out / "losses.csv", step, loss_names),
            MetricRecord(out / "metrics.csv", step),
        )
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
        self.bar = tqdm(total=config.train.steps, initial=step, unit="step", disable=None, dynamic_ncols=True)

    def add(self, step: int, row: dict[str, float]) -> None:
        """The losses of a step."""
        self.losses.append(step, row)
        for name, value in row.items():
            self.board.add_scalar(f"train/{name}", value, step)
        self.bar.update()
        self.bar.set_postfix({name: f"{row[name]:.3f}" for name in self.losses.columns[2:-1]})

    def add_evaluation(self, step: int, summary: dict[str, float | None]) -> None:
        """The figures of an evaluation."""
        self.metrics.append(step, summary)
        for name, value in summary.items():
            if value is not None:
                self.board.add_scalar(f"val/{name}", value, step)

    def flush(self, line: str) -> None:
        """Bring the files up to date; `line` is for logs, which have no progress bar."""
        if self.bar.disable:
            log.info(line)
        self.losses.flush()
        plot_curves(self.losses.path, self.out / "curves.png", self.metrics.path, self.steps_per_epoch)

    def close(self) -> None:
        """Also after an error: a loss that is not finite is understood by the steps before it."""
        self.bar.close()
        self.board.close()
        self.losses.flush()


def write_config(config: Config, path: Path) -> None:
    """All settings, defaults included, as YAML."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


class LossRecord:
    """One row for each step, written when `flush` is called (with every checkpoint)."""

    def __init__(self, path: Path, step: int, loss_names: Sequence[str]) -> None:
        self.path = path
        self.columns = ("step", "lr", "total", *loss_names, "seconds")
        self._rows: list[Sequence[object]] = []
        _drop_after(path, step)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Remember the losses of a step."""
        self._rows.append([step, *(f"{values[name]:.6g}" for name in self.columns[1:])])

    def flush(self) -> None:
        """Write what was remembered."""
        _write_rows(self.path, self.columns, self._rows)
        self._rows = []


class MetricRecord:
    """One row for each evaluation, written at once; a column for each name that any of them had."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        _drop_after(path, step)

    def append(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write one evaluation; None becomes an empty cell."""
        new = {"step": str(step)} | {name: "" if v is None else f"{v:.6g}" for name, v in values.items()}
        rows: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        rows.append(new)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with atomic_path(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(columns)
        writer.writerows(rows)


def _drop_after(path: Path, step: int) -> None:
    """Remove the rows of steps that a resumed run will do again, and what a kill left half written."""
    if not path.is_file():
        if os.path.lexists(path):
            raise ValueError(f"{path}: expected a table of this run, got something that is no file")
        return
    header, *rows = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    if not header:
        path.unlink()
        return
    whole = [row for row in rows if row.count(",") == header.count(",")]
    kept = [row for row in whole if row.split(",", 1)[0].isdecimal() and int(row.split(",", 1)[0]) <= step]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
