"""`maskrcnn convert`, and `infer --export`: one and the same files."""

import json
from pathlib import Path

import pytest

from maskrcnn.report.export.formats import FORMATS
from tests.cli.conftest import Tool


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_ways_write_the_same(tool: Tool, weights: Path, pictures: Path, tmp_path: Path):
    names = [name for name in FORMATS if name != "imagej"]
    said = tool("infer", pictures, "--weights", weights, "--out", "out", "--device", "cpu", "--export", *names)
    assert said.status == 0, said.err
    assert f"{Path('out/exports/csv')}: " in said.out
    done = tool("convert", "out/instances.json", "--to", *names, "--images", pictures, "--out", "again")
    assert done.status == 0, done.err
    assert "lost: " in done.out
    mine, other = contents(tmp_path / "out" / "exports"), contents(tmp_path / "again")
    assert sorted(mine) == sorted(other)
    assert [name for name in mine if mine[name] != other[name]] == []
    assert {name.split("/")[0] for name in mine} == set(names)


def test_without_pictures(tool: Tool, weights: Path, pictures: Path, tmp_path: Path):
    tool("infer", pictures, "--weights", weights, "--out", "out", "--device", "cpu", "--no-draw")
    done = tool("convert", "out/instances.json", "--to", "csv")
    assert done.status == 0
    assert (tmp_path / "out" / "exports" / "csv" / "objects.csv").is_file()
    refused = tool("convert", "out/instances.json", "--to", "cutouts")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == "error: cutouts: the images are needed: name their folder with --images\n"


def test_smooth_outlines_of_a_job_that_went_on(tool: Tool, weights: Path, pictures: Path, tmp_path: Path):
    command = ("infer", pictures, "--weights", weights, "--out", "out", "--device", "cpu", "--export", "geojson")
    tool(*command)
    exact = (tmp_path / "out/exports/geojson/one.geojson").read_text()
    said = tool(*command, "--outlines", "smooth")
    assert "done before" not in said.out  # without the probabilities there is no smooth outline
    assert "smooth outlines of" in said.out
    smooth = (tmp_path / "out/exports/geojson/one.geojson").read_text()
    assert smooth != exact
    said = tool(*command, "--outlines", "smooth")
    assert "done before" in said.out
    assert (tmp_path / "out/exports/geojson/one.geojson").read_text() == smooth


def test_of_other_annotations(tool: Tool, coco: Path):
    done = tool("convert", coco / "train.json", "--to", "labelme", "--out", "made")
    assert done.status == 0
    files = sorted(Path("made/labelme").glob("*.json"))
    assert files
    assert all(shape["description"] == "" for file in files for shape in json.loads(file.read_text())["shapes"])


def test_an_unknown_format(tool: Tool, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        tool("convert", "x.json", "--to", "word")
    assert "invalid choice: 'word'" in capsys.readouterr().err
