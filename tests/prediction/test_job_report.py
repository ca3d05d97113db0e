"""report.html of a job: what is on it, and that it is the same whatever came before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import maskrcnn
from maskrcnn.data import pages
from maskrcnn.prediction import job_report
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report.written import is_ours
from tests.prediction.bright_things import PerfectNetwork, squares
from tests.report.test_job_page import data_of


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Pictures of 1, 2 and 3 bright squares, and a file that is none."""
    (tmp_path / "in").mkdir()
    paths = []
    for num, name in ((1, "a.png"), (2, "b 'x'.png"), (3, "c & <b>.png")):
        image = np.zeros((60, 100, 3), np.uint8)
        for i in range(num):
            image[10 : 20 + i, 10 + 30 * i : 30 + 30 * i] = 220
        paths.append(tmp_path / "in" / name)
        Image.fromarray(image).save(paths[-1])
    paths.append(tmp_path / "in" / "d.png")
    paths[-1].write_text("not an image")
    return paths


def run(predictor: Any, files: list[Path], out: Path, **options: Any) -> str:
    infer_files(predictor, files, out, say=lambda line: None, on_failure=lambda error: None, **options)
    return (out / "report.html").read_text(encoding="utf-8")


def test_the_page_says_what_came_of_each_file(files: list[Path], tmp_path: Path) -> None:
    page = run(MethodPredictor("otsu"), files, tmp_path / "out", about={"weights": "none"})
    images = data_of(page, "images")
    assert [image["name"] for image in images] == [file.name for file in files]
    assert [image["counts"] for image in images] == [{"object": 1}, {"object": 2}, {"object": 3}, None]
    assert images[3]["status"].startswith("unreadable: not an image")
    assert all((tmp_path / "out" / image["drawing"]).is_file() for image in images[:3])
    assert [len(image["paths"]) for image in images[:3]] == [1, 2, 3]
    assert images[0]["size"] == [100, 60]
    rest = data_of(page, "rest")
    assert rest["numRows"] == len(rest["rows"]) == 6
    (columns,) = (dict(zip(rest["columns"], row, strict=True)) for row in rest["rows"][:1])
    assert (columns["file"], columns["id"], columns["class"], columns["area_px"]) == ("a.png", "1", "object", "200")
    assert columns["equivalent_diameter_px"] == "15.958"  # sqrt(4 * 200 / pi), to five digits
    assert sum(rest["plots"][0][1]["counts"]) == sum(rest["plots"][1][1]["counts"]) == 6
    assert rest["facts"][0] == ["weights", "none"]
    assert rest["facts"][1][0] == "method"
    assert "<title>in: what was found</title>" in page
    assert is_ours(tmp_path / "out" / "report.html")


def test_what_a_job_before_did_without_it_is_done_for_it(files: list[Path], tmp_path: Path) -> None:
    predictor, said = MethodPredictor("otsu"), []
    expected = run(predictor, files, tmp_path / "whole")
    out = tmp_path / "out"
    infer_files(predictor, files[:2], out, root=files[0].parent, has_report=False, say=lambda _: None)
    assert not (out / "report.html").exists()
    infer_files(predictor, files, out, say=said.append, on_failure=lambda error: None)
    assert (out / "report.html").read_text(encoding="utf-8") == expected
    # And with it, one that does not want it takes what there is.
    said.clear()
    infer_files(predictor, files, out, has_report=False, say=said.append, on_failure=lambda error: None)
    assert said == ["done before: 3 of 4 images (redo does them again)"]


def test_of_many_objects_the_first_are_in_the_table(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_report, "MAX_ROWS", 4)
    rest = data_of(run(MethodPredictor("otsu"), files, tmp_path / "out"), "rest")
    assert (len(rest["rows"]), rest["numRows"]) == (4, 6)
    assert sum(rest["plots"][0][1]["counts"]) == 6


def test_a_page_that_a_stranger_wrote_stays(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("<!DOCTYPE html>\n<p>mine")
    with pytest.raises(FileExistsError, match=r"report\.html"):
        run(MethodPredictor("otsu"), files, tmp_path / "out")
    assert "mine" in (tmp_path / "out" / "report.html").read_text()
    run(MethodPredictor("otsu"), files, tmp_path / "out", overwrite=True)
    run(MethodPredictor("otsu"), files, tmp_path / "out")


def test_of_nothing_there_is_a_page(files: list[Path], tmp_path: Path) -> None:
    page = run(MethodPredictor("otsu"), files[3:], tmp_path / "out")
    assert [image["counts"] for image in data_of(page, "images")] == [None]
    assert data_of(page, "rest")["rows"] == []


@pytest.mark.parametrize("is_drawn", [True, False])
def test_a_slide_is_shown_as_its_overview(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_drawn: bool
) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu", tile=128)
    monkeypatch.setattr(predictor.model, "detect", PerfectNetwork())
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    image, _ = squares((300, 500))
    tifffile.imwrite(tmp_path / "slide.tif", image, photometric="rgb", tile=(64, 64))
    page = run(predictor, [tmp_path / "slide.tif"], tmp_path / "out", is_drawn=is_drawn)
    (shown,) = data_of(page, "images")
    assert (shown["size"], shown["paths"]) == ([500, 300], [])
    assert shown["shaded"]
    assert shown["shaded"] != shown["picture"]
    assert len(shown["unsure"]) == 3
    assert all(one["path"] for one in shown["unsure"])
    assert (shown["drawing"] is not None) == is_drawn
    assert data_of(page, "rest")["numRows"] == sum(shown["counts"].values()) > 50
