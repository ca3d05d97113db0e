"""Films of bright squares through a method that finds them: the files, a run that was stopped, and what is refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from maskrcnn.data.films.frame import Choice, FilmError
from maskrcnn.data.films.video import VideoFile
from maskrcnn.prediction.film_job import infer_film
from maskrcnn.prediction.film_names import film_names
from maskrcnn.prediction.film_settings import FilmSettings, FilmSummary, LineSpec
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.structures.regions import Region

NUM = 12
SIZE = (96, 128)
LEFT = Region("left", (np.array([(0, 0), (40, 0), (40, 96), (0, 96)], float),))
GATE = LineSpec("gate", (40.0, 48.0), (128.0, 48.0))


def write_squares(path: Path, num: int = NUM) -> Path:
    """One square goes down over the gate, one stands in the zone, one is there for two frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for t in range(num):
        frame = np.zeros((*SIZE, 3), np.uint8)
        places = [(70, 20 + 5 * t), (12, 40)] + [(110, 10)] * (t in (5, 6))
        for x, y in places:
            frame[y : y + 12, x : x + 12] = 255
        writer.write(frame)
    writer.release()
    return path


class Counting(MethodPredictor):
    """Counts the frames it sees, and is interrupted before one."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__("otsu")
        self.num_seen, self.stop_at = 0, stop_at

    def __call__(self, image, value_range=None, *, max_pixels=None):
        if isinstance(image, list | tuple):
            return [self(one) for one in image]
        if self.num_seen == self.stop_at:
            raise KeyboardInterrupt
        self.num_seen += 1
        return super().__call__(image)


def run(film: Path, out: Path, predictor: MethodPredictor | None = None, **settings) -> FilmSummary:
    chosen = {"lines": (GATE,), "zones": (LEFT,)} | settings
    return infer_film(predictor or Counting(), film, out, FilmSettings(**chosen), say=lambda line: None)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_of_a_film(tmp_path: Path):
    out = tmp_path / "out"
    summary = run(write_squares(tmp_path / "film.avi"), out)
    assert (summary.counts, summary.num_frames, summary.status) == ({"object": 2}, NUM, "ok")
    assert summary.crossings == {"gate": {"in": 1, "out": 0}}
    assert summary.zones["left"] == (1, pytest.approx((NUM - 1) / 10))
    tracks = table(out / "tracks.csv")
    assert len(tracks) == 2 * NUM
    moving = [row for row in tracks if row["track"] == "2"]  # numbered from the top down in the first frame
    moving = moving if float(moving[0]["centroid_x"]) > 60 else [row for row in tracks if row["track"] == "1"]
    assert [round(float(row["centroid_y"])) for row in moving] == [26 + 5 * t for t in range(NUM)]
    assert [float(row["time_s"]) for row in moving] == pytest.approx([t / 10 for t in range(NUM)])
    (crossing,) = table(out / "crossings.csv")
    # The centroid is at 51 px, fewer than 4 px beyond the gate, in frame 5.
    assert (crossing["frame"], crossing["direction"], crossing["track"]) == ("6", "in", moving[0]["track"])
    assert cv2.imread(str(out / crossing["thumbnail"])) is not None
    assert [row["total"] for row in table(out / "counts_over_time.csv")] == ["2"] * NUM
    assert table(out / "zones.csv")[0]["entered"] == "1"
    assert len((out / "mot.txt").read_text().splitlines()) == 2 * NUM
    film = VideoFile(out / "film_instances.mp4")
    assert (film.num_frames, film.frame_rate) == (NUM, 10.0)
    assert not list(out.glob(".maskrcnn*"))


def test_instances_json_is_coco_with_tracks(tmp_path: Path):
    run(write_squares(tmp_path / "film.avi"), tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "instances.json"))
    assert len(coco.imgs) == NUM
    assert {one["track_id"] for one in coco.anns.values()} == {1, 2}
    assert all(coco.annToMask(one).sum() == one["area"] > 0 for one in coco.anns.values())
    (video,) = json.loads((tmp_path / "out" / "instances.json").read_text())["videos"]
    assert (video["length"], video["width"], video["height"]) == (NUM, 128, 96)


def test_a_run_that_was_stopped_goes_on_and_ends_as_one_that_was_not(tmp_path: Path):
    film = write_squares(tmp_path / "film.avi")
    with pytest.raises(KeyboardInterrupt):
        run(film, tmp_path / "out", Counting(stop_at=5))
    assert not (tmp_path / "out" / "tracks.csv").exists()
    again = Counting()
    run(film, tmp_path / "out", again)
    assert again.num_seen == NUM - 5
    run(film, tmp_path / "other")
    for name in ("tracks.csv", "crossings.csv", "zones.csv", "counts_over_time.csv", "mot.txt", "instances.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


def test_other_lines_need_no_network_and_damaged_records_are_done_again(tmp_path: Path):
    film, out = write_squares(tmp_path / "film.avi"), tmp_path / "out"
    run(film, out)
    again = Counting()
    assert run(film, out, again, lines=(LineSpec("low", (0, 70), (128, 70)),)).crossings["low"]["in"] == 1
    assert again.num_seen == 0
    (record,) = (out / ".done").glob("film-*.jsonl")
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join([*lines[:8], lines[8][:50] + b"x" + lines[8][51:], *lines[9:]]))
    again = Counting()
    run(film, out, again)
    assert again.num_seen == NUM - 8
    again = Counting()
    run(film, out, again, redo=True)
    assert again.num_seen == NUM


def test_files_of_others_are_not_replaced(tmp_path: Path):
    film, out = write_squares(tmp_path / "film.avi", 3), tmp_path / "out"
    out.mkdir()
    (out / "tracks.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"tracks\.csv: a file that no earlier job wrote"):
        run(film, out)
    assert (out / "tracks.csv").read_text() == "mine"
    run(film, out, overwrite=True)
    run(film, out)  # now it is ours
    (out / "film_instances.mp4").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"film_instances\.mp4"):
        run(film, out)


def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path: Path):
    film = write_squares(tmp_path / "film.avi", 3)

    def refused(sentence: str, error: type[Exception] = ValueError, **settings) -> None:
        with pytest.raises(error, match=sentence):
            run(film, tmp_path / "out", **settings)
        assert not (tmp_path / "out" / "tracks.csv").exists()

    refused(
        "line far: 0,200 to 50,200 lies outside of the picture of 128 x 96 px",
        lines=(LineSpec("far", (0, 200), (50, 200)),),
    )
    refused("zone left: it lies outside", zones=(Region("left", (LEFT.rings[0] + 500,)),))
    refused("none of its frames is among those chosen", FilmError, choice=Choice(start_s=99.0))
    refused("no class 'cat' in these weights", classes=("cat",))


def test_a_film_that_is_cut_off_is_done_as_far_as_it_goes(tmp_path: Path):
    film = write_squares(tmp_path / "film.avi", 40)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    summary = run(film, tmp_path / "out", lines=(), zones=())
    assert 3 < summary.num_frames < 40
    assert f"{summary.num_frames} are there" in summary.status


def test_every_second_frame_keeps_its_number_and_time(tmp_path: Path):
    out = tmp_path / "out"
    run(write_squares(tmp_path / "film.avi"), out, choice=Choice(every=2), is_drawn=False)
    assert [row["frame"] for row in table(out / "counts_over_time.csv")] == ["0", "2", "4", "6", "8", "10"]
    assert not (out / "film_instances.mp4").exists()


def test_names_of_films_are_all_different():
    films: Sequence = ["a/x.mp4", "b/x.mp4", 0, "rtsp://u:p@host/live", [Path("c/1.png")]]
    assert film_names(films) == ["x.mp4", "x.mp4 (2)", "camera0", "host_live", "c"]
