"""measurements.csv of a job: a line for each object, of the numbers that the file stores."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskrcnn.data.pages import Page, open_pages
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.measure import measure
from maskrcnn.report.selection import Selection
from maskrcnn.report.written import is_ours
from maskrcnn.structures.regions import Region


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor("nuclei", device="cpu", resize=0.5)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Bright discs: 16-bit grey, and colour."""
    rows, columns = np.mgrid[:96, :128]
    disc = ((rows - 40) ** 2 + (columns - 60) ** 2 < 200) | ((rows - 80) ** 2 + (columns - 110) ** 2 < 200)
    noise = np.random.default_rng(0).integers(0, 40, (96, 128))
    grey = (noise + 3000 * disc + 500).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", grey)
    colour = np.stack([disc * 200 + noise, noise, disc * 100 + noise], axis=2).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "b.png")
    return [tmp_path / "a.tif", tmp_path / "b.png"]


def read(file: Path) -> Page:
    with open_pages(file) as pages:
        return pages.read()


def table(out: Path) -> list[dict[str, str]]:
    with (out / "measurements.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_line_for_each_object(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    infer_files(predictor, files, out, is_drawn=False, pixel_size_um=0.5)
    lines, found = table(out), json.loads((out / "instances.json").read_text())
    assert [int(line["id"]) for line in lines] == [one["number"] for one in found["annotations"]]
    assert [one["id"] for one in found["annotations"]] == list(range(1, len(lines) + 1))
    assert [int(line["area_px"]) for line in lines] == [one["area"] for one in found["annotations"]]
    assert lines
    name = {one["id"]: one["file_name"] for one in found["images"]}
    assert [line["file"] for line in lines] == [name[one["image_id"]] for one in found["annotations"]]
    assert all(float(line["area_um2"]) == int(line["area_px"]) / 4 for line in lines)
    for file in files:
        page = read(file)
        expected = measure(predictor(page.image), page.numbers)
        own = [line for line in lines if line["file"] == file.name]
        assert [float(line["centroid_x"]) for line in own] == pytest.approx(expected["centroid_x"], rel=1e-6)
        for column in (column for column in expected if "intensity" in column):
            assert [float(line[column]) for line in own] == pytest.approx(expected[column].tolist(), rel=1e-6)
    # Each file has the channels that it has; the other's are empty.
    assert {line["mean_intensity"] == "" for line in lines if line["file"] == "b.png"} <= {True}
    assert {line["mean_intensity_red"] == "" for line in lines if line["file"] == "a.tif"} <= {True}


def test_the_same_when_resumed(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    infer_files(predictor, files, tmp_path / "whole", is_drawn=False)
    infer_files(predictor, files, tmp_path / "again", is_drawn=False)
    said: list[str] = []
    infer_files(predictor, files, tmp_path / "again", is_drawn=False, say=said.append)
    assert said[0].startswith("done before: 2 of 2")
    assert (tmp_path / "again" / "measurements.csv").read_bytes() == (
        tmp_path / "whole" / "measurements.csv"
    ).read_bytes()


def test_what_is_left_out_is_not_counted(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    infer_files(predictor, files, out, is_drawn=False)
    areas = sorted(int(line["area_px"]) for line in table(out))
    said: list[str] = []
    limits: Any = Selection(min_area=areas[-1])
    summary = infer_files(predictor, files, out, is_drawn=False, selection=limits, say=said.append)
    assert not any("done before" in line for line in said)  # other settings, other results
    kept = [int(line["area_px"]) for line in table(out)]
    assert set(kept) == {areas[-1]}
    assert sum(sum(counts.values()) for _, counts in summary.counts) == len(kept) < len(areas)


def test_a_strangers_table_stays(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "measurements.csv").write_text("id,weight\n1,2\n")
    with pytest.raises(FileExistsError, match=r"measurements\.csv"):
        infer_files(predictor, files, tmp_path, is_drawn=False)


def test_grey_saved_as_colour_is_one_channel(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(np.stack([grey] * 3 + [np.full_like(grey, 255)], axis=2)).save(tmp_path / "g.png")
    page = read(tmp_path / "g.png")
    rgb, numbers = page.image, page.numbers
    assert (rgb.shape, numbers.shape) == ((6, 8, 3), (6, 8, 1))
    assert np.array_equal(numbers[..., 0], grey)


def test_numbers_are_as_stored(tmp_path: Path) -> None:
    deep = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    tifffile.imwrite(tmp_path / "d.tif", deep)
    tifffile.imwrite(tmp_path / "w.tif", deep, photometric="miniswhite")
    assert np.array_equal(read(tmp_path / "d.tif").numbers[..., 0], deep)
    assert np.array_equal(read(tmp_path / "w.tif").numbers[..., 0], 65535 - deep)  # bright is large


def test_regions_and_histograms(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    square = np.array([[0.0, 0.0], [64, 0], [64, 96], [0, 96]])
    regions = [Region("=left", (square,)), Region("right", (square + np.array([64.0, 0]),))]
    infer_files(predictor, files, out, is_drawn=False, regions=regions, histograms=True)
    with (out / "regions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (out / "counts.csv").open(newline="", encoding="utf-8") as file:
        totals = {row["file"]: int(row["total"]) for row in csv.DictReader(file)}
    assert [(row["file"], row["page"], row["region"], row["area_px"]) for row in rows] == [
        (name, "", region, "6144") for name in ("a.tif", "b.png") for region in ("'=left", "right")
    ]
    lines = table(out)
    for row in rows:
        is_left = row["region"] != "right"
        own = [line for line in lines if line["file"] == row["file"] and line["area_px"] != "0"]
        expected = [line for line in own if (float(line["centroid_x"]) < 64) == is_left]
        assert int(row["total"]) == int(row["nucleus"]) == len(expected)
        assert {line["region"] for line in expected} <= {row["region"]}
    assert sum(int(row["total"]) for row in rows) <= sum(totals.values())
    assert any(int(row["total"]) for row in rows)
    assert is_ours(out / "regions.csv")
    assert is_ours(out / "measurements.png")
    said: list[str] = []
    infer_files(predictor, files, out, is_drawn=False, regions=regions[:1], say=said.append)
    assert said[0].startswith("done before: 2 of 2")  # they are counted from what is on record
    (out / "regions.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"regions\.csv"):
        infer_files(predictor, files, out, is_drawn=False, regions=regions)


def test_what_is_written_at_objects(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    out, drawing = tmp_path / "out", tmp_path / "out" / "a_instances.png"
    infer_files(predictor, files[:1], out, labels="none")
    plain = drawing.read_bytes()
    infer_files(predictor, files[:1], out, labels="id")
    assert drawing.read_bytes() != plain
