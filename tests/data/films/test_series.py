"""Pictures in an order and pages of a file, as films."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskrcnn.data.films.frame import FilmError, chosen_frames
from maskrcnn.data.films.opening import open_film
from maskrcnn.data.films.series import PageSeries, PictureSeries
from maskrcnn.data.films.video import VideoFile
from tests.data.films.made_films import write_film


def grey(value: int, size: tuple[int, int] = (12, 16)) -> Image.Image:
    return Image.fromarray(np.full((*size, 3), value, np.uint8))


def test_pictures_in_an_order(tmp_path: Path):
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        grey(10 * number, (20, 16) if number == 3 else (12, 16)).save(file)
    files[1].write_bytes(files[1].read_bytes()[:40])
    series = PictureSeries(files, 4.0)
    frames = list(chosen_frames(series))
    assert [(frame.number, frame.time_s, int(frame.image[0, 0, 0])) for frame in frames] == [
        (0, 0.0, 0),
        (2, 0.5, 20),
        (4, 1.0, 40),
    ]
    (said,) = series.notes()
    assert said.startswith(f"2 pictures left out, the first since: {files[1]}")


def test_no_pictures():
    with pytest.raises(FilmError, match="got none"):
        PictureSeries([])


def test_pages_of_a_tiff(tmp_path: Path):
    pages = np.arange(1, 5, dtype=np.uint8)[:, None, None] * np.full((4, 12, 16), 30, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, metadata={"axes": "TYX"})
    film = open_film(tmp_path / "a.tif", frame_rate=2.0)
    assert isinstance(film, PageSeries)
    assert [(frame.time_s, int(frame.image[0, 0, 0])) for frame in chosen_frames(film)] == [
        (0.0, 30),
        (0.5, 60),
        (1.0, 90),
        (1.5, 120),
    ]


def test_an_animation_has_times_of_its_own(tmp_path: Path):
    first, *others = [grey(value) for value in (0, 100, 200)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[500, 40, 200])
    film = open_film(tmp_path / "a.gif")
    assert [frame.time_s for frame in chosen_frames(film)] == pytest.approx([0.0, 0.5, 0.54])


def test_a_film_is_known_by_its_content_not_its_name(tmp_path: Path):
    write_film(tmp_path / "a.mp4").rename(tmp_path / "a.tif")
    assert isinstance(open_film(tmp_path / "a.tif"), VideoFile)
    with pytest.raises(FilmError, match="there is no such camera"):
        open_film(98)
