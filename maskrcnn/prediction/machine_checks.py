"""Whether this machine runs the package as it should: the same answer, as fast as the hardware allows.

Each check gives one line; what is wrong comes with what to do about it.
"""

import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

import maskrcnn
from maskrcnn.checkpoints.download import cache_folder
from maskrcnn.checkpoints.weights import weights_path
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.distributed import num_cores
from maskrcnn.prediction.execution import choose_execution, multiplies_bf16
from maskrcnn.prediction.predictor import Predictor, network_batches
from maskrcnn.untrusted.machine_memory import free_bytes, memory_bytes

Verdict = Literal["ok", "note", "wrong"]
SAMPLE_ANSWER = (60, 59.77)
"""Nuclei that the shipped weights find in the sample, and the sum of their scores, in fp32 on a CPU."""
SCORE_TOLERANCE = 0.02
"""Of that sum; other processors and versions of torch move its last digits."""
LEAST_BYTES = 2e9
"""Of free memory; a run on pictures of usual size takes less."""
LEAST_SHARE = 0.15
"""Of what the processor multiplies; below it something is in the way."""
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "pillow", "pycocotools", "pydantic", "tifffile")
NUM_RUNS = 3
MATRIX = 1024
"""Side of those whose product tells what the processor can do."""


@dataclass(frozen=True)
class Check:
    """What was found out about one thing."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do, where it is not ok."""


def checks() -> Iterator[Check]:
    """All of them, one after the other; the last few compute for some seconds."""
    yield from _versions()
    yield from _processor()
    yield _memory()
    yield _cache()
    yield from _extras()
    yield from _answer()


def _versions() -> Iterator[Check]:
    yield Check("maskrcnn", "ok", f"{maskrcnn.__version__}, in {Path(maskrcnn.__file__).parent}")
    yield Check("system", "ok", f"Python {platform.python_version()}, {platform.platform()}, {_processor_name()}")
    yield Check("packages", "ok", ", ".join(f"{name} {_version(name) or 'not there'}" for name in PACKAGES))
    both = [name for name in ("opencv-python", "opencv-contrib-python") if _version(name)]
    if both and _version("opencv-python-headless"):
        yield Check(
            "OpenCV",
            "note",
            f"{both[0]} and opencv-python-headless are both installed, and replace parts of each other",
            f"pip uninstall {both[0]} opencv-python-headless, then install one of them again",
        )


def _processor() -> Iterator[Check]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            memory = f"{about.total_memory / 2**30:.0f} GiB"
            yield Check("GPU", "ok", f"cuda:{index}, {about.name}, {memory}, CUDA {torch.version.cuda}")
    elif Path("/proc/driver/nvidia").exists():
        yield Check(
            "GPU",
            "wrong",
            f"this machine has an NVIDIA driver, but torch {torch.__version__} does not see a GPU",
            "install a build of torch for CUDA: https://pytorch.org/get-started/locally",
        )
    else:
        yield Check("GPU", "ok", "none; everything runs on the CPU")
    threads, cores = torch.get_num_threads(), num_cores()
    found = f"{threads} of {cores} core{'s' * (cores != 1)} are used"
    limit = os.environ.get("OMP_NUM_THREADS")
    if threads < cores:
        why = f"OMP_NUM_THREADS is {limit}" if limit else "something limits the threads of torch"
        yield Check("threads", "note", f"{found}: {why}", f"OMP_NUM_THREADS={cores} uses all")
    elif threads > cores:
        yield Check("threads", "wrong", f"{found}, so they wait for one another", f"OMP_NUM_THREADS={cores}")
    else:
        yield Check("threads", "ok", found)
    able = ", ".join(
        name for name, is_there in (("bf16", multiplies_bf16()), ("int8 (VNNI)", _multiplies_int8())) if is_there
    )
    fast = f"fp32 and {able}; in bf16 it is about twice as fast" if "bf16" in able else f"fp32 {able}".strip()
    yield Check("multiplies", "ok", f"{fast}; vectors of {torch.backends.cpu.get_cpu_capability()}")


