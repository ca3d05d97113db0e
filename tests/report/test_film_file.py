"""Films that are written: frames at their times, of one size."""

from pathlib import Path

import numpy as np
import pytest

from maskrcnn.data.films.frame import chosen_frames
from maskrcnn.data.films.video import VideoFile
from maskrcnn.report.film_file import MAX_HELD_S, FilmFile


def written(
    path: Path, times: list[float], sizes: list[tuple[int, int]] | None = None, rate: float = 10.0
) -> list[int]:
    """The grey levels of the film, in tens, of frames that are 10, 20, ... bright."""
    film = FilmFile(path, rate)
    for i, time_s in enumerate(times):
        film.write(np.full((*(sizes or [(48, 64)] * len(times))[i], 3), 10 * (i + 1), np.uint8), time_s)
    film.close()
    return [round(float(frame.image[:20, :20].mean()) / 10) for frame in chosen_frames(VideoFile(path))]


def test_frames_are_shown_until_the_next_one(tmp_path: Path):
    assert written(tmp_path / "a.mp4", [0.0, 0.1, 0.4, 0.5]) == [1, 2, 2, 2, 3, 4]


def test_a_film_may_begin_at_any_time(tmp_path: Path):
    assert written(tmp_path / "a.mp4", [7.0, 7.1, 7.3]) == [1, 2, 2, 3]


def test_a_long_gap_is_shortened_and_what_follows_keeps_its_distance(tmp_path: Path):
    levels = written(tmp_path / "a.mp4", [0.0, 1000.0, 1000.5, 1001.0], rate=2.0)
    assert levels == [1] * (1 + round(2 * MAX_HELD_S)) + [2, 3, 4]


def test_frames_of_other_sizes_become_as_large_as_the_first(tmp_path: Path):
    assert written(tmp_path / "a.mp4", [0.0, 0.1, 0.2], [(47, 63), (30, 40), (90, 130)]) == [1, 2, 3]
    frame = next(chosen_frames(VideoFile(tmp_path / "a.mp4")))
    assert frame.image.shape == (48, 64, 3)  # H.264 needs even sides


def test_what_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(OSError, match="cannot be written"):
        written(tmp_path / "none" / "a.mp4", [0.0])


def test_nothing_written_is_no_file(tmp_path: Path):
    FilmFile(tmp_path / "a.mp4", 10.0).close()
    assert not (tmp_path / "a.mp4").exists()
