"""A picture of a training run: its losses, and what the evaluations on the way said."""

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LOSSES = ("total", "rpn_objectness", "rpn_box", "class", "box", "mask")
"""Columns of the trainer's file that are drawn; a file may lack some and have others."""
ERROR_WORDS = ("mae", "rmse", "error", "bias")
"""A metric with one of these in its name is better when low and has no ceiling, so it has a scale of its own."""
SMOOTHED_PART = 1 / 50
"""Each point of a smooth line is the mean of the raw values within this part of the run around it."""

Curve = tuple[np.ndarray, np.ndarray]  # steps ascending, values; both float64 (n,)


def plot_curves(csv_path: str | Path, png_path: str | Path, metrics_csv_path: str | Path | None = None) -> None:
    """Draws the losses of `csv_path` (columns `step` and `LOSSES`), smooth over raw, on a logarithmic scale.

    `metrics_csv_path`, if there is such a file by now, has a column `step` and any metrics; they are drawn below,
    scores in 0..1 on the left-hand scale and errors on the right-hand one. Cells without a finite number are skipped.
    Of rows with the same step, as a resumed run may leave them, the last counts. The picture appears whole or not at
    all.

    Raises:
        FileNotFoundError: if there is no `csv_path`.
        ValueError: if a file has no column `step`.
    """
    losses = {name: curve for name, curve in _read_curves(csv_path).items() if name in LOSSES}
    metrics = _read_curves(metrics_csv_path) if metrics_csv_path and Path(metrics_csv_path).is_file() else {}
    figure = Figure(figsize=(10, 9 if metrics else 5), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(2 if metrics else 1, sharex=True, squeeze=False)[:, 0]
    _draw_losses(rows[0], losses)
    if metrics:
        _draw_metrics(rows[1], metrics)
    rows[-1].set_xlabel("step")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    _write(Path(png_path), picture.getvalue())


def _read_curves(path: str | Path) -> dict[str, Curve]:
    """Every column but `step` that has a number in it, in the order of the file."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, restkey="")  # the last line of a running training may be half written
        names = list(reader.fieldnames or ())
        if "step" not in names:
            raise ValueError(f"{path}: expected a CSV file with a column 'step', got {names}")
        by_step = {_number(row["step"]): row for row in reader}
    steps = sorted(step for step in by_step if math.isfinite(step))
    curves = {}
    for name in names:
        points = [(step, value) for step in steps if math.isfinite(value := _number(by_step[step][name]))]
        if points and name != "step":
            curves[name] = np.array([x for x, _ in points]), np.array([y for _, y in points])
    return curves


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def _draw_losses(axes: Axes, losses: dict[str, Curve]) -> None:
    for name in LOSSES:
        if name in losses:
            steps, values = losses[name]
            (line,) = axes.plot(steps, _smooth(values), label=name, linewidth=2.2 if name == "total" else 1.4)
            axes.plot(steps, values, color=line.get_color(), alpha=0.2, linewidth=0.6, zorder=1)
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    if any((values > 0).any() for _, values in losses.values()):
        axes.set_yscale("log", nonpositive="mask")  # images without objects have losses of exactly 0
    if losses:
        axes.legend(loc="upper right", ncols=2)


def _draw_metrics(axes: Axes, metrics: dict[str, Curve]) -> None:
    is_error = {
        name: any(word in name for word in ERROR_WORDS) or bool((values > 1).any())
        for name, (_, values) in metrics.items()
    }
    errors_axes = axes.twinx() if any(is_error.values()) else None
    lines = []
    for number, (name, (steps, values)) in enumerate(metrics.items()):
        target = errors_axes if errors_axes is not None and is_error[name] else axes
        style = "--" if is_error[name] else "-"
        lines += target.plot(steps, values, style, marker="o", markersize=3, color=f"C{number % 10}", label=name)
    axes.set_ylabel("score")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    if errors_axes is not None:
        errors_axes.set_ylabel("error (dashed)")
    # Outside: inside, the lines of the second scale would run over it.
    axes.legend(handles=lines, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Centred moving mean; near the ends, of the values there are."""
    reach = int(len(values) * SMOOTHED_PART / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    first, last = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since only there the renaming is one indivisible step.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
