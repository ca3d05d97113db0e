"""Names of what a job writes: never shared, never other because of the order, the same on every system."""

import itertools
import os
from pathlib import Path, PureWindowsPath

import pytest

from maskrcnn.prediction.job_names import (
    MAX_NAME_BYTES,
    common_folder,
    drawing_names,
    relative_name,
    relative_names,
)


def stems(*names: str) -> list[str]:
    return [name.removesuffix("_instances.png") for name in drawing_names(names, "in").values()]


def test_a_drawing_is_named_as_shortly_as_it_can_be_told_apart() -> None:
    assert stems("a.png", "x/b.png") == ["a", "b"]
    assert stems("x/a.png", "y/a.png", "b.png") == ["x_a", "y_a", "b"]
    assert stems("a.png", "y/a.png") == ["in_a", "y_a"]
    assert stems("x/a.png", "x/a.jpg") == ["x_a_png", "x_a_jpg"]
    assert stems("x/A.png", "y/a.png") == ["x_A", "y_a"]
    assert stems("x/a.png", "y/a.png", "x_a.png") == ["x_a_png", "y_a", "in_x_a"]


HOSTILE = [
    "p1/d/x.png",
    "p2/d/x.png",
    "e/d_x_png_1.png",
    "P1/D/X.PNG",
    "x.png",
    "d_x.png",
    "d_x_png.png",
    f"{'s' * 238}.png",
    f"t/{'s' * 238}.png",
    f"{'ü' * 120}.png",
    os.fsdecode(b"odd \xff.png"),
    "two\nlines.png",
    "a\\b.png",
    "c:d.png",
    "=1.png",
]


def test_drawings_are_never_shared_whatever_the_order() -> None:
    expected = drawing_names(HOSTILE, "in")
    assert len({name.lower() for name in expected.values()}) == len(HOSTILE)
    for order in itertools.islice(itertools.permutations(HOSTILE), 0, 40320, 997):
        assert drawing_names(order, "in") == expected
    for name in expected.values():
        assert name.endswith("_instances.png")
        assert len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set("\n\\:/")


def test_a_hash_that_is_taken_is_lengthened() -> None:
    (cut,) = (name for name in stems("a:b.png") if name.startswith("a_b_"))
    names = drawing_names(["a:b.png", f"{cut}.png"], "in")
    assert len(set(names.values())) == 2
    assert names[f"{cut}.png"] == f"{cut}_instances.png"


def test_files_are_named_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [Path("in/a/b.png"), Path("in/../in/c.png"), tmp_path / "in" / "d.png"]
    assert list(relative_names(files, Path("in")).values()) == ["a/b.png", "c.png", "d.png"]
    with pytest.raises(ValueError, match="expected a file in"):
        relative_names([Path("other/a.png")], Path("in"))
    assert common_folder([Path("in/a"), Path("in/b/c")]) == tmp_path / "in"


def test_names_from_windows() -> None:
    file = PureWindowsPath(r"C:\scans\deep\a.png")
    assert relative_name(file, PureWindowsPath(r"c:\scans")) == "deep/a.png"
    assert relative_name(file, None) == "C/scans/deep/a.png"
    assert relative_name(PureWindowsPath(r"\\server\share\a.png"), None) == "server/share/a.png"
