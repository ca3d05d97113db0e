"""The benchmark as a tool: its numbers where they can be known, and one small run of it. Nothing is timed."""

import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

from maskrcnn.data.reading import load_annotations
from maskrcnn.structures.rle import encode_window
from tests.coco_files import VAL_SCENES, write_coco
from tests.tiny import tiny_settings

TOOLS = Path(__file__).parents[1] / "tools"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Modules as `python tools/benchmark.py` sees them, which finds them beside itself."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module


class InThisProcess:
    """In the place of a worker: starting processes would take most of the time."""

    peak_bytes = 10**9

    def __init__(self, threads: int, build: Callable[..., Callable[[], Any]], *args: Any) -> None:
        self.run = build(*args)

    def __call__(self) -> Any:
        return self.run()

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_small_run_prints_the_ratio_and_that_the_results_agree(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    benchmark, roofline = load("benchmark"), load("benchmarks.roofline")
    monkeypatch.setattr(benchmark, "use_threads", lambda threads: None)  # for the tests that follow
    monkeypatch.setattr(load("benchmarks.rounds"), "Worker", InThisProcess)
    monkeypatch.setattr(roofline, "SIDES", {"cpu": (32,)})
    monkeypatch.setattr(roofline, "CONV_MAPS", (1, 4, 8, 8))
    run = "--workloads tiny --peers torchvision-fp32 ours-fp32 --rounds 1 --out"
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *run.split(), str(tmp_path)])
    assert benchmark.main() == 0
    text = capsys.readouterr().out
    (ours,) = (line for line in text.splitlines() if line.startswith("| ours-fp32") and "GB" in line)
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells[2].endswith("x")
    assert float(cells[2][:-1]) > 0
    assert cells[-1] == "1.00 GB"
    assert "ours-fp32 against torchvision-fp32: 10 of 10 detections, 10 boxes within" in text
    assert "input 96 x 128" in text
    assert "| ours-fp32" in (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert (tmp_path / "benchmark.png").stat().st_size > 1000


def test_how_much_faster_is_the_median_of_the_rounds(load: Load):
    # The machine is slow in the second round: 2, 2 and 4 times as fast, where the medians alone would say 20 / 5 = 4.
    assert load("benchmarks.table")._times([10.0, 200.0, 20.0], [5.0, 100.0, 5.0]) == 2.0


def test_every_peer_also_with_kept_memory(load: Load, monkeypatch: pytest.MonkeyPatch):
    peers, kept = load("benchmarks.peers"), list[str]()
    names = peers.with_kept(["torchvision-fp32", "ours-bf16"])
    assert names == ["torchvision-fp32", "torchvision-kept-fp32", "ours-bf16", "ours-kept-bf16"]
    assert [peers.package_of(name) for name in names] == ["torchvision", "torchvision", "ours", "ours"]
    monkeypatch.setattr(peers, "keep_freed_memory", lambda: kept.append("now") or True)
    for name in names:
        job = peers.Job(name, load("benchmarks.workloads").WORKLOADS["tiny"], TOOLS, 1, "cpu", 1)
        assert job.precision == name[-4:]
        peers.time_passes(lambda job: kept.append(job.peer), job)
    assert kept == ["torchvision-fp32", "now", "torchvision-kept-fp32", "ours-bf16", "now", "ours-kept-bf16"]


@pytest.mark.parametrize("wrong", [["--workloads", "unknown"], ["--rounds", "0"], ["--peers", "me"]])
def test_what_is_not_known_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch, wrong: list[str]):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *wrong])
    with pytest.raises(SystemExit, match="2"):
        load("benchmark").main()


def test_multiplications_are_counted_as_on_paper(load: Load):
    # 32 channels, 2 classes, 7 x 7 to 64 to 64 for the box head, two convolutions at 14 x 14 for the mask head. At 64 x
    # 64 px the levels have 16, 8, 4, 2 and 1 cells a side, each with 3 anchors. A multiplication and addition are two.
    flops = load("benchmarks.roofline").count_flops(tiny_settings(), height=64, width=64, regions=5, masks=3)
    cells = 16**2 + 8**2 + 4**2 + 2**2 + 1
    assert flops["RPN head"] == 2 * cells * (9 * 32 * 32 + 32 * 3 + 32 * 12)
    assert flops["box head"] == 2 * 5 * (32 * 49 * 64 + 64 * 64 + 64 * 3 + 64 * 8)
    assert flops["mask head"] == 2 * 3 * (2 * 9 * 32 * 32 * 14**2 + 4 * 32 * 32 * 14**2 + 32 * 2 * 28**2)
    assert list(flops) == ["body", "FPN", "RPN head", "box head", "mask head"]