def _memory() -> Check:
    total, free = memory_bytes(), free_bytes()
    found = f"{free / 2**30:.1f} GiB free" + (f" of {total / 2**30:.1f}" if total < float("inf") else "")
    if free < LEAST_BYTES:
        return Check("memory", "note", found, "end other programs; a picture of 200 megapixels takes 2 GB")
    return Check("memory", "ok", found)


def _cache() -> Check:
    folder = cache_folder()
    held = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(held, os.W_OK):
        return Check("downloads", "note", f"{folder} cannot be written", "set MASKRCNN_HOME to a folder that can be")
    num = len([path for path in folder.glob("*") if path.is_file()]) if folder.is_dir() else 0
    return Check("downloads", "ok", f"{num} in {folder}")


def _extras() -> Iterator[Check]:
    """Which extras have all of their packages."""
    try:
        required = importlib.metadata.requires("maskrcnn") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("extras", "note", "the package is not installed, it runs from its source folder", "pip install .")
        return
    packages: dict[str, set[str]] = {}
    for line in required:
        extra = re.search(r"""extra == ["']([\w-]+)["']""", line)
        name = re.match(r"[\w.-]+", line)
        if extra and name and name[0] != "maskrcnn":
            packages.setdefault(extra[1], set()).add(name[0])
    there = [extra for extra, names in packages.items() if all(map(_version, names))]
    missing = [extra for extra in packages if extra not in there]
    found = f"there: {', '.join(there) or 'none'}; not there: {', '.join(missing) or 'none'}"
    yield Check("extras", "ok", f"{found} (pip install 'maskrcnn[NAME]')")


def _answer() -> Iterator[Check]:
    """The shipped weights on the sample, and how fast they are."""
    try:
        path = weights_path()
        predictor = Predictor(path, device="cpu", precision="fp32")
    except (OSError, ValueError) as error:
        yield Check("answer", "wrong", f"the shipped weights cannot be loaded: {error}", "install the package again")
        return
    image, _ = draw_sample()
    found = predictor(image)
    num, total = len(found), found.scores.sum().item()
    words = f"{num} nuclei in the sample, scores of {total:.2f} in all"
    if num == SAMPLE_ANSWER[0] and abs(total - SAMPLE_ANSWER[1]) <= SCORE_TOLERANCE:
        yield Check("answer", "ok", f"{words}, as stored")
    else:
        expected = f"expected {SAMPLE_ANSWER[0]} and {SAMPLE_ANSWER[1]:.2f}"
        yield Check(
            "answer",
            "wrong",
            f"{words}; {expected}",
            "report it with all of these lines: this processor or this torch computes something else",
        )
    yield _speed(predictor, image)


def _speed(predictor: Predictor, image: object) -> Check:
    """Against what the same device multiplies in the same precision: the roofline (Williams et al. 2009)."""
    execution = choose_execution("auto", "auto")
    if execution.device.type != "cpu":
        predictor = Predictor(weights_path(), device=execution.device, precision=execution.precision)
    with torch.inference_mode():
        ((_, inputs),) = network_batches(predictor.model, [image])  # pyright: ignore[reportArgumentType]
        counter = FlopCounterMode(display=False)
        with counter:
            predictor.model.detect(inputs)
        seconds = _seconds(lambda: predictor.model.detect(inputs), predictor.device)
        dtype = next(predictor.model.parameters()).dtype
        one = torch.rand(MATRIX, MATRIX, device=predictor.device).to(dtype)
        product = _seconds(lambda: one @ one, predictor.device)
    rate, limit = counter.get_total_flops() / seconds, 2 * MATRIX**3 / product
    share = rate / limit
    found = (
        f"{1 / seconds:.2g} pictures of 512 x 512 px in a second on {execution.description}: {rate / 1e9:.3g} "
        f"GFLOP/s of {limit / 1e9:.3g} in a product of matrices ({share:.0%})"
    )
    if share < LEAST_SHARE and predictor.device.type == "cpu":
        return Check("speed", "note", found, "see whether other programs use the cores, or a container limits them")
    return Check("speed", "ok", found)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """The fastest of a few runs, after one to warm up."""
    times = []
    for _ in range(NUM_RUNS + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor_name() -> str:
    if sys.platform == "linux":
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _multiplies_int8() -> bool:
    check = getattr(torch.cpu, "_is_vnni_supported", None)
    return check is not None and check()
