"""The data folder: what was changed is there after a kill at any byte, and as COCO."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.serve.corrections import AddPolygon, Brush, Merge, Relabel, Remove, Split, outcome
from maskrcnn.serve.engine import Found
from maskrcnn.serve.project import Project
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import decode
from tests.serve.conftest import PICTURE, png

NAMES = ("square", "<script>alert(1)</script>")
SIZE = (64, 80)


def opened(folder: Path, score: float = 0.5) -> Project:
    return Project(folder, NAMES, (3, 7), score, "test")


def found(*boxes: tuple[int, int, int, int], scores: tuple[float, ...] = (0.9, 0.8, 0.3)) -> Found:
    """Masks that fill their boxes."""
    num = len(boxes)
    instances = Instances(
        SIZE,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(num, dtype=torch.int64),
        torch.tensor(scores[:num]),
        torch.ones(num, 28, 28),
        NAMES,
        "integer",
    )
    return Found(PICTURE, instances)


def correct(project: Project, id: str, asked: Any) -> None:
    before, after = outcome(asked, project.pictures[id], project.class_names, lambda box: None)
    project.edit(id, asked.what, before, after, asked.by)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One picture with three objects, of which the third is below the threshold."""
    project = opened(tmp_path / "data")
    (one,) = project.add("cells.png", png(), 1)
    project.found(one.id, found((4, 4, 20, 24), (30, 4, 50, 24), (4, 40, 20, 60)))
    return project


STEPS = (
    Remove(what="remove", numbers=[1], by="Anna"),
    Relabel(what="relabel", numbers=[2], label=1, by="Bo"),
    AddPolygon(what="add-polygon", points=[(60, 40), (70, 40), (70, 50), (60, 50)], label=0, by="Anna"),
    Brush(what="brush", points=[(65, 45), (75, 45)], radius=2, number=4, by="Anna"),
    Brush(what="brush", points=[(62, 42)], radius=1, number=4, erases=True, by="Anna"),
    Merge(what="merge", numbers=[2, 4], by="Bo"),
    Split(what="split", number=3, points=[(12, 30), (12, 70)], by="Bo"),
)


def state(project: Project, id: str = "000001") -> Any:
    picture = project.pictures[id]
    checked = None if picture.checked is None else vars(picture.checked)
    objects = {n: one.to_dict() for n, one in sorted(picture.objects.items())}
    return objects, picture.state, checked, len(picture.done), len(picture.undone)


def test_every_state_is_read_again(project: Project):
    for asked in STEPS:
        correct(project, "000001", asked)
        assert state(opened(project.folder)) == state(project)
    for what in ("undo", "undo", "redo", "check"):
        project.note("000001", {"what": what, "by": "Anna", "at": "now"})
        assert state(opened(project.folder)) == state(project)
    assert sorted(project.pictures["000001"].objects) == [3, 5]


def test_a_kill_at_any_byte_loses_at_most_the_last_change(project: Project, tmp_path: Path):
    states = [state(project)]
    for asked in STEPS:
        correct(project, "000001", asked)
        states.append(state(project))
    journal = project.folder / "journal" / "000001.jsonl"
    whole = journal.read_bytes()
    starts = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    copy = tmp_path / "killed"
    shutil.copytree(project.folder, copy)
    for end in range(starts[1], len(whole) + 1, 37):
        (copy / "journal" / "000001.jsonl").write_bytes(whole[:end])
        assert state(opened(copy)) == states[whole[:end].count(b"\n") - 2]


KILLED = """
import sys
from pathlib import Path
from maskrcnn.serve.corrections import Brush, outcome
from maskrcnn.serve.project import Project
project = Project(Path(sys.argv[1]), sys.argv[2:], (3, 7), 0.5, "test")
for i in range(100_000):
    stroke = Brush(what="brush", points=[(i % 80, i % 64)], radius=3)
    before, after = outcome(stroke, project.pictures["000001"], project.class_names, None)
    project.edit("000001", "brush", before, after, "Anna")
    project.save()
    print(i + 1, flush=True)
"""


