"""Plots of predicted against true counts, and of the count error against the score threshold (I images)."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from maskrcnn.evaluation.scores import ThresholdSweep
from maskrcnn.report.text import plot_name

MAX_COLORS = 10
LINEAR_UP_TO = 100
"""Counts beyond this are drawn on a logarithmic scale, so that small ones can still be seen."""

SHOWN_ERRORS = 6
"""Errors of up to this many times the lowest are drawn: those of far too low a threshold would flatten the rest."""


def plot_counts(
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]], sweep: ThresholdSweep, num_images: int, score_threshold: float
) -> Figure:
    """On the left predicted against true numbers, on the right what the errors would be at each score threshold.

    `counts` are by name of a group of images or of a class: true and predicted numbers (I,). Beyond `MAX_COLORS` names
    are not told apart.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _scatter(left, counts)
    _errors(right, sweep, num_images, score_threshold)
    return figure


def _scatter(axes: Axes, counts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    if len(counts) > MAX_COLORS:
        true, predicted = (np.concatenate([pair[side] for pair in counts.values()]) for side in (0, 1))
        counts = {"": (true, predicted)}
    largest = max((int(numbers.max(initial=1)) for pair in counts.values() for numbers in pair), default=1)
    limits = (-0.5, 1.15 * largest + 0.5)
    axes.plot(limits, limits, color="gray", linewidth=1, zorder=1)
    for name, (true, predicted) in counts.items():
        axes.scatter(true, predicted, 22, alpha=0.6, label=plot_name(name), zorder=2)
    if largest > LINEAR_UP_TO:
        axes.set_xscale("symlog", linthresh=10)
        axes.set_yscale("symlog", linthresh=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    axes.set_xlabel("true number")
    axes.set_ylabel("predicted number")
    axes.grid(alpha=0.3)
    if len(counts) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=3, fontsize="small")


def _errors(axes: Axes, sweep: ThresholdSweep, num_images: int, score_threshold: float) -> None:
    thresholds = [row.score_threshold for row in sweep.rows]
    biases = [(row.total_predicted - row.total_true) / max(num_images, 1) for row in sweep.rows]
    best = sweep.best_count
    axes.plot(thresholds, [row.mae for row in sweep.rows], color="C0", label="mean absolute error")
    axes.plot(thresholds, biases, color="C1", label="bias: predicted - true")
    axes.axhline(0, color="gray", linewidth=1)
    axes.axvline(score_threshold, color="black", linestyle="--", linewidth=1, label=f"in use: {score_threshold:g}")
    axes.axvline(
        best.score_threshold,
        color="C2",
        linestyle="--",
        linewidth=1.5,
        label=f"lowest error, {best.mae:.2f}: {best.score_threshold:g}",
    )
    axes.set_xlabel("score threshold")
    axes.set_ylabel("objects in an image")
    limit = min(SHOWN_ERRORS * best.mae, 1.1 * max(row.mae for row in sweep.rows))
    if limit > 0:
        axes.set_ylim(-limit, limit)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=2, fontsize="small")
