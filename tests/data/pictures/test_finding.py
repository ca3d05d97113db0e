"""What a path, a folder or a pattern names: every image once, and never a folder left out in silence."""

import os
from pathlib import Path

import pytest

from maskrcnn.data.pictures.finding import IMAGE_EXTENSIONS, find_images
from maskrcnn.data.pictures.kinds import UNREAD_EXTENSIONS
from maskrcnn.untrusted.names import printable

LINKS = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "sub/c.tif", "sub/notes.txt", "sub/._c.tif", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_folders_are_searched(tree: Path) -> None:
    assert find_images([tree]) == [tree / "a.JPG", tree / "b.png", tree / "sub" / "c.tif"]
    assert find_images(str(tree)) == find_images([tree])


def test_files_keep_their_order_and_appear_once(tree: Path) -> None:
    notes = tree / "sub" / "notes.txt"
    assert find_images([notes, tree / "b.png", tree]) == [
        *(notes, tree / "b.png", tree / "a.JPG"),
        tree / "sub" / "c.tif",
    ]


def test_patterns(tree: Path) -> None:
    assert find_images([f"{tree}/*.png"]) == [tree / "b.png"]
    assert find_images([f"{tree}/**/*.tif"]) == [tree / "sub" / "c.tif"]
    assert find_images([f"{tree}/s*"]) == [tree / "sub" / "c.tif"]


def test_a_file_named_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "scan[1].png").touch()
    assert find_images([tmp_path / "scan[1].png"]) == [tmp_path / "scan[1].png"]


def test_nothing_found(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"z\.png: there is no such file or folder"):
        find_images([tree / "z.png"])
    with pytest.raises(FileNotFoundError, match="nothing matches"):
        find_images([f"{tree}/*.bmp"])
    with pytest.raises(ValueError, match="empty: no images in this folder"):
        find_images([tree / "empty"])
    with pytest.raises(ValueError, match="none of them an image"):
        find_images([f"{tree}/sub/*.txt"])


@LINKS
def test_linked_folders_are_followed_once(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree, target_is_directory=True)
    assert len(find_images([tree])) == 3


@LINKS
def test_links_that_lead_nowhere_are_listed_in_folders_and_named_where_given(tree: Path) -> None:
    (tree / "sub" / "self.png").symlink_to("self.png")
    (tree / "sub" / "gone.png").symlink_to("nothing.png")
    assert {tree / "sub" / "self.png", tree / "sub" / "gone.png"} < set(find_images(tree))
    with pytest.raises(OSError, match=r"self\.png: this link leads back to itself$"):
        find_images(tree / "sub" / "self.png")
    with pytest.raises(FileNotFoundError, match=r"gone\.png: this is a link to nothing\.png, which is not there$"):
        find_images(tree / "sub" / "gone.png")


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"x\.png: cannot be opened \(File name too long\)"):
        find_images(tmp_path / ("a" * 300 + "x.png"))
    with pytest.raises(OSError, match="cannot be the name of a file"):
        find_images("a\0.png")


@pytest.fixture
def locked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be listed, also for root, whom no permission stops."""
    (tree / "locked").mkdir()
    scan = os.scandir

    def scandir(path: str):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tree / "locked"


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_found(tree: Path, locked: Path) -> None:
    expected = find_images([tree / "a.JPG", tree / "b.png", tree / "sub"])
    errors: list[OSError] = []
    assert find_images(tree, errors.append) == expected
    assert [str(error) for error in errors] == [f"{locked}: the folder cannot be listed (Permission denied)"]
    assert isinstance(errors[0], PermissionError)
    with pytest.raises(PermissionError, match=r"locked: the folder cannot be listed"):
        find_images(tree)
    assert find_images([locked], errors.append) == []
    assert len(errors) == 2, "an empty list and no second error: the folder is not called one without images"


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.czi", "b.CZI", "c.heic", "README", ".hidden"):
        (tmp_path / name).touch()
    held = r"it holds 2 \.czi, 1 \.heic, 1 without"
    with pytest.raises(ValueError, match=rf"no images in this folder \({held}.*; 2 \.czi files not read: a Zeiss"):
        find_images(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_names_that_are_not_utf_8_are_listed_and_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.PNG")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert find_images(tmp_path) == [tmp_path / name]
    assert printable(name) == r"caf\xe9.PNG"
    assert printable("Zelle_ü.png") == "Zelle_ü.png"


def test_images_that_cannot_be_read_beside_others_are_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "1.czi", "2.CZI", "3.heic", "notes.txt", ".4.czi"):
        (tmp_path / "in" / name).touch()
    said: list[str] = []
    assert find_images(tmp_path, on_unread=said.append) == [tmp_path / "in" / "a.png"]
    assert said == [
        f"{tmp_path}: 2 .czi files not read: a Zeiss CZI file; export it as OME-TIFF with ZEN, Fiji or bioio",
        f"{tmp_path}: 1 .heic file not read: a HEIC image, as phones take them; convert it to JPEG or PNG",
    ]
    said.clear()
    find_images(f"{tmp_path}/in/*", on_unread=said.append)
    assert [sentence.split(":")[1] for sentence in said] == [" 2 .czi files not read", " 1 .heic file not read"]


def test_a_folder_of_zarr_is_one_image_that_is_not_read(tmp_path: Path) -> None:
    for name in ("cells.ome.zarr/.zgroup", "cells.ome.zarr/0/0.0", "other/zarr.json", "other/0/c/0/0", "other/a.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    what = r"not read: an OME-Zarr folder; export it as OME-TIFF with QuPath, Fiji or raw2ometiff"
    with pytest.raises(ValueError, match=rf"no images in this folder \(it holds 2 \.zarr; .*; 2 \.zarr files {what}"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match=rf"; 1 \.zarr file {what}"):
        find_images(tmp_path / "in" / "cells.ome.zarr")
    (tmp_path / "in" / "b.png").touch()
    said: list[str] = []
    assert find_images(tmp_path, on_unread=said.append) == [tmp_path / "in" / "b.png"]
    assert len(said) == 1


def test_tiffs_of_slide_scanners_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("a.svs", "b.NDPI", "c.scn", "d.lsm"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.svs", "b.NDPI", "c.scn", "d.lsm"]


def test_what_is_read_is_not_among_what_is_not() -> None:
    assert not IMAGE_EXTENSIONS & UNREAD_EXTENSIONS.keys()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\x1b\n.png", r"a\x1b\n.png: there is no such file or folder"),
        ("*\x1b[2J.png", r"*\x1b[2J.png: nothing matches this pattern"),
    ],
)
def test_what_is_not_there_is_named_without_its_escape_codes(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_images(tmp_path / name)
    assert str(error.value).endswith(told)