def test_a_process_that_is_killed_loses_at_most_its_last_change(project: Project):
    command = [sys.executable, "-c", KILLED, str(project.folder), *NAMES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 20:
            pass
        process.kill()
        told = [20, *map(int, process.stdout.read().split())]
    again = opened(project.folder)
    assert len(again.pictures["000001"].done) - told[-1] in (0, 1)
    again.save()
    data = json.loads((project.folder / "annotations.json").read_text())
    assert len(data["annotations"]) == 2 + len(again.pictures["000001"].done)


def test_undoing_all_gives_what_was_found_and_redoing_all_what_was_corrected(project: Project):
    before = state(project)[0]
    for asked in STEPS:
        correct(project, "000001", asked)
    after = state(project)[0]
    for _ in STEPS:
        project.note("000001", {"what": "undo", "by": "", "at": ""})
    assert state(project)[0] == before
    for _ in STEPS:
        project.note("000001", {"what": "redo", "by": "", "at": ""})
    assert state(project)[0] == after
    with pytest.raises(LookupError):
        project.note("000001", {"what": "redo", "by": "", "at": ""})
    assert state(opened(project.folder)) == state(project)  # what could not be done was not written


def test_what_corrections_do_to_pixels(project: Project):
    picture = project.pictures["000001"]
    correct(project, "000001", STEPS[2])
    expected = np.zeros(SIZE, bool)
    expected[40:50, 60:70] = True
    np.testing.assert_array_equal(decode(picture.objects[4].rle), expected)
    assert picture.objects[4].box == (60, 40, 70, 50)
    correct(project, "000001", Merge(what="merge", numbers=[1, 4]))
    expected[4:24, 4:20] = True
    np.testing.assert_array_equal(decode(picture.objects[5].rle), expected)
    correct(project, "000001", STEPS[6])
    assert len(picture.objects) == 4
    erase = Brush(what="brush", points=[(40, 14)], radius=40, number=2, erases=True)
    correct(project, "000001", erase)
    assert 2 not in picture.objects  # nothing was left of it


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Remove(what="remove", numbers=[9]), "there is no object 9"),
        (Relabel(what="relabel", numbers=[1], label=2), "label: expected 0 to 1, got 2"),
        (Merge(what="merge", numbers=[1, 1]), "two different objects"),
        (Brush(what="brush", points=[(1, 1)], radius=1, erases=True), "choose the object"),
        (Split(what="split", number=1, points=[(1, 1), (2, 2)]), "does not cut"),
        (AddPolygon(what="add-polygon", points=[(1, 1)], label=0), "at least 3 points"),
    ],
    ids=lambda value: getattr(value, "what", None),
)
def test_what_cannot_be_done_changes_nothing(project: Project, asked: Any, sentence: str):
    before = state(project)
    with pytest.raises(ValueError, match=sentence):
        correct(project, "000001", asked)
    assert state(project) == before == state(opened(project.folder))


def test_the_data_set_says_who_changed_what(project: Project):
    for asked in STEPS[:4]:
        correct(project, "000001", asked)
    project.note("000001", {"what": "check", "by": "Anna", "at": "2026-11-27T12:00:00+00:00"})
    project.add("other.png", png(255 - PICTURE), 1)
    project.save()
    data = json.loads((project.folder / "annotations.json").read_text())
    (image,) = data["images"]
    assert image["checked"]["by"] == "Anna"
    assert [(one["number"], one["what"], one["by"]) for one in image["removed"]] == [(1, "remove", "Anna")]
    told = {
        one["number"]: (one["source"], [(c["what"], c["by"]) for c in one["changes"]]) for one in data["annotations"]
    }
    assert told == {
        2: ("model", [("relabel", "Bo")]),
        4: ("person", [("add-polygon", "Anna"), ("brush", "Anna")]),
    }  # not 3, which is below the threshold
    assert [one["name"] for one in data["categories"]] == list(NAMES)
    coco = COCO(str(project.folder / "checked.json"))
    assert coco.annToMask(coco.anns[2]).sum() == coco.anns[2]["area"]


def test_what_is_saved_is_taken_by_train(project: Project):
    project.note("000001", {"what": "check", "by": "Anna", "at": ""})
    project.save()
    (table,) = read_dataset(project.folder / "checked.json", project.folder / "images", "coco").values()
    assert [problem for problem in table.problems if problem.row_of_table()[0] == "error"] == []
    assert table.class_names == NAMES
    assert len(table.rows(0)) == 2


def test_only_checked_pictures_are_for_training(project: Project):
    project.save()
    assert json.loads((project.folder / "checked.json").read_text())["images"] == []
    assert len(json.loads((project.folder / "annotations.json").read_text())["images"]) == 1


def test_nothing_is_written_where_nothing_has_changed(project: Project):
    project.save()
    (project.folder / "annotations.json").unlink()
    project.save()
    assert not (project.folder / "annotations.json").exists()
    project.set_score(0.2)
    project.save()
    assert len(json.loads((project.folder / "annotations.json").read_text())["annotations"]) == 3
    assert opened(project.folder).score == 0.2


