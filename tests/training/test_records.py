"""The CSV files of a run after a kill and a resume."""

import csv
import os
from pathlib import Path

import pytest

from maskrcnn.config import Config, validate
from maskrcnn.training import records as module
from maskrcnn.training.records import LossRecord, MetricRecord, RunRecords

LOSSES = ("objectness", "mask", "keypoint")  # whatever the heads of a model name theirs
COLUMNS = ("step", "lr", "total", *LOSSES, "seconds")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def losses(value: float) -> dict[str, float]:
    return dict.fromkeys(COLUMNS[1:], value)


def record(path: Path, start: int, steps: int) -> None:
    """Steps start + 1 .. start + steps of a run that knows `start`."""
    record = LossRecord(path, start, LOSSES)
    for step in range(start + 1, start + steps + 1):
        record.append(step, losses(step / 8))
    record.flush()


class TestLosses:
    def test_a_row_for_each_step(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        record(path, 0, 3)
        assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
        assert [row["step"] for row in read(path)] == ["1", "2", "3"]
        assert [float(row["mask"]) for row in read(path)] == [0.125, 0.25, 0.375]

    def test_nothing_is_written_before_flush_and_nothing_twice(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        record = LossRecord(path, 0, LOSSES)
        record.append(1, losses(1.0))
        assert not path.exists()
        record.flush()
        record.flush()
        assert len(read(path)) == 1

    def test_steps_that_are_done_again_are_dropped(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        record(path, 0, 5)
        record(path, 3, 4)  # resumed from a checkpoint of step 3
        assert [row["step"] for row in read(path)] == [str(step) for step in range(1, 8)]
        assert b"\r" not in path.read_bytes()

    def test_a_new_run_in_the_same_folder_starts_over(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        record(path, 0, 5)
        record(path, 0, 2)
        assert [row["step"] for row in read(path)] == ["1", "2"]

    @pytest.mark.parametrize("cut", [1, 4, 9, 15])
    def test_a_row_that_a_kill_cut_off_is_dropped(self, tmp_path: Path, cut: int):
        path = tmp_path / "losses.csv"
        record(path, 0, 12)
        whole = path.read_text().splitlines()
        path.write_text("\n".join([*whole[:-1], whole[-1][:cut]]))  # "1" of step 12 is no step 1
        record(path, 11, 2)
        assert [row["step"] for row in read(path)] == [str(step) for step in range(1, 14)]

    def test_a_kill_before_the_header(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        path.touch()
        record(path, 0, 2)
        assert [row["step"] for row in read(path)] == ["1", "2"]

    def test_rows_that_are_none_are_dropped(self, tmp_path: Path):
        path = tmp_path / "losses.csv"
        record(path, 0, 2)
        columns = path.read_text().splitlines()[0].count(",")
        path.write_bytes(path.read_bytes() + b"many\xff" + b"," * columns + b"\n-1" + b"," * columns + b"\n")
        record(path, 2, 1)
        assert [row["step"] for row in read(path)] == ["1", "2", "3"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
    def test_a_pipe_in_its_place_is_one_sentence(self, tmp_path: Path):
        os.mkfifo(tmp_path / "losses.csv")
        with pytest.raises(
            ValueError, match=r"losses\.csv: expected a table of this run, got something that is no file"
        ):
            record(tmp_path / "losses.csv", 0, 2)


class TestMetrics:
    def test_rows_are_written_at_once(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        metrics = MetricRecord(path, 0)
        metrics.append(5, {"mask_ap": 0.5, "count_mae": None})
        assert read(path) == [{"step": "5", "mask_ap": "0.5", "count_mae": ""}]

    def test_evaluations_that_are_done_again_are_dropped(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        metrics = MetricRecord(path, 0)
        for step in (5, 10, 15):
            metrics.append(step, {"mask_ap": step / 100, "count_mae": None})
        MetricRecord(path, 10).append(15, {"mask_ap": 0.75, "count_mae": 2.0})
        assert [(row["step"], row["mask_ap"]) for row in read(path)] == [("5", "0.05"), ("10", "0.1"), ("15", "0.75")]


class Board:
    """In TensorBoard's place."""

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step, self.scalars, self.is_closed = folder, purge_step, [], False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.is_closed = True


def test_a_run_s_records_go_to_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SummaryWriter", Board)
    config = validate(Config, {"train": {"steps": 9, "warmup_steps": 2}}, "test")
    records = RunRecords(tmp_path / "run", config, 4, LOSSES)
    board = records.board
    assert isinstance(board, Board)
    assert (board.folder, board.purge_step) == (str(tmp_path / "run" / "tensorboard"), 5)
    assert (records.bar.total, records.bar.n) == (9, 4)
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(records.bar, "update", lambda: setattr(records.bar, "n", records.bar.n + 1))
    monkeypatch.setattr(records.bar, "set_postfix", shown.append)
    records.add(5, losses(0.25))
    records.add(6, losses(0.5))
    assert records.bar.n == 6
    assert shown[-1] == dict.fromkeys(("total", *LOSSES), "0.500")
    records.add_evaluation(6, {"mask_ap": 0.75, "count_mae": None})
    assert board.scalars[-1] == ("val/mask_ap", 0.75, 6)
    assert ("train/mask", 0.25, 5) in board.scalars
    assert len(board.scalars) == 2 * len(COLUMNS[1:]) + 1
    caplog.set_level("INFO", "maskrcnn")
    records.flush("step 6 of 9")
    assert [row["step"] for row in read(tmp_path / "run" / "losses.csv")] == ["5", "6"]
    assert ("step 6 of 9" in caplog.text) == bool(records.bar.disable)
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    records.add(7, losses(1.0))
    records.close()
    assert [row["step"] for row in read(tmp_path / "run" / "losses.csv")] == ["5", "6", "7"]
    assert board.is_closed
