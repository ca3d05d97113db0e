"""A job over files with pages: a row, a picture and a record for each, and none twice after a kill."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import maskrcnn
from maskrcnn.data.pages import Reading
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_names import drawing_names
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_records import JobPage
from maskrcnn.report.written import is_ours
from tests.tiny import scene

NUM = 4


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def predictor(weights: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(weights, device="cpu")


@pytest.fixture
def frames() -> list[np.ndarray]:
    """A square that moves past a disc, RGB."""
    return [scene([("square", 4 + 6 * i, 8, 20), ("disc", 36, 30, 24)], (64, 80))[0] for i in range(NUM)]


@pytest.fixture
def files(tmp_path: Path, frames: list[np.ndarray]) -> list[Path]:
    """A picture, a film and an animation."""
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / name for name in ("a.png", "b.tif", "c.webp")]
    Image.fromarray(frames[0]).save(paths[0])
    tifffile.imwrite(paths[1], np.stack(frames), photometric="rgb", metadata={"axes": "TYXS"})
    animation = [Image.fromarray(frame) for frame in frames[:2]]
    animation[0].save(paths[2], save_all=True, append_images=animation[1:], lossless=True)
    return paths


def rows(out: Path, name: str = "counts.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_page_is_counted(
    predictor: maskrcnn.Predictor, files: list[Path], frames: list[np.ndarray], tmp_path: Path
) -> None:
    out, said = tmp_path / "out", list[str]()
    summary = infer_files(predictor, files, out, say=said.append)
    table = rows(out)
    expected = [("a.png", ""), *(("b.tif", str(i)) for i in range(NUM)), ("c.webp", "0"), ("c.webp", "1")]
    assert [(row["file"], row["page"]) for row in table] == expected
    pictures = [frames[0], *frames, *frames[:2]]
    counts = [sum(maskrcnn.count(predictor(picture)).values()) for picture in pictures]
    assert [int(row["total"]) for row in table] == counts
    assert [name for name, _ in summary.counts][:2] == [str(files[0]), f"{files[1]} page 0"]

    found = json.loads((out / "instances.json").read_text())
    assert [(image["file_name"], image.get("page")) for image in found["images"]] == [
        (name, int(page) if page else None) for name, page in expected
    ]
    assert [image.get("place") for image in found["images"]][1:3] == [{"T": 0}, {"T": 1}]
    assert [image["id"] for image in found["images"]] == list(range(1, 8))
    for image, num in zip(found["images"], counts, strict=True):
        own = [one["number"] for one in found["annotations"] if one["image_id"] == image["id"]]
        assert own == list(range(1, num + 1))
    lines = rows(out, "measurements.csv")
    assert [(line["file"], line["page"], line["id"]) for line in lines] == [
        (name, page, str(i + 1)) for (name, page), num in zip(expected, counts, strict=True) for i in range(num)
    ]
    drawings = ["a", *(f"b_page{i}" for i in range(NUM)), "c_page0", "c_page1"]
    assert sorted(path.name for path in out.glob("*.png")) == [f"{stem}_instances.png" for stem in drawings]
    assert all(is_ours(path) for path in out.glob("*.png"))
    assert f"{files[1]}: 4 pages, each counted by itself" in said


def test_a_killed_job_goes_on_at_its_page(
    predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = files[1:2]
    infer_files(predictor, film, tmp_path / "whole", say=lambda _: None)
    read = PageReader.read
    seen: list[int | None] = []

    def until(num: int) -> None:
        seen.clear()

        def reading(self: PageReader, page: JobPage):
            if len(seen) == num:
                raise Killed
            seen.append(page.number)
            return read(self, page)

        monkeypatch.setattr(PageReader, "read", reading)

    until(2)
    with pytest.raises(Killed):
        infer_files(predictor, film, tmp_path / "out", say=lambda _: None)
    assert not (tmp_path / "out" / "counts.csv").exists()
    until(100)
    said: list[str] = []
    infer_files(predictor, film, tmp_path / "out", say=said.append)
    num_before = NUM - len(seen)
    assert seen == list(range(num_before, NUM))
    assert num_before > 0
    assert said[0] == f"done before: {num_before} of 4 images (redo does them again)"
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()}
        for name in ("whole", "out")
    ]
    assert written[0] == written[1]
    until(100)
    infer_files(predictor, film, tmp_path / "out", say=said.append)
    assert seen == []
    infer_files(predictor, film, tmp_path / "out", planes="max", say=said.append)  # read otherwise
    assert seen == [0, 1, 2, 3]  # time is no depth


def test_a_page_that_is_cut_off_is_said_and_the_rest_counted(
    predictor: maskrcnn.Predictor, tmp_path: Path, frames: list[np.ndarray]
) -> None:
    path = tmp_path / "cut.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in frames:
            writer.write(frame, photometric="rgb", contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[2].dataoffsets[0]  # pyright: ignore[reportAttributeAccessIssue]
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[2].tags["StripOffsets"]  # pyright: ignore[reportAttributeAccessIssue]
        at = tag.valueoffset
    assert int.from_bytes(data[at : at + 4], "little") == offset
    data[at : at + 4] = (10**9).to_bytes(4, "little")
    path.write_bytes(data)
    failures: list[Exception] = []
    summary = infer_files(predictor, [path], tmp_path / "out", say=lambda _: None, on_failure=failures.append)
    table = rows(tmp_path / "out")
    assert [row["total"] != "" for row in table] == [True, True, False, True]
    assert "cut off" in table[2]["status"]
    assert list(summary.failures) == [path]
    assert str(failures[0]).startswith(f"{path} page 2: the image file is cut off")


def test_a_file_that_is_written_anew_meanwhile(tmp_path: Path, frames: list[np.ndarray]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack(frames), photometric="rgb")
    reader = PageReader(Reading(), lambda size: False)
    state, page = reader.read(JobPage(path, 1, NUM))
    assert np.array_equal(page.image, frames[1])
    tifffile.imwrite(path, np.stack(frames[::-1] + frames[:1]), photometric="rgb")
    with pytest.raises(ValueError, match=r"a\.tif: 5 pages, and 4 when the job began; the file was changed"):
        reader.read(JobPage(path, 2, NUM))
    tifffile.imwrite(path, np.stack([frames[0]] * NUM), photometric="rgb")
    later, page = reader.read(JobPage(path, 2, NUM))
    assert later != state
    assert np.array_equal(page.image, frames[0])
    with pytest.raises(ValueError, match="4 pages, and 1 when the job began"):
        reader.read(JobPage(path))
    reader.close()


def test_several_channels_that_nobody_chose_are_one_failure(predictor: maskrcnn.Predictor, tmp_path: Path) -> None:
    stack = np.zeros((3, 2, 32, 32), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    failures: list[Exception] = []
    infer_files(predictor, [tmp_path / "a.tif"], tmp_path / "out", say=lambda _: None, on_failure=failures.append)
    (row,) = rows(tmp_path / "out")
    assert row["status"].startswith("unreadable: 2 channels that are not RGB (0: mean 0")
    assert len(failures) == 1
    infer_files(predictor, [tmp_path / "a.tif"], tmp_path / "out", channel=1, say=lambda _: None)
    assert [(row["page"], row["total"] != "") for row in rows(tmp_path / "out")] == [
        ("0", True),
        ("1", True),
        ("2", True),
    ]


def test_all_channels_are_measured_and_the_pixel_size_is_the_files(
    predictor: maskrcnn.Predictor, tmp_path: Path, frames: list[np.ndarray]
) -> None:
    bright = frames[0].astype(np.uint16).sum(2).astype(np.uint16)
    stack = np.stack([bright, np.full_like(bright, 7)])
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    names = {"Channel": {"Name": ["GFP", "other one"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "CYX", **size, **names})
    Image.fromarray(frames[0]).save(tmp_path / "b.png")
    files = [tmp_path / "a.ome.tif", tmp_path / "b.png"]
    out = tmp_path / "out"
    infer_files(predictor, files, out, channel="gfp", say=lambda _: None)
    lines = rows(out, "measurements.csv")
    first = [line for line in lines if line["file"] == "a.ome.tif" and line["area_px"] != "0"]
    assert first
    assert {line["max_intensity_other one"] for line in first} == {"7"}
    assert all(float(line["area_um2"]) == int(line["area_px"]) / 4 for line in first)
    assert {line["pixel_size_um"] for line in first} == {"0.5"}
    assert {line["area_um2"] for line in lines if line["file"] == "b.png"} == {""}
    infer_files(predictor, files, out, channel="gfp", pixel_size_um=2.0, say=lambda _: None)  # --pixel-size wins
    assert all(float(line["area_um2"]) == int(line["area_px"]) * 4 for line in rows(out, "measurements.csv"))


def test_drawings_of_pages_never_meet_those_of_files() -> None:
    chosen = drawing_names(["a.tif", "a_page3.tif", "b_page3.tif"], "in")
    assert chosen["a.tif"] == "a_instances.png"
    assert chosen["a_page3.tif"] not in ("a_page3_instances.png",)
    assert chosen["b_page3.tif"] == "b_page3_instances.png"
