"""Peers in turn over one workload, each in a process of its own."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import detectron2_peer, exported, ours, theirs
from benchmarks.agreement import Agreement, compare
from benchmarks.peers import CPU_ONLY, Found, Job, Pass, Run, package_of, reason_to_skip, time_passes
from benchmarks.processes import Worker, WorkFailedError
from benchmarks.roofline import count_flops, measure_throughput
from benchmarks.weights import prepare
from benchmarks.workloads import Workload
from maskrcnn.checkpoints.weights import load_weights

BUILDERS: dict[str, Callable[[Job], Run]] = {
    "ours": ours.build,
    "torchvision": theirs.build,
    "onnxruntime": exported.build,
    "openvino": exported.build,
    "detectron2": detectron2_peer.build,
}
REFERENCE = "torchvision-fp32"
"""Whose results and time the others are compared with; the first peer where it takes no part."""


@dataclass
class Measured:
    """What was seen of one workload."""

    workload: Workload
    batch: int
    reference: str = ""
    passes: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Of each peer the `Pass.seconds` of each round."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Bytes of each peer's process."""
    agreements: dict[str, Agreement] = field(default_factory=dict)
    throughputs: dict[str, dict[str, float]] = field(default_factory=dict)
    """FLOP/s of each kind of matrix product in each precision, the best round's."""
    shapes: dict[str, int] = field(default_factory=dict)
    """See `Pass.shapes`."""
    flops: dict[str, int] = field(default_factory=dict)
    """Of each part of the network; empty where ours took no part."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Peers that did not take part, and why."""
    problems: list[str] = field(default_factory=list)
    """What went wrong: failures, and results that differ."""

    def least_network_s(self, peer: str) -> float | None:
        """The network's multiplications at the speed of the fastest product in the precision of `peer`."""
        speeds = self.throughputs.get(peer.rpartition("-")[2])
        return sum(self.flops.values()) / max(speeds.values()) if self.flops and speeds else None


def measure(
    workload: Workload, peers: Sequence[str], image: Path | None, rounds: int, threads: int, device: str, batch: int
) -> Measured:
    """`rounds` passes of each peer in turn, after one of each that is not timed."""
    measured = Measured(workload, batch)
    for peer in peers:
        reason = reason_to_skip(peer, workload, device, batch)
        if reason:
            measured.skipped[peer] = reason
    taking_part = [peer for peer in peers if peer not in measured.skipped]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        jobs = {peer: Job(peer, workload, Path(folder), threads, device, batch) for peer in taking_part}
        if not jobs:
            return measured
        is_exported = any(peer.startswith(CPU_ONLY) for peer in jobs)
        prepare(next(iter(jobs.values())), image, is_exported)
        workers: dict[str, Worker] = {}
        found: dict[str, Found] = {}
        for peer, job in jobs.items():
            try:
                worker = Worker(threads, time_passes, BUILDERS[package_of(peer)], job)
                workers[peer] = stack.enter_context(worker)
                first: Pass = worker()
            except WorkFailedError as error:
                measured.problems.append(f"{peer} failed: {error}")
                workers.pop(peer, None)
                continue
            found[peer] = first.found
            if first.shapes and not measured.flops:
                settings = load_weights(job.weights if workload.body else "nuclei", preset=_preset(workload)).settings
                measured.shapes = first.shapes
                measured.flops = count_flops(settings, **first.shapes)
        precisions = dict.fromkeys(jobs[peer].precision for peer in workers)
        matrices = {precision: measure_throughput(device, precision) for precision in precisions}
        measured.passes = {peer: [] for peer in workers}
        for _ in range(rounds):  # in turn, since the speed of a shared machine drifts
            for peer, worker in workers.items():
                measured.passes[peer].append(worker().seconds)
            for precision, flops_per_s in matrices.items():
                best = measured.throughputs.setdefault(precision, {})
                best.update({name: max(speed, best.get(name, 0.0)) for name, speed in flops_per_s().items()})
        measured.peaks = {peer: worker.peak_bytes for peer, worker in workers.items()}
    _compare(measured, found)
    return measured


def _preset(workload: Workload) -> str | None:
    return "torchvision_own" if workload.body else None


def _compare(measured: Measured, found: dict[str, Found]) -> None:
    if not found:
        return
    measured.reference = REFERENCE if REFERENCE in found else next(iter(found))
    reference = found[measured.reference]
    if len(reference.boxes) != measured.workload.detections:
        measured.problems.append(
            f"{measured.workload.name}: {measured.reference} found {len(reference.boxes)} objects in place of "
            f"{measured.workload.detections}; another image (--image) has more or fewer"
        )
    for peer, one in found.items():
        if peer == measured.reference:
            continue
        agreement = measured.agreements[peer] = compare(one, reference)
        same_precision = peer.rpartition("-")[2] == measured.reference.rpartition("-")[2]
        if same_precision and not agreement.is_equal:
            measured.problems.append(f"{peer} DIFFERS from {measured.reference}: {agreement}")
