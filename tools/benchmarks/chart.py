"""The split of each peer's time as bars, one picture for all workloads."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import TOTAL
from benchmarks.rounds import Measured
from benchmarks.table import COLUMNS, columns_of

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLORS = ("#999999", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#CC79A7", "#009E73")
BAR_INCHES = 0.36


def save_chart(path: Path, all_measured: Sequence[Measured]) -> None:
    """Write a PNG: for each workload a bar for each peer, its parts end to end; a line where the roofline lies."""
    from matplotlib.figure import Figure  # slow, and the peers' processes import this module too

    shown = [measured for measured in all_measured if measured.passes]
    if not shown:
        return
    heights = [BAR_INCHES * len(measured.passes) + 0.9 for measured in shown]
    figure = Figure(figsize=(10, sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(shown), 1, height_ratios=heights, squeeze=False)
    for axis, measured in zip(axes[:, 0], shown, strict=True):
        _draw(axis, measured)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=120)


def _draw(axis: Any, measured: Measured) -> None:
    peers = list(measured.passes)
    columns = [columns_of(measured.passes[peer]) for peer in peers]
    starts = [0.0] * len(peers)
    for column, color in zip(COLUMNS, COLORS, strict=True):
        lengths = [statistics.median(values[column]) for values in columns]
        axis.barh(peers, lengths, left=starts, color=color, label=column)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    base = statistics.median(columns[peers.index(measured.reference)][TOTAL])
    for i, values in enumerate(columns):
        before = sum(statistics.median(values[column]) for column in COLUMNS[: COLUMNS.index("network")])
        total = statistics.median(values[TOTAL])
        axis.text(starts[i], i, f" {total:.2f} s  ({base / total:.2f}x)", va="center", fontsize=9)
        least = measured.least_network_s(peers[i])
        if least:
            axis.plot([before + least] * 2, [i - 0.42, i + 0.42], color="black", lw=1.5)
    note = "; black: where the network could end, by the roofline" if measured.flops else ""
    axis.set_xlim(0, 1.2 * max(starts))
    axis.invert_yaxis()
    axis.set_title(f"{measured.workload.name}: {measured.workload.title}", fontsize=10, loc="left")
    axis.set_xlabel(f"s of an image; beside the bar: {TOTAL}, without drawing{note}")
    axis.spines[["top", "right"]].set_visible(False)