def test_a_part_is_without_what_is_inside_it(load: Load, monkeypatch: pytest.MonkeyPatch):
    stopwatch = load("benchmarks.stopwatch")
    clock = iter([0.0, 1.0, 4.0, 10.0])  # outer from 0 to 10, inner from 1 to 4
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = stopwatch.Stopwatch(torch.device("cpu"))

    class Owner:
        def inner(self) -> str:
            return "called"

    owner = Owner()
    with watch.watching({"inner": [(owner, "inner")]}), watch.part("outer"):
        assert owner.inner() == "called"
    assert watch.seconds == {"inner": 3.0, "outer": 7.0}
    assert owner.inner() == "called"  # not timed any more
    with pytest.raises(AttributeError, match="gone"), watch.watching({"inner": [(owner, "gone")]}):
        pass


def found(load: Load, shift: float = 0.0, label: int = 0, num: int = 2) -> Any:
    boxes = np.array([[10, 10, 30, 40], [50, 20, 90, 60]], np.float32)[:num]
    rles = [encode_window(np.ones((20, 20), bool), x, 10, (100, 100)) for x in (10, 50)][:num]
    return load("benchmarks.peers").Found(boxes + np.float32(shift), np.array([0, label])[:num], rles)


def test_results_agree_or_the_report_says_that_they_differ(load: Load):
    agreement, rounds = load("benchmarks.agreement"), load("benchmarks.rounds")
    reference = found(load)
    assert agreement.compare(found(load, shift=0.01), reference).is_equal  # sides of 30 and 40 px: up to 0.03 and 0.04
    moved = agreement.compare(found(load, shift=0.035), reference)
    assert (moved.close, moved.same, moved.mask_iou) == (1, 2, 1.0)
    for other in (found(load, shift=0.035), found(load, label=1), found(load, num=1), found(load, num=0)):
        assert not agreement.compare(other, reference).is_equal
        measured = rounds.Measured(rounds.Workload("a", "resnet18", (100, 100), 2), batch=1)
        rounds._compare(measured, {"torchvision-fp32": reference, "ours-fp32": other, "ours-bf16": other})
        (problem,) = measured.problems  # half precision may differ
        assert problem.startswith("ours-fp32 DIFFERS from torchvision-fp32")
    assert agreement.compare(found(load, num=0), found(load, num=0)).is_equal


def test_dense_pasting_and_ours_give_the_same_codes(load: Load):
    pasting = load("benchmarks.pasting")
    instances = pasting.make_instances((90, 120), 12)
    codes = {way: [as_text(rle) for rle in paste(instances)] for way, paste in pasting.WAYS.items()}
    exact, dense_exact, expanded, dense_expanded = codes.values()
    assert exact == dense_exact
    assert expanded == dense_expanded
    assert exact != expanded


def as_text(rle: dict[str, Any]) -> str:
    return rle["counts"].decode() if isinstance(rle["counts"], bytes) else rle["counts"]


def test_a_process_of_its_own_gives_results_memory_and_its_error(load: Load):
    processes = load("benchmarks.processes")
    with processes.Worker(1, processes._call, next, (iter([7]),)) as worker:
        assert worker() == 7
        assert worker.peak_bytes > 2**20
        with pytest.raises(processes.WorkFailedError, match="StopIteration"):
            worker()


def test_who_cannot_take_part_is_told_why(load: Load, monkeypatch: pytest.MonkeyPatch):
    peers, workloads = load("benchmarks.peers"), load("benchmarks.workloads").WORKLOADS
    monkeypatch.setattr(peers, "find_spec", lambda name: name if name == "torchvision" else None)
    assert peers.reason_to_skip("ours-fp32", workloads["nuclei"], "cpu", 8) == ""
    assert peers.reason_to_skip("torchvision-fp32", workloads["r50"], "cuda", 8) == ""
    for peer, workload, device, batch, reason in (
        ("torchvision-fp32", "nuclei", "cpu", 1, "conventions"),
        ("openvino-fp32", "r50", "cuda", 1, "CPU only"),
        ("ours-fp16", "r50", "cpu", 1, "CUDA only"),
        ("onnxruntime-fp32", "r50", "cpu", 2, "one image at a time"),
        ("openvino-bf16", "r50", "cpu", 1, "not installed (pip install onnx openvino)"),
        ("detectron2-fp32", "r50", "cpu", 1, "not installed"),
    ):
        assert reason in peers.reason_to_skip(peer, workloads[workload], device, batch)


