import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_results import JobSummary
from maskrcnn.report.intervals import CountIntervals, check_order, spreads
from maskrcnn.report.selection import Selection
from tests.tiny import scene

PICTURE, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))
NAMES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture(scope="module")
def knowing(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that know the errors of forty images: up to 4 spreads, of the square always 2 too few."""
    checkpoint = load_checkpoint(weights)
    rpn = checkpoint.settings.rpn.model_copy(update={"pre_nms_top_n": 10_000, "post_nms_top_n": 10_000})
    unlimited = checkpoint.settings.model_copy(update={"rpn": rpn})
    found = maskrcnn.Predictor(replace(checkpoint, settings=unlimited), device="cpu")(PICTURE)
    threshold = round(found.scores[12].item(), 4)
    errors = np.linspace(-4, 4, 40)
    fitted = CountIntervals(("square", "disc"), threshold, ((2.0,) * 40, tuple(errors), tuple(errors)))
    detection = checkpoint.settings.detection.model_copy(update={"score_threshold": threshold})
    settings = unlimited.model_copy(update={"detection": detection})
    path = tmp_path_factory.mktemp("knowing") / "weights.safetensors"
    save_checkpoint(path, checkpoint.tensors, settings, checkpoint.card | {"count_intervals": fitted.to_dict()})
    return path


@pytest.fixture(scope="module")
def predictor(knowing: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(knowing, device="cpu")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Pictures, each with another number of detections, and one that is none."""
    paths = [tmp_path / name for name in NAMES]
    for i, path in enumerate(paths[:3]):
        Image.fromarray(np.roll(PICTURE, 5 * i, axis=1)).save(path)
    paths[3].touch()
    return paths


def run(predictor: maskrcnn.Predictor, files: list[Path], out: Path, **how: object) -> JobSummary:
    quiet = {"is_drawn": False, "say": lambda _: None, "on_failure": lambda _: None}
    return infer_files(predictor, files, out, **{**quiet, **how})  # pyright: ignore[reportArgumentType]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "counts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_the_intervals_of_the_library(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path):
    run(predictor, files, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert list(rows[0]) == [
        *("file", "page", "square", "disc", "total", "square_low", "square_high", "disc_low", "disc_high"),
        *("total_low", "total_high", "check_order", "status"),
    ]
    intervals = predictor.count_intervals
    assert intervals is not None
    spread = []
    for row, file in zip(rows[:3], files[:3], strict=True):
        found = predictor(file)
        by_class, total = intervals.of_instances(found)
        assert total is not None
        assert [row["total_low"], row["total_high"]] == [str(end) for end in total]
        for name, interval in by_class.items():
            assert interval is not None
            assert [row[f"{name}_low"], row[f"{name}_high"]] == [str(end) for end in interval]
        spread.append(spreads(found.labels.numpy(), found.scores.numpy(), 2)[-1])
    assert [int(row["check_order"]) - 1 for row in rows[:3]] == np.argsort(check_order(np.array(spread))).tolist()
    page = (tmp_path / "out" / "report.html").read_text()
    for row in rows[:3]:
        assert f'"interval":[{row["total_low"]},{row["total_high"]}]' in page
    assert "90% of true counts lie between them" in page
    assert {rows[3][key] for key in ("total_low", "square_high", "check_order")} == {""}


def test_the_level_widens_them(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path):
    wide = run(predictor, files, tmp_path / "wide", interval=0.95).total
    narrow = run(predictor, files, tmp_path / "narrow", interval=0.5).total
    assert wide is not None
    assert narrow is not None
    assert wide.interval[0] < narrow.interval[0] <= narrow.interval[1] < wide.interval[1]
    for rough, fine in zip(table(tmp_path / "wide")[:3], table(tmp_path / "narrow")[:3], strict=True):
        assert int(rough["disc_high"]) > int(fine["disc_high"])
        assert rough["square_high"] == fine["square_high"], "all errors of the square are equal"


@pytest.mark.parametrize(
    "how", [{"score": 0.3}, {"resize": 2.0}, {"max_detections": 5}, {"exclusive_classes": "all"}], ids=str
)
def test_other_settings_are_not_those_that_it_was_calibrated_at(knowing: Path, how: dict):
    assert maskrcnn.Predictor(knowing, device="cpu", **how).count_intervals is None


def test_some_objects_only_are_not_what_was_calibrated(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path
):
    run(predictor, files, tmp_path / "out", selection=Selection(exclude_border=True))
    assert "total_low" not in table(tmp_path / "out")[0]


def test_one_class_has_its_own_interval_and_a_total(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path):
    summary = run(predictor, files, tmp_path / "out", classes=["disc"])
    for row in table(tmp_path / "out")[:3]:
        assert (row["disc_low"], row["disc_high"]) == (row["total_low"], row["total_high"]) != ("", "")
    assert summary.total is None, "the errors of a sum were calibrated with all classes"


def test_what_was_cut_off_at_a_limit_has_none(knowing: Path, files: list[Path], tmp_path: Path):
    checkpoint = load_checkpoint(knowing)
    detection = checkpoint.settings.detection.model_copy(update={"max_detections": 3})
    cut = tmp_path / "cut.safetensors"
    save_checkpoint(
        cut, checkpoint.tensors, checkpoint.settings.model_copy(update={"detection": detection}), checkpoint.card
    )
    summary = run(maskrcnn.Predictor(cut, device="cpu", tile="off"), files, tmp_path / "out")
    assert {row["total_high"] for row in table(tmp_path / "out")} == {""}
    assert summary.total is None


def test_counts_by_hand_take_the_place_of_what_was_found(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path
):
    before = run(predictor, files, tmp_path / "out")
    text = (tmp_path / "out" / "counts.csv").read_text().splitlines()
    cells = text[1].split(",")
    cells[2:5], cells[-1] = ["7", "5", "999"], "checked"
    by_hand = tmp_path / "checked.csv"
    by_hand.write_text("\n".join([text[0], ",".join(cells), *text[2:]]))
    after = run(predictor, files, tmp_path / "out", checked=by_hand)
    row = table(tmp_path / "out")[0]
    assert [row[key] for key in ("square", "disc", "total", "status")] == ["7", "5", "12", "checked"]
    assert [row[key] for key in ("square_low", "square_high", "total_low", "total_high")] == ["7", "7", "12", "12"]
    assert row["check_order"] == ""
    assert sorted(int(row["check_order"]) for row in table(tmp_path / "out")[1:3]) == [1, 2]
    assert after.counts[0][1] == {"square": 7, "disc": 5}
    assert after.counts[1:] == before.counts[1:]
    assert before.total is not None
    assert after.total is not None
    assert after.total.num_checked == 1
    assert after.total.interval[1] - after.total.interval[0] < before.total.interval[1] - before.total.interval[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,page,square,total,status"], "'disc' is missing"),
        (["file,page,square,disc,total,status", "z.png,,1,1,2,checked"], "line 2: 'z.png' is not among the images"),
        (["file,page,square,disc,total,status", "a.png,3,1,1,2,checked"], "line 2: 'a.png' page 3 is not among"),
        (
            ["file;page;square;disc;total;status", "a.png;;1;many;2;checked"],
            "expected the number of 'disc' in column 'disc', got 'many'",
        ),
        (["file,page,square,disc,total,status", "a.png,,1,-1,2,checked"], "got '-1'"),
        (["file,page,square,disc,total,status", "a.png,,1,1,2,ok"], "no row with the status 'checked'"),
        (["file,page,square,disc,total,status", "a.png,,1,1"], "line 2: expected 6 cells"),
        ([], "'file' is missing"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_before_anything_is_done(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path, lines: list[str], message: str
):
    path = tmp_path / "checked.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"checked\.csv") as caught:
        run(predictor, files, tmp_path / "out", checked=path)
    assert message in str(caught.value)
    assert not (tmp_path / "out" / "counts.csv").exists()


def test_a_level_that_is_none(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path):
    with pytest.raises(ValueError, match="expected a share between 0 and 1, got 90"):
        run(predictor, files, tmp_path / "out", interval=90.0)
