import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli.main import main
from maskrcnn.prediction.execution import choose_execution
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.structures.instances import Instances
from tests.cli.conftest import Said, Tool


def only_error(said: Said) -> str:
    """The one sentence that a failure leaves, without a traceback."""
    assert said.status == 1
    assert "Traceback" not in said.out + said.err
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def test_files_folders_and_patterns(tool: Tool, weights: Path, pictures: Path) -> None:
    for paths, files in (
        (["scans/one.png"], ["one.png"]),
        (["scans"], ["deep/er/two.JPG", "deep/one.png", "one.png"]),
        (["scans/**/*.png"], ["deep/one.png", "one.png"]),
        (["scans/one.png", "scans/../scans/*.png", "scans/deep/er"], ["one.png", "deep/er/two.JPG"]),
        ([Path("scans/deep").absolute()], ["er/two.JPG", "one.png"]),
    ):
        said = tool("infer", *paths, "--weights", weights, "--out", "found", "--redo")
        assert said.status == 0
        assert said.err == ""
        with Path("found/counts.csv").open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert [row["file"] for row in rows] == files
        for row in rows:
            counts = [f"{name} {row[name]}" for name in ("square", "disc") if row[name] != "0"]
            words = ", ".join(counts + [f"total {row['total']}"] * (len(counts) > 1))
            assert (
                f"{'' if len(files[0]) > 20 else 'scans/'}{row['file']}: {words}\n" in said.out or "er/two" in files[0]
            )
            assert row["status"].startswith("limit reached: ")
        assert ("total of" in said.out) == (len(files) > 1)
        assert [image["file_name"] for image in json.loads(Path("found/instances.json").read_text())["images"]] == files
        assert "drawings, report.html, counts.csv, measurements.csv and instances.json are in found\n" in said.out
        shared = f"file names are relative to the folder they share: {pictures}\n"
        assert (shared in said.out) == (len(paths) > 1)
    assert {path.name for path in Path("found").glob("*.png")} == {
        "one_instances.png",
        "two_instances.png",
        "deep_one_instances.png",
        "scans_one_instances.png",
    }


def test_what_is_said(tool: Tool, weights: Path, pictures: Path) -> None:
    said = tool("infer", "scans", "--weights", weights, "--classes", " square, disc", "--no-draw", "--batch", 3)
    lines = said.out.splitlines()
    assert lines[:2] == [
        "tiny.safetensors: maskrcnn R18-FPN, 2 classes",
        f"classes: square, disc; score above 0.2; {choose_execution('cpu', 'auto').description}",
    ]
    lines = lines[1:]
    assert [line.partition(": ")[0] for line in lines[1:4]] == [
        "scans/deep/er/two.JPG",
        "scans/deep/one.png",
        "scans/one.png",
    ]
    assert lines[4].startswith("total of 3 images: ")
    assert lines[4].endswith("60")
    limit = "limit reached in 3 images: more than 20 detections, the best 20 kept (detection.max_detections)"
    assert f"{limit}; --max-detections changes it" in lines[5:]
    assert lines[-1] == "report.html, counts.csv, measurements.csv and instances.json are in out"
    assert not list(Path("out").glob("*.png"))
    assert said.err == ""


def test_without_a_path_a_sample_is_drawn(tool: Tool, weights: Path) -> None:
    said = tool("infer", "--weights", weights)
    assert said.status == 0
    assert (
        "no path given: out/sample.png is a synthetic micrograph, drawn by this package with 60 nuclei in it"
        in said.out
    )
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "counts.csv",
        "instances.json",
        "measurements.csv",
        "report.html",
        "sample.png",
        "sample_instances.png",
    ]


@pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")
def test_the_default_counts_the_sample(tool: Tool) -> None:
    said = tool("infer", "--device", "cpu")
    with Path("out/counts.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert abs(int(row["nucleus"]) - 60) <= 6
    assert f"out/sample.png: nucleus {row['nucleus']}" in said.out


def test_its_own_pictures_are_not_counted(tool: Tool, weights: Path, pictures: Path) -> None:
    for _ in range(2):
        tool("infer", ".", "--weights", weights, "--out", "scans")
        assert len(Path("scans/counts.csv").read_text().splitlines()) == 4
    for path in pictures.rglob("*"):
        if path.is_file() and not path.stem.endswith("_instances"):
            path.unlink()
    said = tool("infer", "scans", "--weights", weights, "--out", "scans")
    assert only_error(said) == "scans: holds only drawings of earlier runs"
    named = "scans/scans_one_instances.png"
    assert tool("infer", named, "--weights", weights, "--no-draw").status == 0


def test_options(tool: Tool, weights: Path, pictures: Path) -> None:
    one = ("scans/one.png", "--weights", weights, "--no-draw")

    def total(*options: str) -> int:
        assert tool("infer", *one, *options).status == 0
        with Path("out/counts.csv").open(newline="") as table:
            return int(next(csv.DictReader(table))["total"])

    assert total() == 20
    assert total("--max-detections", "7") == 7
    assert total("--score", "0.99") == 0
    both = total("--classes", "square") + total("--classes", "disc")
    assert both == 20
    for options in (("--resize", "2.0x"), ("--resize", "40"), ("--precision", "bf16"), ("--device", "cpu")):
        assert total(*options) > 0
    assert "nothing found (square, disc)" in tool("infer", *one, "--score", "0.99").out
    said = tool("infer", *one, "--max-detections", "1")
    assert "limit reached in scans/one.png: more than 1 detections, the best 1 kept" in said.out


def test_what_is_done_is_not_done_again(tool: Tool, weights: Path, pictures: Path) -> None:
    command = ("infer", "scans", "--weights", weights)
    said = tool(*command)
    assert "done before" not in said.out
    files = ("counts.csv", "instances.json", "two_instances.png")
    before = [(Path("out") / name).read_bytes() for name in files]
    again = tool(*command).out
    assert "done before: 3 of 3 images (redo does them again)\n" in again
    assert "scans/one.png: " not in again
    assert again.splitlines()[-3:] == said.out.splitlines()[-3:]
    assert [(Path("out") / name).read_bytes() for name in files] == before

    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("scans/new.png")
    Path("out/two_instances.png").unlink()
    said = tool(*command)
    assert "done before: 2 of 4 images" in said.out
    assert "scans/new.png: " in said.out
    assert Path("out/two_instances.png").read_bytes() == before[2]
    assert "done before" not in tool(*command, "--score", "0.9").out
    assert "done before" not in tool(*command, "--redo").out
    for _ in range(2):
        assert "scans/one.png: " in tool("infer", "scans/one.png", "--weights", weights).out


def test_interrupted_it_says_how_to_go_on(
    tool: Tool, weights: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("infer", "scans", "--weights", weights, "--no-draw")
    with monkeypatch.context() as patch:
        calls = []

        def interrupted(self: Predictor, images: list[np.ndarray]) -> list[Instances]:
            calls.append(images)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return original(self, images)

        original = Predictor.__call__
        patch.setattr(Predictor, "__call__", interrupted)
        said = tool(*command)
    assert (said.status, said.err) == (130, "interrupted\n")
    assert said.out.splitlines()[-1] == "stopped: 2 of 3 images are done, and the same command goes on from there"
    assert not Path("out/counts.csv").exists()
    said = tool(*command)
    assert "done before: 2 of 3 images" in said.out
    assert [line for line in said.out.splitlines() if line.startswith("scans/")] == [
        line for line in said.out.splitlines() if line.startswith("scans/one.png: ")
    ]
    assert len(Path("out/counts.csv").read_text().splitlines()) == 4


def test_bad_files_are_one_sentence_each(tool: Tool, weights: Path, pictures: Path) -> None:
    Path("text.jpg").write_text("hello")
    Path("zero.png").touch()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("whole.jpg")
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:400])
    Path("nothing").mkdir()
    for path, sentence in (
        ("gone.png", "gone.png: there is no such file or folder"),
        ("nothing", "nothing: no images in this folder"),
        ("*.bmp", "*.bmp: nothing matches this pattern"),
        ("scans/*.txt", "scans/*.txt: 1 matches, none of them an image"),
        ("text.jpg", "text.jpg: not an image in a known format (the file begins with b'hello')"),
        ("zero.png", "zero.png: the image file is empty (0 bytes)"),
        ("cut.jpg", "cut.jpg: "),
    ):
        said = tool("infer", path, "--weights", weights)
        assert only_error(said).startswith(sentence)
        if Path(path).is_file():  # its row says the same
            assert "unreadable: " in Path("out/counts.csv").read_text()
            shutil.rmtree("out")
        assert not Path("out").exists()
        assert "Traceback" in tool("infer", path, "--weights", weights, "--debug").err or "no images" in sentence


def test_a_bad_file_does_not_stop_the_others(tool: Tool, weights: Path, pictures: Path) -> None:
    (pictures / "deep" / "broken.png").write_text("hello")
    said = tool("infer", "gone.png", "scans", "gone*.tif", "--weights", weights, "--batch", 2)
    assert said.status == 1
    assert said.err.splitlines() == [
        "error: scans/deep/broken.png: not an image in a known format (the file begins with b'hello')",
        "error: gone.png: there is no such file or folder",
        "error: gone*.tif: nothing matches this pattern",
        "1 of 4 files could not be read",
    ]
    assert "total of 3 images: " in said.out
    assert len(Path("out/counts.csv").read_text().splitlines()) == 5
    assert len(list(Path("out").glob("*_instances.png"))) == 3


