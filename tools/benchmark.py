"""Compare this package with others on the same images and weights: time by part, memory, distance from the roofline.

The packages ("peers") take turns, each in a process of its own. Images and random weights are made here, so nothing is
downloaded. Peers: torchvision, and ONNX Runtime, OpenVINO and detectron2 if they are installed, running the same
network. Their results are compared; the exit status is 1 if they differ or a peer fails.
"""

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.chart import save_chart
from benchmarks.folder import folder
from benchmarks.measuring import measuring
from benchmarks.mosaic import SLIDE_PX, mosaics
from benchmarks.pasting import drawing, large_masks, masks
from benchmarks.peers import CPU_ONLY, CUDA_ONLY, PEERS, with_kept
from benchmarks.processes import use_threads
from benchmarks.report_page import report_page
from benchmarks.rounds import Measured, measure
from benchmarks.seams import seams
from benchmarks.slides import slides
from benchmarks.table import machine, report
from benchmarks.workloads import WORKLOADS

TASKS = ("masks", "masks-large", "drawing", "measuring", "folder", "seams", "slides", "mosaic", "report")
ON_REQUEST = ("seams", "slides", "mosaic", "report")
"""Not among the defaults: they need annotations, much time, or a browser."""
TRIALS = ("tiny", "tiny-masks", "tiny-folder")
"""To see whether the tool works; not among the defaults."""


def main() -> int:
    """Run the command."""
    everything = [name for name in (*WORKLOADS, *TASKS) if name not in (*TRIALS, *ON_REQUEST)]
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: %(prog)s --workloads r50 masks --out figures"
    )
    add = parser.add_argument
    names = [*everything, *ON_REQUEST, *TRIALS]
    add(
        "--workloads",
        nargs="+",
        choices=names,
        default=everything,
        metavar="NAME",
        help=f"one or more of {', '.join(names)} (default: all but the tiny ones and {', '.join(ON_REQUEST)})",
    )
    add(
        "--peers",
        nargs="+",
        choices=PEERS,
        metavar="NAME",
        help=f"one or more of {', '.join(PEERS)} (default: all that run on the device)",
    )
    add(
        "--keep-memory",
        action="store_true",
        help="run every peer twice: as it is, and in a process that keeps freed memory, as `maskrcnn infer` does",
    )
    add("--image", type=Path, help="image to use instead of the synthetic ones, resized for each workload")
    add("--annotations", type=Path, metavar="FILE", help="annotations of the objects and images of seams and mosaic")
    add("--images", type=Path, metavar="DIR", help="the images that mosaic lays side by side")
    add(
        "--mosaic-size",
        type=int,
        nargs=2,
        default=SLIDE_PX,
        metavar=("HEIGHT", "WIDTH"),
        help="of the slide of mosaic, px; more than 20 megapixels (default: 9000 12000)",
    )
    add("--threads", type=int, default=2, help="CPU threads of each peer (default: %(default)s)")
    add("--rounds", type=int, default=3, help="timed passes of each peer, after one warm-up (default: %(default)s)")
    add("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    add("--batch", type=int, default=1, help="images per pass (default: %(default)s)")
    add("--out", type=Path, metavar="DIR", help="also write benchmark.md and benchmark.png there")
    args = parser.parse_args()
    if min(args.rounds, args.threads, args.batch) < 1:
        parser.error("--rounds, --threads and --batch: expected at least 1")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: this machine has no CUDA device")
    if "seams" in args.workloads and args.annotations is None:
        parser.error("--workloads seams: needs --annotations")
    if "mosaic" in args.workloads and None in (args.annotations, args.images):
        parser.error("--workloads mosaic: needs --annotations and --images")
    use_threads(args.threads)
    peers = args.peers or [
        peer for peer in PEERS if not peer.startswith(CPU_ONLY if args.device != "cpu" else CUDA_ONLY)
    ]
    peers = with_kept(peers) if args.keep_memory else peers
    texts, all_measured, problems = [], list[Measured](), list[str]()

    def tell(text: str) -> None:
        texts.append(text)
        print(text, flush=True)

    tell(f"{machine(args.threads, args.device)}\n")
    for name in args.workloads:
        if name in WORKLOADS:
            measured = measure(WORKLOADS[name], peers, args.image, args.rounds, args.threads, args.device, args.batch)
            all_measured.append(measured)
            problems += measured.problems
            tell(report(measured, args.rounds))
        else:
            lines, worries = _task(name, args)
            problems += worries
            tell("\n".join([*lines, *(f"- **{worry}**" for worry in worries)]))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "benchmark.md").write_text("\n".join(texts), encoding="utf-8")
        save_chart(args.out / "benchmark.png", all_measured)
        print(f"written: {args.out / 'benchmark.md'}" + f", {args.out / 'benchmark.png'}" * bool(all_measured))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _task(name: str, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The lines of a workload that is not a picture through networks, and its problems."""
    if name == "measuring":
        return measuring()
    if name == "masks-large":
        return large_masks(args.threads), []
    if name == "drawing":
        return drawing(args.rounds, args.threads), []
    if name == "seams":
        return seams(args.annotations)
    if name == "mosaic":
        return mosaics(args.annotations, args.images, (args.mosaic_size[0], args.mosaic_size[1]))
    if name == "slides":
        return slides()
    if name == "report":
        return report_page()
    if name in ("folder", "tiny-folder"):
        return folder(args.threads, args.device, is_small=name == "tiny-folder"), []
    return masks(args.rounds, args.threads, is_small=name == "tiny-masks")


if __name__ == "__main__":
    sys.exit(main())