def test_the_next_picture_is_the_one_least_sure(tmp_path: Path):
    project = opened(tmp_path)
    ids = [project.add(f"{i}.png", png(PICTURE + np.uint8(i)), 1)[0].id for i in range(4)]
    assert project.next() is None
    box = (4, 4, 20, 24)
    for id, scores in zip(ids, [(0.99,), (0.6, 0.55), (0.6,), (0.2,)], strict=True):
        project.found(id, found(*[box] * len(scores), scores=scores))
    order = []
    while (id := project.next()) is not None:
        order.append(ids.index(id))
        project.note(id, {"what": "check", "by": "", "at": ""})
    assert order == [1, 2, 0, 3]  # variances: 0.24 + 0.2475, 0.24, 0.0099, and 0 of nothing counted
    project.note(ids[1], {"what": "uncheck", "by": "", "at": ""})
    assert project.next(ids[1]) == ids[1]  # there is no other
    project.note(ids[3], {"what": "uncheck", "by": "", "at": ""})
    assert project.next(ids[1]) == ids[3]


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.png",
        "/etc/passwd",
        "..\\..\\evil.png",
        "C:\\evil.png",
        "",
        "..",
        "a\0b.png",
        "x" * 500,
        ".maskrcnn-lock",
    ],
)
def test_uploads_stay_in_the_folder(tmp_path: Path, name: str):
    project = opened(tmp_path / "data")
    (one,) = project.add(name, png(), 1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {"images", "journal", "data"}
    assert (tmp_path / "data" / "images" / one.file_name).read_bytes() == png()
    (other,) = project.add(name, png(255 - PICTURE), 1)  # beside it
    assert other.file_name != one.file_name
    assert state(opened(tmp_path / "data"), other.id) == state(project, other.id)


def test_files_of_one_name_are_kept_apart_and_the_same_file_once(tmp_path: Path):
    project = opened(tmp_path)
    first, other, again = (project.add("a.png", data, 1)[0] for data in (png(), png(255 - PICTURE), png()))
    assert (first.file_name, other.file_name) == ("a.png", "a_2.png")
    assert again is first
    assert list(project.waiting) == [first.id, other.id]
    np.testing.assert_array_equal(project.read(other.id), 255 - PICTURE)


def test_a_link_among_the_pictures_is_not_written_through(tmp_path: Path):
    project = opened(tmp_path / "data")
    (tmp_path / "secret").write_text("mine")
    (project.folder / "images" / "a.png").symlink_to(tmp_path / "secret")
    (one,) = project.add("a.png", png(), 1)
    assert one.file_name == "a_2.png"
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_link_is_not_kept_as_a_picture_and_not_read(tmp_path: Path):
    project = opened(tmp_path / "data")
    (tmp_path / "outside.png").write_bytes(png())
    (project.folder / "images" / "a.png").symlink_to(tmp_path / "outside.png")
    (one,) = project.add("a.png", png(), 1)
    assert one.file_name == "a_2.png"
    path = project.folder / "images" / one.file_name
    path.unlink()
    path.symlink_to(tmp_path / "outside.png")
    with pytest.raises(ImageError, match="a link in place of the picture"):
        project.read(one.id)


def test_what_cannot_be_written_is_not_done(project: Project, monkeypatch: pytest.MonkeyPatch):
    before = state(project)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maskrcnn.serve.project.append", full)
    with pytest.raises(OSError, match="No space left"):
        correct(project, "000001", STEPS[0])
    assert state(project) == before == state(opened(project.folder))


def test_a_new_change_after_undoing_leaves_nothing_to_redo(project: Project):
    correct(project, "000001", STEPS[0])
    project.note("000001", {"what": "undo", "by": "", "at": ""})
    correct(project, "000001", STEPS[1])
    assert project.pictures["000001"].undone == []


def test_a_journal_does_not_lead_out_of_the_folder(project: Project):
    (project.folder / "journal" / "000002.jsonl").write_text('{"file_name":"../../secret.png","page":null}\n')
    with pytest.raises(ValueError, match=r"000002.jsonl: not a journal of this program \(the name of its picture"):
        opened(project.folder)


def test_what_waits_waits_after_a_restart(tmp_path: Path):
    project = opened(tmp_path)
    pages = project.add("film.tif", b"film", 3)
    assert [one.page for one in pages] == [0, 1, 2]
    assert list(opened(tmp_path).waiting) == [one.id for one in pages]
    project.note(pages[1].id, {"failed": "it is damaged"})
    assert list(opened(tmp_path).waiting) == [pages[0].id, pages[2].id]
    assert opened(tmp_path).pictures[pages[1].id].failure == "it is damaged"


def test_other_classes_are_refused(project: Project):
    with pytest.raises(ValueError, match="was made with the classes square, "):
        Project(project.folder, ("cat",), (), 0.5, "test")
