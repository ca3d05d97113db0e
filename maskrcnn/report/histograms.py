"""A picture of how measurements of objects are distributed: a histogram for each, the classes beside one another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskrcnn.report.measure import Measurements
from maskrcnn.report.text import plot_name
from maskrcnn.report.written import write_drawing

PLOTTED = {
    "area_px": "area (px)",
    "area_um2": "area (µm²)",
    "equivalent_diameter_px": "diameter of the circle of that area (px)",
    "circularity": "circularity",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "score": "score",
}
"""Columns that have a histogram, in this order, and what is written below them; then every mean intensity."""
MAX_INTENSITIES = 6
"""Channels whose intensities have one."""
MAX_CLASSES = 6
"""Classes with an outline of their own, the most frequent; the others are one."""
BINS = 40
RANGE = (0.5, 99.5)
"""Percentiles that an axis goes from and to: a few giants would leave one bar for all others."""
COLUMNS, WIDTH_IN, HEIGHT_IN, DPI = 3, 4.0, 2.8, 100


def plot_histograms(
    path: str | Path, table: Measurements | Mapping[str, np.ndarray], classes: Sequence[str] | None = None
) -> None:
    """Write the picture of a table of `measure` as PNG.

    Args:
        table: by name of the column, (N,) each; NaN is left out.
        classes: of each object; None takes the column `class`.
    """
    write_drawing(path, draw_histograms(table, classes))


def draw_histograms(table: Measurements | Mapping[str, np.ndarray], classes: Sequence[str] | None = None) -> np.ndarray:
    """RGB uint8 (H, W, 3). Arguments are those of `plot_histograms`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second
    from matplotlib.figure import Figure

    columns = table.columns if isinstance(table, Measurements) else table
    owner = np.asarray(columns["class"] if classes is None else classes, object)
    intensities = [name for name in columns if name.startswith("mean_intensity")][:MAX_INTENSITIES]
    shown = {name: words for name, words in PLOTTED.items() if name in columns}
    shown |= {
        name: name.replace("_intensity", " intensity").replace("intensity_", "intensity, ") for name in intensities
    }
    groups = _groups(owner)
    rows = max(1, -(-len(shown) // COLUMNS))
    figure = Figure((COLUMNS * WIDTH_IN, rows * HEIGHT_IN), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for i, (name, words) in enumerate(shown.items()):
        axes = figure.add_subplot(rows, COLUMNS, i + 1)
        values = np.asarray(columns[name], np.float64)
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, RANGE) if len(known) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, min(BINS, max(5, round(len(known) ** 0.5))) + 1)
        for label, is_in in groups.items():
            own = values[is_in & np.isfinite(values)]
            axes.stairs(
                np.histogram(own.clip(edges[0], edges[-1]), edges)[0], edges, fill=len(groups) == 1, label=label
            )
        if len(known):
            axes.axvline(float(np.median(known)), color="0.3", linewidth=1, linestyle="--")
            axes.set_title(f"median {np.median(known):.3g}", fontsize=8)
        axes.set_xlabel(plot_name(words, 60), fontsize=9)
        axes.tick_params(labelsize=8)
    if figure.axes and groups:
        figure.axes[0].set_ylabel("objects", fontsize=9)
        figure.axes[0].legend(fontsize=8)
    figure.suptitle(f"{len(owner):,} objects", fontsize=10)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _groups(owner: np.ndarray) -> dict[str, np.ndarray]:
    """Which objects are of each class, bool (N,), the most frequent first."""
    names = [name for name, _ in Counter(owner.tolist()).most_common()]
    groups = {plot_name(f"{name}: {int((owner == name).sum())}"): owner == name for name in names[:MAX_CLASSES]}
    others = names[MAX_CLASSES:]
    if others:
        is_other = np.isin(owner.astype(str), [str(name) for name in others])
        groups[f"{len(others)} other classes: {int(is_other.sum())}"] = is_other
    return groups
