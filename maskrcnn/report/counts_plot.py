"""A plot of how many objects there are, and were so far, over the time of a film."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.report.text import plot_name

MAX_CURVES = 8
"""Classes, the most frequent ones, that have a curve of their own."""
MAX_POINTS = 4000
"""Of a curve; of a longer film every so many-th."""


def plot_counts(
    path: str | Path, times_s: Sequence[float], present: Mapping[str, Sequence[int]], unique: Sequence[int]
) -> None:
    """Write a PNG: above the objects of each class in each frame, below the different ones that were there so far.

    Args:
        times_s: (F,) of the frames.
        present: by class (F,) objects.
        unique: (F,) objects of all classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import
    from matplotlib.figure import Figure

    step = max(1, len(times_s) // MAX_POINTS)
    seconds = np.asarray(times_s, float)[::step]
    figure = Figure((10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    most = sorted(present, key=lambda name: -sum(present[name]))[:MAX_CURVES]
    for name in most:
        above.step(seconds, np.asarray(present[name])[::step], where="post", label=plot_name(name), linewidth=1.2)
    above.set_ylabel("objects in the frame")
    if len(most) > 1:
        above.legend(fontsize="small")
    below.step(seconds, np.asarray(unique)[::step], where="post", color="black", linewidth=1.2)
    below.set_ylabel("different objects so far")
    below.set_xlabel("time (s)")
    for axes in (above, below):
        axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, 1))
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture.getvalue())
