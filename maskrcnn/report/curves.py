"""A picture of a training run: losses, scores, errors of the counts, and the rate, in panels one below the other."""

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskrcnn.files import atomic_path

RATES = {"lr": "learning rate", "seconds": "seconds a step"}
"""Columns of the trainer's file that are no losses; all others are."""
TOTAL, VAL_TOTAL = "total", "loss"
"""The sum of the losses, as it is called in training and, after `VAL`, on val."""
VAL = "val_"
"""With this before its name a metric is the loss on val of that name."""
ERROR_WORDS = ("mae", "rmse", "error", "bias")
"""A metric with one of these in its name is an error: better when low, and without a ceiling."""
SHARE_WORD = "relative"
"""An error with this in its name is a share, and drawn in per cent."""
SMOOTHED_PART = 1 / 50
"""Each point of a smooth line is the mean of the raw values within this part of the run around it."""
MIN_REACH = 4
"""Steps to either side that are averaged at least, as long as this is no more than a fifth of the run."""
WIDTH_IN, PANEL_IN, DPI = 12.0, 2.6, 100

Curve = tuple[np.ndarray, np.ndarray]  # steps ascending, values; both float64 (n,)


def plot_curves(
    csv_path: str | Path,
    png_path: str | Path,
    metrics_csv_path: str | Path | None = None,
    steps_per_epoch: float | None = None,
) -> None:
    """Writes the picture of `draw_curves`, 1200 px wide, which appears whole or not at all.

    Both files have a column `step`. `csv_path` has a row for each step, with its losses and `RATES`;
    `metrics_csv_path`, if there is such a file by now, one for each evaluation. Cells without a finite number are
    skipped. Of rows with the same step, as a resumed run may leave them, the last counts.

    Raises:
        FileNotFoundError: if there is no `csv_path`.
        ValueError: if a file has no column `step`.
    """
    train = _read_curves(csv_path)
    metrics = _read_curves(metrics_csv_path) if metrics_csv_path and Path(metrics_csv_path).is_file() else {}
    figure = draw_curves(train, metrics, steps_per_epoch)
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    with atomic_path(png_path) as temporary:
        temporary.write_bytes(picture.getvalue())


