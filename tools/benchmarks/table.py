"""The tables of one workload as Markdown, and a picture of all."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.peers import DECODE, DRAWING, MASKS, NETWORK, POST, PREPROCESS, RLE, TOTAL
from benchmarks.rounds import Measured

COLUMNS = (DECODE, PREPROCESS, "network", POST, MASKS, RLE, DRAWING)
PACKAGES = ("torch", "torchvision", "numpy", "pycocotools", "onnxruntime", "openvino", "detectron2")
Values = dict[str, list[float]]
"""Seconds of each column, or part, in each round."""


def machine(threads: int, device: str) -> str:
    """Processor, threads and versions, in one line."""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    gpu = f", {torch.cuda.get_device_name(device)} (whose memory is meant)" if device.startswith("cuda") else ""
    return f"{_processor()}{gpu}, {threads} threads of {os.cpu_count()}; {', '.join(versions)}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def report(measured: Measured, rounds: int) -> str:
    """Everything about one workload."""
    workload, batch = measured.workload, f", batch {measured.batch}" if measured.batch > 1 else ""
    lines = [f"## {workload.name}: {workload.title}{batch}", ""]
    columns = {peer: columns_of(passes) for peer, passes in measured.passes.items()}
    if columns and rounds:
        lines += [f"ms of an image, median of {rounds} (least..most)", "", *_main_table(measured, columns), ""]
        lines += ["Within the network, ms:", "", *_network_table(measured), ""]
        lines += [*_roofline(measured), ""]
    for peer, agreement in measured.agreements.items():
        lines.append(f"- {peer} against {measured.reference}: {agreement}")
    if workload.body and any(not peer.endswith("fp32") for peer in measured.agreements):
        lines.append("- (random weights magnify rounding, so in half precision all peers find partly other objects)")
    lines += [f"- {peer}: {reason}" for peer, reason in measured.skipped.items()]
    lines += [f"- **{problem}**" for problem in measured.problems]
    return "\n".join([*lines, ""])


def columns_of(passes: Sequence[dict[str, float]]) -> Values:
    """The parts of each round gathered under the columns of the main table."""
    names = {part: "network" for part in NETWORK}
    values: Values = {column: [0.0] * len(passes) for column in (TOTAL, *COLUMNS)}
    for i, seconds in enumerate(passes):
        for part, s in seconds.items():
            values[names.get(part, part)][i] += s
    return values


def _times(base: Sequence[float], seconds: Sequence[float]) -> float:
    """How many times as fast: the median over the rounds, for the speed of a shared machine drifts between them."""
    return statistics.median(b / s for b, s in zip(base, seconds, strict=True))


def _main_table(measured: Measured, columns: dict[str, Values]) -> list[str]:
    base, network_base = (columns[measured.reference][column] for column in (TOTAL, "network"))
    rows = []
    for peer, values in columns.items():
        network = statistics.median(values["network"])
        rows.append(
            [
                peer,
                spread(values[TOTAL]),
                f"{_times(base, values[TOTAL]):.2f}x",
                *(ms(values[column]) for column in COLUMNS),
                f"{_times(network_base, values['network']):.2f}x",
                _over_roofline(measured, peer, network),
                f"{measured.peaks[peer] / 1e9:.2f} GB",
            ]
        )
    head = ["", TOTAL, "faster", *COLUMNS, "network faster", "network / roofline", "peak memory"]
    return markdown(head, rows)


def _over_roofline(measured: Measured, peer: str, network_s: float) -> str:
    least = measured.least_network_s(peer)
    return f"{network_s / least:.2f}" if least else "-"


def _network_table(measured: Measured) -> list[str]:
    rows = [
        [peer, *(ms([seconds.get(part, 0.0) for seconds in passes]) for part in NETWORK)]
        for peer, passes in measured.passes.items()
    ]
    return markdown(["", *NETWORK], rows)


def _roofline(measured: Measured) -> list[str]:
    if not measured.flops:
        return ["roofline: not known, as it takes the shapes of ours"]
    total = sum(measured.flops.values())
    parts = ", ".join(f"{name} {count / 1e9:.1f}" for name, count in measured.flops.items())
    shapes = "input {height} x {width}, {regions} regions, {masks} masks".format(**measured.shapes)
    lines = [f"roofline: {total / 1e9:.1f} GFLOP ({parts}); {shapes}"]
    for precision, speeds in measured.throughputs.items():
        reached = ", ".join(f"{name} {speed / 1e9:.0f} GFLOP/s" for name, speed in speeds.items())
        least = 1e3 * total / max(speeds.values())
        lines.append(f"- in {precision} {reached}: at the faster of these the network takes {least:.0f} ms")
    return lines


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns are also aligned as plain text: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *rest])} |"

    rule = [f"{'-' * (width - 1)}{':' if i else '-'}" for i, width in enumerate(widths)]
    return [line(head), line(rule), *(line(row) for row in rows)]


def ms(seconds: Sequence[float]) -> str:
    """Median in ms."""
    value = 1e3 * statistics.median(seconds)
    return "-" if value == 0 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(seconds: Sequence[float]) -> str:
    """Median and range in ms."""
    return f"{ms(seconds)} ({ms([min(seconds)])}..{ms([max(seconds)])})"
