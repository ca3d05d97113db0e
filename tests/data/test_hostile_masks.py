"""Masks and lists that once took all memory or all time: each is named in a sentence, within limits."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats import bitmaps, finding
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.formats.voc import VOC_NAMES
from maskrcnn.untrusted import plain_text


def label_images(folder: Path, values: np.ndarray) -> Path:
    for name, pixels in (("images", np.zeros(values.shape, np.uint8)), ("masks", values)):
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "1.png")
    return folder


def test_noise_is_no_label_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of 200 kB can have 200 million runs, and each takes 60 bytes on the way."""
    values = np.tile(np.array([[1], [2]], np.uint8), (20, 60))
    folder = label_images(tmp_path, values)
    monkeypatch.setattr(bitmaps, "MAX_RUNS", 39 * 60)
    assert [len(table.names) for table in read_dataset(folder).values()] == [2]
    monkeypatch.setattr(bitmaps, "MAX_RUNS", 39 * 60 - 1)
    with pytest.raises(ValueError, match="the mask changes 2340 times down its columns, as noise does"):
        read_dataset(folder)
    monkeypatch.undo()
    monkeypatch.setattr(bitmaps, "MAX_OBJECTS", 1)
    with pytest.raises(ValueError, match="the mask has 2 objects, more than the 1"):
        read_dataset(folder)


def test_changes_are_counted_across_strips(monkeypatch: pytest.MonkeyPatch):
    values = np.arange(10, dtype=np.uint8)[:, None].repeat(3, 1)
    monkeypatch.setattr("maskrcnn.data.pictures.pixels.STRIP_NUMBERS", 6)
    monkeypatch.setattr(bitmaps, "MAX_RUNS", 27)
    bitmaps.expect_few_runs(values)
    monkeypatch.setattr(bitmaps, "MAX_RUNS", 26)
    with pytest.raises(ValueError, match="changes 27 times"):
        bitmaps.expect_few_runs(values)


def test_frames_of_scattered_objects_are_looked_at_as_far_as_time_allows(monkeypatch: pytest.MonkeyPatch):
    """Two far pixels each: a thousand such objects would each take a look at the whole picture."""
    values = np.zeros((20, 20), np.uint8)
    values[0, 0] = values[0, 5] = 3
    for value in (1, 2):
        values[value, 0] = values[19 - value, 19] = value
    rles = list(bitmaps.rles_by_value(values).values())
    assert bitmaps.scattered(rles) == [2, 2, 2]
    monkeypatch.setattr(bitmaps, "LOOKED_AT", 0.5)
    assert bitmaps.scattered(rles) == [0, 0, 2]
    monkeypatch.undo()
    monkeypatch.setattr(bitmaps, "MAX_WINDOW_PX", 6)
    assert bitmaps.scattered(rles) == [0, 0, 2]
    assert bitmaps.scattered([]) == []


def voc(folder: Path, objects: np.ndarray, classes: np.ndarray) -> Path:
    for name, values in (("JPEGImages", objects), ("SegmentationObject", objects), ("SegmentationClass", classes)):
        (folder / name).mkdir()
        Image.fromarray(values).save(folder / name / "1.png")
    return folder


def test_masks_of_voc_take_little_more_than_their_pixels(tmp_path: Path):
    objects = np.zeros((3000, 2000), np.uint8)
    objects[100:200, 100:300] = 1
    colours = np.zeros((3000, 2000, 3), np.uint8)
    colours[100:200, 100:300] = (128, 0, 0)
    folder = voc(tmp_path, np.stack([objects * 128, objects * 0, objects * 0], axis=2), colours)
    tracemalloc.start()
    try:
        (table,) = read_dataset(folder).values()
        assert (table.class_names, len(table.names)) == ((VOC_NAMES), 1)
        assert tracemalloc.get_traced_memory()[1] < 10 * objects.size  # it was 70
    finally:
        tracemalloc.stop()


def yolo(folder: Path, lines: str = "0 0.1 0.1 0.5 0.1 0.5 0.5\n", train: str = "images") -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir()
    Image.new("RGB", (60, 40), (9, 200, 9)).save(folder / "images" / "1.png")
    (folder / "labels" / "1.txt").write_text(lines)
    (folder / "data.yaml").write_text(f"train: {train}\nnames: [a]\n")
    return folder


def test_lists_and_labels_of_yolo_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plain_text, "MAX_LINES", 5)
    folder = yolo(tmp_path, "0 0.1 0.1 0.5 0.1 0.5 0.5\n" * 6)
    (table,) = read_dataset(folder).values()
    (problem,) = [one for one in table.problems if one.severity == "error"]
    assert (problem.kind, problem.reason) == (
        "unreadable-annotations",
        "the file has 6 lines, more than the 5 that are read",
    )
    (folder / "data.yaml").write_text("train: list.txt\nnames: [a]\n")
    (folder / "list.txt").write_text("images/1.png\n" * 6)
    with pytest.raises(ValueError, match=r"list\.txt: the file has 6 lines, more than the 5"):
        read_dataset(folder)


def test_lines_that_cannot_be_used_are_named_as_far_as_a_page_has_room(tmp_path: Path):
    folder = yolo(tmp_path, "x\n" * 1500 + "0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (table,) = read_dataset(folder).values()
    reasons = [problem.reason for problem in table.problems]
    assert len(reasons) == 1001
    assert reasons[-1] == "500 more lines cannot be used"
    assert len(table.names) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_pipes_beside_annotations_are_not_waited_for(tmp_path: Path):
    folder = yolo(tmp_path)
    os.mkfifo(folder / "a.yaml")
    os.mkfifo(folder / "a.json")
    assert [len(table.names) for table in read_dataset(folder).values()] == [1]
    lists = voc(tmp_path / "labels", np.ones((4, 4), np.uint8), np.ones((4, 4), np.uint8)) / "ImageSets"
    (lists / "Segmentation").mkdir(parents=True)
    os.mkfifo(lists / "Segmentation" / "train.txt")
    assert list(read_dataset(lists.parent)) == ["all"]


def test_json_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.json"
    path.write_text('{"categories": [1, 2, 3]}')
    monkeypatch.setattr(finding, "memory_bytes", lambda: 8 * path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"x\.json has 25 bytes; as JSON it takes 8 times that, more than the memory"):
        finding.load_json(path)
    monkeypatch.setattr(finding, "memory_bytes", lambda: 8 * path.stat().st_size)
    assert finding.load_json(path)["categories"]