def draw_curves(
    train: Mapping[str, Curve], metrics: Mapping[str, Curve], steps_per_epoch: float | None = None
) -> Figure:
    """Panels of the curves, by name of their column; one without any is left out, but for that of the losses.

    - losses: each in a colour of its own, the smoothed line of training and the dots of val beside one another, on a
      logarithmic scale;
    - scores, in 0..1: all metrics that are neither a loss (`VAL`) nor an error (`ERROR_WORDS`);
    - errors of the counts: in objects on the left, in per cent of the total on the right;
    - rate: the learning rate on the left, the seconds of a step on the right.

    Where `steps_per_epoch` is given, the axis says how long an epoch is.
    """
    losses = {name: curve for name, curve in train.items() if name not in RATES}
    val = {_loss_name(name): curve for name, curve in metrics.items() if name.startswith(VAL)}
    judged = {name: curve for name, curve in metrics.items() if not name.startswith(VAL)}
    errors = {name: curve for name, curve in judged.items() if any(word in name for word in ERROR_WORDS)}
    scores = {name: curve for name, curve in judged.items() if name not in errors}
    rates = {RATES[name]: train[name] for name in RATES if name in train}
    shown = {"losses": True, "scores": scores, "counts": errors, "rate": rates}
    names = [name for name, content in shown.items() if content]
    heights = [2.0 if name == "losses" else 1.0 for name in names]
    figure = Figure(figsize=(WIDTH_IN, PANEL_IN * sum(heights)), layout="constrained")
    rows = figure.subplots(len(names), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    panels = dict(zip(names, rows, strict=True))
    _draw_losses(panels["losses"], losses, val)
    if scores:
        _draw_scores(panels["scores"], scores)
    if errors:
        _draw_errors(panels["counts"], errors)
    if rates:
        _draw_rates(panels["rate"], rates)
    for name, axes in panels.items():
        axes.set_title(name, loc="left", fontweight="bold")
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("step" + (f" (an epoch is {steps_per_epoch:.3g})" if steps_per_epoch else ""))
    return figure


def _loss_name(column: str) -> str:
    """The name in training of a loss on val."""
    name = column.removeprefix(VAL)
    return TOTAL if name == VAL_TOTAL else name


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


def _draw_losses(axes: Axes, train: Mapping[str, Curve], val: Mapping[str, Curve]) -> None:
    for number, name in enumerate(dict.fromkeys([*train, *val])):
        color, width = f"C{number % 10}", 2.4 if name == TOTAL else 1.4
        if name in train:
            steps, values = train[name]
            if name == TOTAL:  # how far single steps scatter; of each loss, it would bury the lines
                axes.plot(steps, values, color=color, alpha=0.15, linewidth=0.6, zorder=1)
            axes.plot(steps, _smooth(values), color=color, linewidth=width, label=f"{name}, train")
        if name in val:
            axes.plot(*val[name], color=color, linestyle=":", marker="o", markersize=5, label=f"{name}, val")
    if any((values > 0).any() for _, values in [*train.values(), *val.values()]):
        axes.set_yscale("log", nonpositive="mask")  # images without objects have losses of exactly 0
    axes.set_ylabel("loss")
    _legend(axes)


def _draw_scores(axes: Axes, scores: Mapping[str, Curve]) -> None:
    for number, (name, curve) in enumerate(scores.items()):
        axes.plot(*curve, color=f"C{number % 10}", marker="o", markersize=4, label=_words(name))
    axes.set_ylim(0, 1)
    axes.set_ylabel("score")
    _legend(axes)


def _draw_errors(axes: Axes, errors: Mapping[str, Curve]) -> None:
    has_shares = any(SHARE_WORD in name for name in errors)
    right = axes.twinx() if has_shares else axes
    for number, (name, (steps, values)) in enumerate(errors.items()):
        is_share = SHARE_WORD in name
        (right if is_share else axes).plot(
            steps,
            100 * values if is_share else values,
            color=f"C{number % 10}",
            linestyle="--" if is_share else "-",
            marker="o",
            markersize=4,
            label=_words(name),
        )
    axes.set_ylabel("objects in an image")
    for side in {id(axes): axes, id(right): right}.values():
        side.set_ylim(bottom=min(0.0, side.get_ylim()[0]))
    if has_shares:
        right.set_ylabel("per cent")
    _legend(axes, right)


def _draw_rates(axes: Axes, rates: Mapping[str, Curve]) -> None:
    sides = [axes, axes.twinx()] if len(rates) > 1 else [axes]
    for number, (side, (name, (steps, values))) in enumerate(zip(sides, rates.items(), strict=True)):
        side.plot(steps, _smooth(values) if number else values, color=f"C{number}", label=name)
        side.set_ylabel(name)
        side.set_ylim(bottom=0)
    _legend(*sides)


def _words(name: str) -> str:
    return re.sub(r"\b(ap\d*|mae|rmse)\b", lambda match: match[0].upper(), name.replace("_", " "))


def _legend(*sides: Axes) -> None:
    """Right of the panel and of its second scale, where no curve runs."""
    first, last = sides[0], sides[-1]
    lines = [line for side in dict.fromkeys(sides) for line in side.lines if not str(line.get_label()).startswith("_")]
    if lines:
        place = 1.09 if last is not first else 1.01
        first.legend(handles=lines, loc="upper left", bbox_to_anchor=(place, 1.02), borderaxespad=0, frameon=False)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Centred moving mean; near the ends, of the values there are."""
    reach = max(int(len(values) * SMOOTHED_PART / 2), min(MIN_REACH, len(values) // 10))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    first, last = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)
