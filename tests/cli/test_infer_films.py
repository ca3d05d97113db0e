"""Films on the command line, by a method that needs no weights."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Tool
from tests.prediction.test_film_job import write_squares


def rows(path: str) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def test_a_film_with_a_line_and_a_zone(tool: Tool, tmp_path: Path):
    write_squares(tmp_path / "film.avi")
    said = tool(
        *("infer", "film.avi", "--method", "otsu", "--line", "gate:40,48,128,48", "--zone", "left:0,0,40,0,40,96,0,96")
    )
    assert said.status == 0, said.err
    assert "film.avi: object 2 in 12 frames" in said.out
    assert "line gate: 1 in, 0 out" in said.out
    assert "zone left: 1 objects were in it, for 1.1 s" in said.out
    assert rows("out/counts.csv") == [["file", "page", "object", "total", "status"], ["film.avi", "", "2", "2", "ok"]]


def test_several_films_have_a_folder_each_and_a_bad_one_stops_no_other(tool: Tool, tmp_path: Path):
    write_squares(tmp_path / "a.avi", 4)
    write_squares(tmp_path / "b.avi", 4)
    write_squares(tmp_path / "a_instances.avi", 4).rename("a_instances.mp4")  # as an earlier run drew it
    (tmp_path / "bad.avi").write_bytes((tmp_path / "a.avi").read_bytes()[:60])
    said = tool("infer", "*.[am][vp]*", "--method", "otsu")
    assert said.status == 1
    assert "bad.avi" in said.err
    assert [row[0] for row in rows("out/counts.csv")] == ["file", "a.avi", "b.avi", "bad.avi"]
    assert rows("out/counts.csv")[3][-1].startswith("unreadable: bad.avi: the video cannot be opened")
    assert Path("out/a.avi/tracks.csv").is_file()


def test_a_sequence_is_one_film(tool: Tool, tmp_path: Path):
    Path("frames").mkdir()
    for t in range(4):
        image = Image.new("RGB", (64, 48))
        image.paste((255, 255, 255), (10 + 4 * t, 10, 22 + 4 * t, 22))
        image.save(f"frames/{t}.png")
    said = tool("infer", "frames", "--sequence", "--fps", "2", "--method", "otsu")
    assert said.status == 0, said.err
    assert "object 1 in 4 frames" in said.out
    assert rows("out/counts_over_time.csv")[-1][:2] == ["3", "1.5"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["film.avi", "picture.png"], "picture.png: films and images are done by commands of their own"),
        (["picture.png", "--line", "a:0,0,1,1"], "--line: only for films"),
        (["film.avi", "--export", "coco"], "--export: only for images"),
        (["film.avi", "--boxes", "boxes.json"], "--boxes: only for images"),
        (["film.avi", "--line", "a:0,0,1"], "--line a:0,0,1: expected NAME:X0,Y0,X1,Y1"),
        (["film.avi", "--line", "0,0,1,1"], "--line: expected NAME:X0,Y0,X1,Y1, got 0,0,1,1"),
        (["film.avi", "--line", "a:0,900,9,900"], "line a: 0,900 to 9,900 lies outside of the picture of 128 x 96 px"),
        (["film.avi", "--zone", "a:0,0,1,1"], "expected the x and y of three corners"),
        (["film.avi", "--zone", "a:none.json"], "none.json: there is no such file"),
        (["film.avi", "--line", "a:0,0,9,9", "--zone", "a:0,0,9,9,0,9"], "two are called 'a'"),
        (["film.avi", "--end", "0"], "end: expected seconds after the start"),
        (["film.avi", "--frames", "0"], "frames: expected at least 1"),
        (["film.avi", "--start", "99"], "film.avi: none of its frames is among those chosen"),
        (["--camera", "97"], "camera 97: there is no such camera"),
        (["sound.wav"], "sound.wav: expected a video, there is sound without pictures in this file"),
        (["http://127.0.0.1:9/film"], "http://127.0.0.1:9/film: there is no stream at this address"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tool: Tool, tmp_path: Path, arguments: list[str], sentence: str):
    write_squares(tmp_path / "film.avi", 3)
    Image.new("RGB", (9, 9)).save("picture.png")
    (tmp_path / "sound.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    said = tool("infer", *arguments, "--method", "otsu")
    assert said.status != 0
    assert sentence in said.err
    assert said.err.count("\n") == 1
