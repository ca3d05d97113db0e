"""Videos made here, whole and spoilt; cameras and streams by stand-ins."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrcnn.data.films.frame import Choice, FilmError, chosen_frames
from maskrcnn.data.films.video import PATIENCE_S, Camera, Stream, VideoFile, without_password
from tests.data.films.made_films import SIZE, changed, number_in, turned, with_durations, write_film


def numbers_and_times(film: VideoFile, choice: Choice | None = None) -> tuple[list[int], list[float]]:
    frames = list(chosen_frames(film, choice or Choice()))
    assert [number_in(frame.image) for frame in frames] == [frame.number for frame in frames]
    return [frame.number for frame in frames], [frame.time_s for frame in frames]


def test_frames_come_in_order_at_their_times(tmp_path: Path):
    film = VideoFile(write_film(tmp_path / "a.mp4"))
    assert (film.num_frames, film.frame_rate) == (6, 10.0)
    numbers, times = numbers_and_times(film)
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert film.notes() == []


def test_colours_are_rgb(tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 250), np.uint8))  # OpenCV's order: red
    writer.release()
    (frame,) = chosen_frames(VideoFile(tmp_path / "a.avi"))
    assert frame.image[16, 16, 0] > 200
    assert frame.image[16, 16, 2] < 60


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(every=2), [0, 2, 4]),
        (Choice(start_s=0.15), [2, 3, 4, 5]),
        (Choice(start_s=0.1, end_s=0.4), [1, 2, 3]),
        (Choice(start_s=0.1, every=2), [1, 3, 5]),
        (Choice(start_s=0.1, seconds=0.25), [1, 2, 3]),
        (Choice(frames=2), [0, 1]),
        (Choice(start_s=9.0), []),
    ],
)
def test_a_choice_of_frames(tmp_path: Path, choice: Choice, expected: list[int]):
    assert numbers_and_times(VideoFile(write_film(tmp_path / "a.mp4")), choice)[0] == expected


def test_choices_that_are_none():
    for wrong in ({"every": 0}, {"start_s": -1.0}, {"start_s": 2.0, "end_s": 2.0}, {"seconds": 0.0}, {"frames": 0}):
        with pytest.raises(ValueError, match=r"expected .*got"):
            Choice(**wrong)


def test_a_variable_frame_rate_is_in_the_times(tmp_path: Path):
    path = write_film(tmp_path / "a.mp4")
    with_durations(path, [1, 4, 1, 1, 2, 1])
    assert numbers_and_times(VideoFile(path))[1] == pytest.approx([0.0, 0.1, 0.5, 0.6, 0.7, 0.9])


def test_a_film_is_turned_as_it_says(tmp_path: Path):
    path = write_film(tmp_path / "a.mp4")
    turned(path)
    frame = next(chosen_frames(VideoFile(path)))
    assert frame.image.shape[:2] == SIZE[::-1]
    assert frame.image[4, -4].min() > 200  # the bright corner goes from the left top to the right top
    assert frame.image[4, 4].max() < 100


def test_a_film_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path: Path):
    path = write_film(tmp_path / "a.avi", 40, "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    film = VideoFile(path)
    num = len(list(chosen_frames(film)))
    assert 5 < num < 35
    (said,) = film.notes()
    assert f"{num} are there" in said


def test_broken_frames_are_left_out_and_counted(tmp_path: Path):
    path = write_film(tmp_path / "a.avi", 9, "MJPG")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 9
    data[starts[3] : starts[4] - 16] = bytes(starts[4] - 16 - starts[3])
    path.write_bytes(data)
    film = VideoFile(path)
    found = [number_in(frame.image) for frame in chosen_frames(film)]
    assert found == [0, 1, 2, 4, 5, 6, 7, 8]
    assert any("damaged in 1 place" in said for said in film.notes())


def test_what_is_no_film_is_said_in_one_sentence(tmp_path: Path):
    film = write_film(tmp_path / "film.mp4").read_bytes()

    def named(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    cases = {
        named("empty.mp4", b""): "is empty",
        named("text.mp4", b"not a film"): "not a video in a known format",
        named("a.wav", b"RIFF\0\0\0\0WAVEfmt "): "there is sound without pictures",
        named("a.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0"): "there is sound without pictures",
        named("cut.mp4", film[: len(film) // 2]): r"its index \(moov\) is missing",
        changed(named("sound.mp4", film), b"vide", b"soun"): "there is sound without pictures in it",
        changed(
            changed(named("codec.mp4", film), b"mp4v", b"zz9z"), b"esds", b"free"
        ): "in the codec zz9z, and this OpenCV cannot decode",
    }
    for path, sentence in cases.items():
        with pytest.raises(FilmError, match=sentence) as raised:
            VideoFile(path)
        assert str(raised.value).startswith(str(path))
        assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match="there is no such video file"):
        VideoFile(tmp_path / "none.mp4")
    with pytest.raises(FilmError, match="more than the 0 allowed"):
        VideoFile(tmp_path / "film.mp4", max_pixels=100)


def test_a_camera_that_is_not_there():
    with pytest.raises(FilmError, match="camera 97: there is no such camera"):
        Camera(97)


class FakeCapture:
    """Gives `num` frames, then none."""

    def __init__(self, num: int, claimed: float = 0.0) -> None:
        self.num, self.claimed = num, claimed

    def grab(self) -> bool:
        self.num -= 1
        return self.num >= 0

    def retrieve(self):
        return True, np.zeros((8, 8, 3), np.uint8)

    def get(self, key: int) -> float:
        return self.claimed if key == cv2.CAP_PROP_FRAME_COUNT else 0.0

    def release(self) -> None:
        pass


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def stream_of(captures: list[FakeCapture | None], **rest) -> Stream:
    time = FakeTime()
    opened = iter(captures)
    return Stream("rtsp://u:s@h/x", open_capture=lambda _: next(opened, None), wait=time.wait, clock=time.clock, **rest)


def test_a_stream_that_is_lost_is_found_again():
    stream = stream_of([FakeCapture(2), None, FakeCapture(3)])
    times = [frame.time_s for frame in chosen_frames(stream)]
    assert times == [0.0, 0.0, 1.5, 1.5, 1.5]  # waits of 0.5 and 1 s
    assert stream.notes() == [f"lost 2 times, the last time for more than {PATIENCE_S:g} s"]


def test_a_stream_with_an_end_ends():
    stream = stream_of([FakeCapture(2, claimed=2.0), FakeCapture(5)])
    assert len(list(chosen_frames(stream))) == 2
    assert stream.notes() == []


def test_a_film_on_a_web_server_is_read_to_its_end(tmp_path: Path):
    write_film(tmp_path / "a.mp4")
    handler = partial(SilentHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stream = Stream(f"http://127.0.0.1:{server.server_port}/a.mp4")
        frames = list(chosen_frames(stream))
        stream.close()
        server.shutdown()
    assert [number_in(frame.image) for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert not stream.is_live


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_frames_bound_a_stream():
    assert len(list(chosen_frames(stream_of([FakeCapture(100)]), Choice(frames=3)))) == 3


def test_a_stream_that_is_not_there_is_named_without_its_password():
    with pytest.raises(FilmError, match=r"^rtsp://h/x: there is no stream"):
        stream_of([None])
    assert without_password("http://h/a@b") == "http://h/a@b"
