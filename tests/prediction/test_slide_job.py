"""Slides of a job: what comes out is what comes out of the same picture held whole, and nothing is lost on the way."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import maskrcnn
from maskrcnn.data import pages
from maskrcnn.data.images import read_image
from maskrcnn.prediction import slide_job
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.selection import Selection
from maskrcnn.report.written import is_ours
from tests.prediction.bright_things import PerfectNetwork, squares

SIZE = (300, 500)


@pytest.fixture
def predictor(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """Finds every bright thing in tiles of 128 px."""
    made = maskrcnn.Predictor(weights, device="cpu", tile=128)
    monkeypatch.setattr(made.model, "detect", PerfectNetwork())
    monkeypatch.setattr(made.model, "resize", replace(made.model.resize, longest_edge=3000))
    monkeypatch.setattr(slide_job, "PART_OBJECTS", 40)
    return made


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    image, _ = squares(SIZE)
    image[100:140, 100:140] = 0
    image[102:137, 90:400] = 255  # longer than a tile
    numbers = image // 10 * 9 + np.random.default_rng(0).integers(0, 9, image.shape).astype(np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", numbers, photometric="rgb", tile=(64, 64), resolution=(40000, 40000))
    return tmp_path / "slide.tif"


def results(out: Path) -> tuple[list[Any], list[Any]]:
    """Annotations and measurements, without their numbers and in the order of their places."""
    document = json.loads((out / "instances.json").read_text())
    found = [{k: v for k, v in one.items() if k not in ("id", "number")} for one in document["annotations"]]
    with (out / "measurements.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "id"} for row in csv.DictReader(file)]
    return sorted(found, key=lambda one: one["bbox"]), sorted(rows, key=lambda row: (row["box_x0"], row["box_y0"]))


def test_a_slide_gives_what_the_picture_held_whole_gives(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = infer_files(predictor, [slide], tmp_path / "whole", say=lambda _: None)
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    found = infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None)
    assert (found.counts, found.ceilings) == (whole.counts, whole.ceilings)
    assert sum(found.counts[0][1].values()) > 100
    assert set(found.notes) == set(whole.notes)
    (annotations, rows), (expected, expected_rows) = results(tmp_path / "out"), results(tmp_path / "whole")
    assert annotations == expected
    for row, other in zip(rows, expected_rows, strict=True):
        for name, value in row.items():
            if name.replace("_red", "").endswith("intensity"):
                assert float(value) == pytest.approx(float(other[name.replace("_red", "_red")]), rel=1e-6)
            elif value != other[name]:
                assert float(value) == pytest.approx(float(other[name]), rel=1e-5, abs=1e-6), name
    numbers = [int(one["number"]) for one in json.loads((tmp_path / "out/instances.json").read_text())["annotations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    drawn = read_image(tmp_path / "out/slide_instances.png")
    assert drawn.shape[1] == SIZE[1]
    assert not (tmp_path / "out/.done").exists()


def test_a_large_picture_without_windows_is_a_slide_too(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(read_image(slide)).save(tmp_path / "slide.png")
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    files = [tmp_path / "slide.png", slide]
    counts = infer_files(predictor, files, tmp_path / "out", say=lambda _: None).counts
    assert sum(counts[0][1].values()) == sum(counts[1][1].values()) > 100
    # What is on record is not done again, and the results are the same.
    before = (tmp_path / "out/instances.json").read_bytes()
    seen = len(predictor.model.detect.seen)  # pyright: ignore[reportFunctionMemberAccess]
    infer_files(predictor, files, tmp_path / "out", say=lambda _: None)
    assert len(predictor.model.detect.seen) == seen  # pyright: ignore[reportFunctionMemberAccess]
    assert (tmp_path / "out/instances.json").read_bytes() == before


def test_selections_and_limits_hold_for_slides(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"selection": Selection(max_area=1000, exclude_border=True), "is_drawn": False}
    whole = infer_files(predictor, [slide], tmp_path / "whole", say=lambda _: None, **options)
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    assert infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None, **options).counts == whole.counts
    predictor.max_detections = 30
    few = infer_files(predictor, [slide], tmp_path / "few", say=lambda _: None)
    assert sum(few.counts[0][1].values()) == 30
    assert list(few.ceilings) == ["more than 30 detections, the best 30 kept (detection.max_detections)"]


def test_a_killed_job_goes_on_at_the_tile_of_a_slide(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    infer_files(predictor, [slide], tmp_path / "whole", say=lambda _: None)
    network = predictor.model.detect
    num = len(network.seen)  # pyright: ignore[reportFunctionMemberAccess]

    class Killed(BaseException):
        pass

    calls = 0

    def killed(images: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise Killed
        return network(images)

    monkeypatch.setattr(predictor.model, "detect", killed)
    with pytest.raises(Killed):
        infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None)
    again = PerfectNetwork()
    monkeypatch.setattr(predictor.model, "detect", again)
    infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None)
    assert len(again.seen) == num - 7
    assert (tmp_path / "out/instances.json").read_bytes() == (tmp_path / "whole/instances.json").read_bytes()


def test_a_slide_that_is_damaged_is_named_and_the_rest_done(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    cut = tmp_path / "cut.tif"
    cut.write_bytes(slide.read_bytes()[:-100_000])
    said: list[Exception] = []
    summary = infer_files(predictor, [cut, slide], tmp_path / "out", say=lambda _: None, on_failure=said.append)
    assert list(summary.failures) == [cut]
    assert "cut off" in str(said[0])
    assert len(summary.counts) == 1


def test_full_size_is_drawn_as_a_pyramid(
    predictor: Predictor, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    monkeypatch.setattr("maskrcnn.report.pyramid.TILE_PX", 64)
    infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None, draws_full=True)
    path = tmp_path / "out/slide_instances.tif"
    assert is_ours(path)
    drawn, image = tifffile.imread(path).astype(int), read_image(slide).astype(int)
    assert drawn.shape == image.shape
    is_changed = np.abs(drawn - image).max(axis=2) > 30
    is_object = image[..., 0] > 60
    assert is_changed[is_object].mean() > 0.9
    assert is_changed[~is_object].mean() < 0.1
    path.write_bytes(b"II*\0 another one")
    with pytest.raises(FileExistsError, match=r"slide_instances\.tif"):
        infer_files(predictor, [slide], tmp_path / "out", say=lambda _: None, draws_full=True)