def test_measuring_equals_scikit_image(load: Load):
    pytest.importorskip("skimage")
    lines, problems = load("benchmarks.measuring").measuring(60)
    assert "60 objects" in lines[0]
    assert "largest difference" in lines[-1]
    assert not [problem for problem in problems if "differs" in problem]


@pytest.mark.extra
def test_the_page_of_a_job_is_opened(load: Load, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("playwright")
    report_page = load("benchmarks.report_page")
    if not any(map(shutil.which, report_page.BROWSERS)):
        pytest.skip("needs Chromium, none is installed")
    monkeypatch.setattr(report_page, "MAX_S", -1)  # however fast it is
    lines, problems = report_page.report_page(2)
    assert [cell.strip() for cell in lines[-2].split("|")[1:2]] == ["2"]
    assert problems[0].endswith("s, more than -1")


def test_slides_are_counted_to_the_last_object(load: Load, tmp_path: Path):
    slides = load("benchmarks.slides")
    true = slides.write_slide(tmp_path / "a.tif", (700, 1100), 2)
    image = tifffile.imread(tmp_path / "a.tif")
    assert cv2.connectedComponents(np.ascontiguousarray(image[..., 0]))[0] - 1 == true == 7 * 7 + 7 * 1


def test_mosaics_hold_their_images_and_differences_are_told(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    mosaic = load("benchmarks.mosaic")
    table = load_annotations(write_coco(tmp_path, "val", VAL_SCENES), tmp_path / "images")
    placed, *_ = mosaic._layouts(table, [0, 1, 0, 1], (140, 150))
    assert placed == [(0, 0, 0), (1, 0, 64), (0, 64, 0), (1, 64, 64)]
    whole = mosaic._paint(table, placed, (140, 150))
    assert all((whole[y : y + 64, x : x + 64] == table.load(i).image).all() for i, y, x in placed)
    assert not whole[128:].any()
    bands = [mosaic._paint(table, placed, (60, 150), top) for top in (0, 60, 120)]
    assert (np.concatenate(bands)[:140] == whole).all()
    monkeypatch.setattr(mosaic, "WHOLE_PX", (150, 200))
    monkeypatch.setattr(mosaic, "TILE_PX", 96)
    monkeypatch.setattr(mosaic, "MAX_ERROR", -1.0)
    monkeypatch.setattr(mosaic, "MAX_SLIDE_ERROR", -1.0)
    lines, problems = mosaic._whole_and_tiled(table)
    assert "150 px seen whole, and in tiles of 96 px" in lines[0]
    assert len(problems) == 1
    row, problems = mosaic._slide(tmp_path / "val.json", tmp_path / "images", (150, 200))
    assert len(row) == 8
    assert row[0] == "200 x 150, 6 images"
    assert "in the images alone" in problems[0]


def test_seams_lose_and_double_nothing(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    seams = load("benchmarks.seams")
    annotations = write_coco(tmp_path, "val", VAL_SCENES)
    monkeypatch.setattr(seams, "SIZE", (300, 400))
    monkeypatch.setattr(seams, "TILES", ((100, 32),))
    monkeypatch.setattr(seams, "PEERS", {"twice as many": lambda found: 2 * len(seams.mosaic(annotations, (300, 400)))})
    lines, problems = seams.seams(annotations)
    assert problems == []
    exact, peer = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[4:6])
    assert exact[1] == exact[2] != "0"
    assert exact[3:6] == ["+0.00%", "0", "0"]
    assert peer[3] == "+100.00%"
    # A joining that gives what the tiles found, unjoined, is seen to double.
    monkeypatch.setattr(seams, "join_tiles", unjoined)
    assert "double" in seams.seams(annotations)[1][0]


def unjoined(grid: Any, results: Any) -> Any:
    for tile, found in results:
        y0, x0, _, _ = tile.window
        yield replace(found, image_size=grid.image_size, pixels=found.runs.moved(x0, y0, grid.image_size))