def test_pictures_of_odd_sizes(tool: Tool, weights: Path) -> None:
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save("one.png")
    Image.fromarray(np.zeros((20, 20_000), np.uint8)).save("strip.png")
    said = tool("infer", "one.png", "strip.png", "--weights", weights, "--batch", 2, "--tile", "off")
    assert (said.status, said.err) == (0, "")
    assert "limit reached in strip.png: the network saw the image at 7% of its usual size" in said.out
    width, height = Image.open("out/strip_instances.png").size
    assert width == 20_000
    assert 20 < height < 400  # the letters below a strip are not as large as those below a square of its length


def test_bad_weights_and_options_are_one_sentence(tool: Tool, weights: Path, pictures: Path) -> None:
    shutil.copy(weights, "model.safetensors")
    Path("cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    Path("a file").touch()
    for options, sentence in (
        (("--weights", "nuclej"), "no weights named 'nuclej' and no such file; did you mean nuclei?; shipped:"),
        (("--weights", "scans/notes.txt"), "scans/notes.txt: "),
        (("--weights", "cut.safetensors"), "cut.safetensors: "),
        (("--weights", "."), "expected a weights file, got the folder .; files in it: cut.safetensors, model."),
        (("--classes", "cat"), "classes: no class 'cat' in these weights; known: square, disc"),
        (("--classes", ""), "classes: no class '' in these weights"),
        (("--score", "2"), "detection: score_threshold: "),
        (("--max-detections", "0"), "detection: max_detections: "),
        (("--batch", "0"), "--batch: expected at least 1, got 0"),
        (
            ("--device", "tpu"),
            "device: expected auto, cpu, cuda, cuda:N, the N of a CUDA device, mps, xpu or xpu:N, got 'tpu'",
        ),
        (("--out", "a file"), "--out: expected a folder, a file is a file"),
    ):
        said = tool("infer", "scans", "--weights", weights, *options)
        assert only_error(said).startswith(sentence)
        assert not Path("out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_cuda(tool: Tool, weights: Path, pictures: Path) -> None:
    said = tool("infer", "scans", "--weights", weights, "--device", "cuda")
    assert only_error(said) == "device cuda: this machine has no CUDA devices"
    said = tool("infer", "scans", "--weights", weights, "--device", "cuda", "--debug")
    assert said.status == 1
    assert "Traceback" in said.err


@pytest.mark.parametrize("resize", ["0", "-5", "x", "nanx", "infx", "1.5", "big"])
def test_resize_that_cannot_be(tool: Tool, capsys: pytest.CaptureFixture[str], resize: str) -> None:
    with pytest.raises(SystemExit) as exit_status:
        tool("infer", f"--resize={resize}")
    assert exit_status.value.code == 2
    assert f"expected pixels such as 800 or a factor such as 1.5x, got '{resize}'" in capsys.readouterr().err


def test_drawings_of_other_runs_are_no_pictures(tool: Tool, weights: Path, pictures: Path) -> None:
    assert tool("infer", "scans", "--weights", weights, "--out", "scans/out").status == 0
    said = tool("infer", "scans", "--weights", weights, "--out", "scans/out2")
    assert "skipped in scans: 3 drawings of earlier runs (to count in one, name it)\n" in said.out
    assert len(Path("scans/out2/counts.csv").read_text().splitlines()) == 4
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("scans/mine_instances.png")  # a user's picture
    tool("infer", "scans", "--weights", weights, "--out", "scans/out2")
    assert "\nmine_instances.png," in Path("scans/out2/counts.csv").read_text()


def test_files_that_infer_did_not_write_are_not_replaced(tool: Tool, weights: Path, pictures: Path) -> None:
    Path("out").mkdir()
    Path("out/counts.csv").write_text("mine")
    command = ("infer", "scans", "--weights", weights)
    assert only_error(tool(*command)) == (
        "out/counts.csv: a file that no earlier job wrote would be overwritten; choose another folder with --out, or "
        "allow it with --overwrite"
    )
    assert tool(*command, "--overwrite").status == 0
    Path("new").mkdir()
    Path("new/sample.png").write_text("mine")
    said = tool("infer", "--weights", weights, "--out", "new")
    assert only_error(said).startswith("new/sample.png: a file that no earlier run wrote would be overwritten")
    assert Path("new/sample.png").read_text() == "mine"


def test_a_folder_that_cannot_be_listed_is_reported(
    tool: Tool, weights: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def locked(path: str):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", locked)
        said = tool("infer", "scans", "--weights", weights)
    assert said.status == 1
    assert said.err.splitlines() == [
        "error: scans/deep: the folder cannot be listed (Permission denied)",
        "1 folder could not be listed, so the count is incomplete",
    ]
    assert len(Path("out/counts.csv").read_text().splitlines()) == 2


def test_names_do_nothing_to_a_terminal(tool: Tool, weights: Path, pictures: Path) -> None:
    for name in ("\x1b[2Jgone.png", "a\nerror: b.png"):
        (pictures / name).write_text("hello")
        shutil.copy(pictures / "one.png", pictures / f"{name}.png")
    said = tool("infer", "scans", "--weights", weights)
    assert "\x1b" not in said.out + said.err
    assert r"scans/\x1b[2Jgone.png.png: " in said.out
    assert r"error: scans/\x1b[2Jgone.png: not an image" in said.err
    assert "\nerror: b.png" not in said.out


def test_limits_and_parts_of_files_are_said(tool: Tool, weights: Path, pictures: Path) -> None:
    rng = np.random.default_rng(0)
    tifffile.imwrite(
        "time.tif", rng.integers(0, 255, (3, 48, 64), dtype=np.uint8), imagej=True, metadata={"axes": "TYX"}
    )
    names = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    tifffile.imwrite("two.ome.tif", rng.integers(0, 9999, (2, 48, 64), dtype=np.uint16), metadata=names)
    options = ("--weights", weights, "--no-draw", "--redo", "--out", "found")
    said = tool("infer", "time.tif", "two.ome.tif", *options)
    assert said.status == 1
    assert "time.tif: 3 pages, each counted by itself\n" in said.out
    error, summary = said.err.splitlines()
    assert error.startswith("error: two.ome.tif: 2 channels that are not RGB (0 'GFP': mean ")
    assert error.endswith(
        "; expected to be told which channel to take, by number or name, or the maximum of all; choose "
        "it with --channel"
    )
    assert summary == "1 of 2 files could not be read"
    assert [row[:2] for row in csv.reader(Path("found/counts.csv").read_text().splitlines())] == [
        ["file", "page"],
        ["time.tif", "0"],
        ["time.tif", "1"],
        ["time.tif", "2"],
        ["two.ome.tif", ""],
    ]
    said = tool("infer", "time.tif", "two.ome.tif", *options, "--channel", "DAPI")
    assert said.status == 0, said.err
    said = tool("infer", "two.ome.tif", *options, "--channel", "2")
    assert only_error(said) == "two.ome.tif: no channel 2 in this file, which has 0 'GFP', 1 'DAPI'"
    said = tool("infer", "time.tif", *options, "--max-pixels", "3e3")
    assert (
        "error: time.tif: 64 x 48 px are 0.00307 megapixels, more than the 0.003 allowed (max_pixels); --max"
        in said.err
    )
    with pytest.raises(SystemExit):
        tool("infer", "time.tif", *options, "--max-pixels", "0")


def test_another_channel_is_another_job(tool: Tool, weights: Path, pictures: Path) -> None:
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(name, np.zeros((2, 48, 64), np.uint8), imagej=True, metadata={"axes": "CYX"})
    options = ("infer", "a.tif", "b.tif", "--weights", weights, "--out", "found", "--channel")
    assert "done before" not in tool(*options, "0").out
    assert "done before: 2 of 2" in tool(*options, "0").out
    assert "done before" not in tool(*options, "1").out


def test_where_no_weights_were_named_it_says_first_what_the_default_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskrcnn.checkpoints.weights.shipped_weights", lambda: {"nuclei": weights})
    monkeypatch.setattr("maskrcnn.checkpoints.weights.shipped_sums", dict)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    for named, is_told in (((), True), (("--weights", "nuclei"), False)):
        assert main(["infer", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--device", "cpu", *named]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert (first.startswith("no --weights given: ") and "--weights coco" in first) == is_told


def test_large_pictures_are_done_in_tiles(tool: Tool, weights: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8)
    Image.fromarray(picture).save("slide.png")
    said = tool("infer", "slide.png", "--weights", weights, "--tile", 96, "--overlap", 16)
    assert (said.status, said.err) == (0, "")
    assert "slide.png: done in 9 tiles of 96 x 96 px, which overlap by 16 px or more" in said.out
    assert not Path("out/.done").exists()
    for options, sentence in (
        (("--tile", 8), "tile: expected auto, off or at least 32 px, got 8"),
        (("--tile", 96, "--overlap", 40), "overlap: expected 0 to 32 px, a third of a tile, got 40"),
    ):
        assert sentence in tool("infer", "slide.png", "--weights", weights, *options).err
