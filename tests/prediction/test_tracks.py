"""The frames of a film with their objects, from Python."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import maskrcnn
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.tracks import find, in_background, sure_score
from tests.coco_files import write_checkpoint
from tests.prediction.test_film_job import NUM, write_squares


def test_frames_come_with_their_objects(tmp_path: Path):
    film = write_squares(tmp_path / "film.avi")
    line = maskrcnn.LineCounter((40, 48), (128, 48))
    frames = []
    for frame in maskrcnn.track(MethodPredictor("otsu"), film):
        line.update(frame.instances)
        frames.append((frame.number, frame.time_s, frame.track_ids.tolist(), frame.image.shape))
    assert [frame[0] for frame in frames] == list(range(NUM))
    assert [frame[1] for frame in frames] == pytest.approx([t / 10 for t in range(NUM)])
    assert {tuple(sorted(frame[2])) for frame in frames} == {(1, 2)}
    assert line.counts["in"] == {"object": 1}


def test_who_stops_early_closes_the_film(tmp_path: Path):
    frames = maskrcnn.track(MethodPredictor("otsu"), write_squares(tmp_path / "film.avi"), confirm_frames=1)
    assert next(frames).number == 0
    frames.close()
    assert next(frames, None) is None


def test_what_is_wrong_is_said_before_the_first_frame(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        maskrcnn.track(MethodPredictor("otsu"), tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="every"):
        maskrcnn.track(MethodPredictor("otsu"), write_squares(tmp_path / "film.avi"), every=0)


def test_doubtful_detections_are_found_for_tracks_alone(tmp_path: Path):
    predictor = Predictor(write_checkpoint(tmp_path / "tiny.safetensors"), device="cpu", score=0.4)
    scores: list[float] = []

    def detect(images):
        scores.append(predictor.model.box_head.rules.score_threshold)
        return real(images)

    real, predictor.model.detect = predictor.model.detect, detect
    find(predictor, [np.zeros((64, 64, 3), np.uint8)])
    assert scores == [0.2]
    assert predictor.model.box_head.rules.score_threshold == 0.4
    assert sure_score(predictor) == 0.4


def test_no_more_is_made_ahead_than_was_allowed():
    @dataclass
    class State:
        made: int = 0
        used: int = 0
        most: int = 0

    state = State()

    def items():
        for number in range(50):
            state.made += 1
            state.most = max(state.most, state.made - state.used)
            yield number

    for item in in_background(items(), 3):
        assert item == state.used
        state.used += 1
    assert state.used == 50
    assert state.most <= 3 + 2  # those that wait, one being made, and the one that is used


def test_what_goes_wrong_in_the_background_is_raised_here():
    def items():
        yield 1
        raise OSError("disk")

    found = in_background(items(), 2)
    assert next(found) == 1
    with pytest.raises(OSError, match="disk"):
        next(found)
