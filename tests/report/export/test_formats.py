"""What holds for every format: whole files, names of strangers, and nothing replaced that is not ours."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maskrcnn.optional import MissingPackageError
from maskrcnn.report.export import formats, imagej
from maskrcnn.report.export.formats import FORMATS, write_formats
from maskrcnn.report.export.picture import FoundPicture, stems
from tests.report.export.objects import NAMES, found, mask, picture

ALL = [name for name in FORMATS if name != "imagej"]


def test_all_that_were_asked_for_are_named():
    asked = "coco yolo voc labelme cvat label-studio via geojson imagej label-image masks cutouts mot csv"
    assert set(asked.split()) <= set(FORMATS)


@pytest.mark.parametrize("name", ALL)
def test_a_second_export_replaces_the_first_and_removes_what_is_no_more(name: str, tmp_path: Path):
    one, two = picture("one.png", "one"), picture("two.png", "two")
    write_formats(tmp_path, [name], [one, two], NAMES)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    write_formats(tmp_path, [name], [two], NAMES)
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert after <= before
    assert not [path for path in after if "one" in path.relative_to(tmp_path).as_posix()]
    assert any("two" in path.as_posix() or "two" in path.read_text() or name in ("mot", "csv") for path in after)


def test_nothing_is_replaced_that_no_export_wrote(tmp_path: Path):
    (tmp_path / "labelme").mkdir()
    mine = tmp_path / "labelme" / "one.json"
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match=r"one\.json: a file that no earlier export wrote would be overwritten"):
        write_formats(tmp_path, ["labelme"], [picture("one.png", "one")], NAMES)
    assert mine.read_text() == "mine"
    write_formats(tmp_path, ["labelme"], [picture("one.png", "one")], NAMES, overwrite=True)
    assert json.loads(mine.read_text())["imagePath"] == "one.png"


def test_a_list_of_ours_that_a_stranger_wrote_removes_nothing_elsewhere(tmp_path: Path):
    (tmp_path / "labelme").mkdir()
    (tmp_path / "precious.txt").write_text("mine")
    listed = ["../precious.txt", str(tmp_path / "precious.txt"), 7]
    (tmp_path / "labelme" / ".written").write_text(json.dumps(listed))
    write_formats(tmp_path, ["labelme"], [], NAMES)
    assert (tmp_path / "precious.txt").exists()


@pytest.mark.parametrize("name", ALL)
def test_a_failure_leaves_no_half_file(name: str, tmp_path: Path):
    def pictures():
        yield picture("one.png", "one")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_formats(tmp_path, [name], pictures(), NAMES)
    assert not [path for path in tmp_path.rglob("*.part")]
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())


@pytest.mark.parametrize("name", ALL)
def test_pictures_without_objects_and_objects_without_a_pixel(name: str, tmp_path: Path):
    empty = FoundPicture("a.png", "a", (60, 80), [], pixels=picture("a.png", "a").pixels)
    (exported,) = write_formats(tmp_path, [name], [empty], NAMES)
    assert (exported.num_objects, exported.lost) == (0, {})
    (exported,) = write_formats(tmp_path, [name], [replace(empty, num_empty=2)], NAMES)
    assert exported.lost == {"objects without a pixel": 2}


@pytest.mark.parametrize("name", ALL)
def test_names_of_strangers_lead_nowhere(name: str, tmp_path: Path):
    names = [
        "../../evil.png",
        "/etc/evil.png",
        "C:\\evil.png",
        "con.png",
        "a\n\x1b[31m\udcff.png",
        "..",
        "x" * 400 + ".png",
    ]
    pictures = [picture(one, stem) for one, stem in zip(names, stems([(n, None) for n in names]), strict=True)]
    hostile = ("../../cat", '"><script>\n\ud800')
    for one in pictures:
        for i, obj in enumerate(one.objects):
            object.__setattr__(obj, "class_name", hostile[i % 2])
    write_formats(tmp_path / "in" / "side", [name], pictures, hostile)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["side"]


def test_stems_are_different_in_any_case_and_keep_folders():
    given = [("a/b.png", None), ("a/b.tif", None), ("A/B.PNG", None), ("c.tif", 0), ("c.tif", 1), ("d.png", None)]
    made = stems(given)
    assert len({stem.lower() for stem in made}) == len(given)
    assert made[3:] == ["c_page0", "c_page1", "d"]
    assert made[0] == "a/b_png"


def test_what_is_said():
    one = formats.Exported("yolo", Path("out/yolo"), 1, 2, {"scores": 2})
    assert str(one) == f"{Path('out/yolo')}: 2 objects of 1 image; lost: 2 scores"
    assert str(formats.Exported("csv", Path("csv"), 2, 1, {})) == "csv: 1 object of 2 images; nothing lost"


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "roifile", None)
    with pytest.raises(MissingPackageError, match=r'imagej needs roifile: pip install "maskrcnn\[imagej\]"'):
        write_formats(tmp_path, ["imagej"], [picture("a.png", "a")], NAMES)
    assert {"holes"} <= imagej.KEEPS


def test_smooth_outlines_are_said_with_their_iou(tmp_path: Path):
    square = found(mask((10, 10, 20, 20)))
    corners = [[10, 10], [20, 10], [20, 20], [10, 20]]
    smooth = [{"exterior": __import__("numpy").array(corners, float), "holes": []}]
    object.__setattr__(square, "smooth", smooth)
    said: list[str] = []
    pictures = [FoundPicture("a.png", "a", (60, 80), [square, found(mask((30, 30, 40, 40)))])]
    write_formats(tmp_path, ["csv"], pictures, NAMES, outlines_said=said.append)
    assert said == [
        "smooth outlines of 1 objects: IoU with their pixels 1.000 on average, 1.000 at least; "
        "1 put together from tiles have exact ones"
    ]
