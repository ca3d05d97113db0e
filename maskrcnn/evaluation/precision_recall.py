"""Plots of precision against recall (K classes)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn.evaluation.average_precision import AveragePrecision
from maskrcnn.report.text import plot_name

MAX_CLASSES = 7
"""With the three means as many curves can be told apart by their colours; of more classes only the mean is drawn."""
CLASS_KIND = "mask"
"""What is compared in the curves of single classes."""
RECALLS = np.linspace(0, 1, 101)


def plot_precision_recall(
    kinds: dict[str, AveragePrecision], class_names: Sequence[str], used: tuple[float, float] | None = None
) -> Figure:
    """Curves at IoU 0.50 and 0.75: the mean over classes of each of `kinds`, by name, and of masks each class.

    `used` is the recall and the precision at the score threshold in use and an IoU of 0.50, if they are to be marked.
    """
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for position, (axes, iou) in enumerate(zip(panels, ("0.50", "0.75"), strict=True)):
        curves = {name: (ap.curves50, ap.curves75)[position] for name, ap in kinds.items()}
        for name, of_classes in curves.items():
            present = [curve for curve in of_classes if curve is not None]
            if present:
                axes.plot(RECALLS, np.mean(present, axis=0), linewidth=2, label=f"{name}{_mean_of(present)}")
        if len(class_names) > 1 and CLASS_KIND in curves:
            _plot_classes(axes, curves[CLASS_KIND], class_names)
        if position == 0 and used is not None:
            axes.plot(*used, "o", color="black", label="masks at the score threshold in use")
        axes.set_title(f"IoU {iou}")
        axes.set_xlabel("recall: part of the objects that is found")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("precision: part of the predictions that is right")
    if panels[0].lines:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return figure


def _mean_of(present: Sequence[object]) -> str:
    return f", mean of {len(present)} classes" if len(present) > 1 else ""


def _plot_classes(axes: Axes, curves: Sequence[tuple[float, ...] | None], class_names: Sequence[str]) -> None:
    drawn = [(name, curve) for name, curve in zip(class_names, curves, strict=True) if curve is not None]
    if len(drawn) > MAX_CLASSES:
        return
    for name, curve in drawn:
        axes.plot(RECALLS, curve, linewidth=1, linestyle="--", label=f"{plot_name(name)}, {CLASS_KIND}")
