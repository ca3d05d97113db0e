import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import maskrcnn
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_results import describe
from tests.coco_files import CATEGORY_IDS
from tests.tiny import scene

PICTURE, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))


@pytest.fixture(scope="module")
def predictor(weights: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(weights, device="cpu", batch_size=2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three pictures, and as second and last one a file that is none."""
    names = ("a.png", "text.jpg", "b/a.png", "c.png", "empty.png")
    (tmp_path / "b").mkdir()
    paths = [tmp_path / name for name in names]
    for path in (paths[0], paths[2], paths[3]):
        Image.fromarray(PICTURE).save(path)
    paths[1].write_text("not an image")
    paths[4].touch()
    return paths


def test_files_are_done_and_bad_ones_skipped(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path) -> None:
    out, lines, errors = tmp_path / "out", [], []
    summary = infer_files(predictor, files, out, say=lines.append, on_failure=errors.append)
    done = [str(files[i]) for i in (0, 2, 3)]
    assert [name for name, _ in summary.counts] == done
    assert list(summary.failures) == [files[1], files[4]]
    assert summary.root == tmp_path
    assert len(lines) == 3
    assert [str(error) for error in errors] == [
        f"{files[1]}: not an image in a known format (the file begins with b'not an image')",
        f"{files[4]}: the image file is empty (0 bytes)",
    ]
    with (out / "counts.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table] == ["a.png", "text.jpg", "b/a.png", "c.png", "empty.png"]
    assert table[1] == {
        "file": "text.jpg",
        "page": "",
        "square": "",
        "disc": "",
        "total": "",
        "status": "unreadable: not an image in a known format (the file begins with b'not an image')",
    }
    assert table[4]["status"] == "unreadable: the image file is empty (0 bytes)"
    limit = "more than 20 detections, the best 20 kept (detection.max_detections)"
    for row, (_, counts) in zip((table[0], table[2], table[3]), summary.counts, strict=True):
        assert row["status"].startswith("limit reached: ")
        assert row["status"].endswith(limit)
        assert {name: int(row[name]) for name in counts} == counts
        assert int(row["total"]) == sum(counts.values()) == 20
    names = sorted(path.name for path in out.iterdir() if path.is_file())
    # Two files are called a, so each is given its folder too.
    assert names == sorted(
        [
            f"{tmp_path.name}_a_instances.png",
            "b_a_instances.png",
            "c_instances.png",
            "counts.csv",
            "instances.json",
            "measurements.csv",
            "report.html",
        ]
    )
    assert Image.open(out / "c_instances.png").width >= 80


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # inside pycocotools
def test_json_is_a_coco_set(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infer_files(predictor, files, tmp_path / "out", is_drawn=False, say=lambda _: None, on_failure=lambda _: None)
    coco = COCO(str(tmp_path / "out" / "instances.json"))
    capsys.readouterr()
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["a.png", "b/a.png", "c.png"]
    assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == dict(
        zip(CATEGORY_IDS, ("square", "disc"), strict=True)
    )
    expected = predictor(PICTURE)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[3]))
    assert len(found) == len(expected) == 20
    for annotation, box, area, bitmap in zip(
        found, expected.boxes.tolist(), expected.areas(), expected.bitmaps(), strict=True
    ):
        x0, y0, x1, y1 = box
        assert annotation["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)
        assert annotation["area"] == area
        assert np.array_equal(coco.annToMask(annotation).astype(bool), bitmap)
    assert not list((tmp_path / "out").glob("*.png"))


def test_only_some_classes(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path) -> None:
    everything = infer_files(predictor, files[:1], tmp_path / "all", say=lambda _: None)
    some = infer_files(predictor, files[:1], tmp_path / "some", classes=["disc"], say=lambda _: None)
    assert some.counts == [(str(files[0]), {"disc": everything.counts[0][1]["disc"]})]
    assert (tmp_path / "some" / "counts.csv").read_text().startswith("file,page,disc,total,status\n")
    annotations = json.loads((tmp_path / "some" / "instances.json").read_text())["annotations"]
    assert {annotation["category_id"] for annotation in annotations} <= {CATEGORY_IDS[1]}
    with pytest.raises(ValueError, match="no class 'cat' in these weights; known: square, disc"):
        infer_files(predictor, files, tmp_path / "none", classes=["disc", "cat"])
    assert not (tmp_path / "none").exists()


def test_limits_are_gathered(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path) -> None:
    summary = infer_files(predictor, files[2:4], tmp_path / "out", is_drawn=False, say=lambda _: None)
    sentence = "more than 20 detections, the best 20 kept (detection.max_detections)"
    assert summary.ceilings[sentence] == [str(file) for file in files[2:4]]


def test_a_file_that_cannot_be_read_is_in_the_table(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    summary = infer_files(predictor, [files[1]], tmp_path / "out")
    assert (summary.counts, list(summary.failures)) == ([], [files[1]])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "counts.csv",
        "instances.json",
        "measurements.csv",
        "report.html",
    ]
    assert (tmp_path / "out" / "counts.csv").read_text().splitlines()[1].startswith("text.jpg,,,,,unreadable: not an")
    assert caplog.messages[0].startswith(f"{files[1]}: not an image")


def test_words() -> None:
    assert describe({"nucleus": 60}) == "nucleus 60"
    assert describe({"cat": 2, "dog": 0, "cow": 1}) == "cat 2, cow 1, total 3"
    assert describe({"cat": 0, "dog": 0}) == "nothing found (cat, dog)"
    assert describe(dict.fromkeys("abcd", 0)) == "nothing found (4 classes)"


def test_a_class_that_is_nearly_right(weights: Path, tmp_path: Path) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu")
    with pytest.raises(
        ValueError, match=r"no class 'sqare' in these weights; did you mean square\?; known: square, disc"
    ):
        infer_files(predictor, [tmp_path / "a.png"], tmp_path / "out", classes=["sqare"])


def test_a_library_job_speaks_through_the_logger(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    with caplog.at_level("INFO", "maskrcnn"):
        infer_files(maskrcnn.Predictor(weights, device="cpu"), [tmp_path / "a.png"], tmp_path / "out")
    assert [record.name for record in caplog.records] == ["maskrcnn"]
    assert "a.png: " in caplog.text
    assert capsys.readouterr().out == ""
