"""What folders of strangers, full disks and other runs do to a job: every file has its row, the rest is done."""

import csv
import errno
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, FolderInUseError, folder_lock
from maskrcnn.prediction import file_state, job_records, pipeline
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_records import JobPage
from maskrcnn.prediction.job_results import JobSummary
from maskrcnn.structures.instances import Instances
from tests.tiny import scene

PICTURE = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))[0]


@pytest.fixture(scope="module")
def predictor(weights: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(weights, device="cpu")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        Image.fromarray(np.roll(PICTURE, i, axis=1)).save(path)
    return paths


def run(predictor: maskrcnn.Predictor, files: list[Path], **options: object) -> tuple[JobSummary, list[str]]:
    said: list[str] = []
    out = files[0].parents[1] / "out"
    return infer_files(predictor, files, out, say=said.append, **options), said  # pyright: ignore[reportArgumentType]


def table(files: list[Path]) -> dict[str, dict[str, str]]:
    with (files[0].parents[1] / "out" / "counts.csv").open(newline="", encoding="utf-8") as text:
        return {row["file"]: row for row in csv.DictReader(text)}


def test_names_that_systems_refuse_have_their_rows(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    folder = files[0].parent
    names = [
        os.fsdecode(b"odd \xff.png"),
        f"{'s' * 238}.png",
        "two\nlines.png",
        "\x1b[31mred.png",
        "=1+1.png",
        "-a.png",
    ]
    try:
        for name in names:
            (folder / name).write_bytes(files[0].read_bytes())
        (folder / "loop.png").symlink_to("loop.png")
    except OSError:
        pytest.skip("this file system takes no such names")
    summary, said = run(predictor, [*files, *(folder / name for name in names), folder / "loop.png"])
    rows = table(files)
    written = [r"odd \xff.png", names[1], r"two\nlines.png", r"\x1b[31mred.png", "'=1+1.png", "'-a.png"]
    assert list(rows) == [*(file.name for file in files), *written, "loop.png"]
    assert {row["total"] for name, row in rows.items() if name != "loop.png"} == {"20"}
    assert rows["loop.png"]["status"].startswith("unreadable: ")
    assert rows["loop.png"]["total"] == ""
    assert list(summary.failures) == [folder / "loop.png"]
    assert not any("\x1b" in line or "\n" in line for line in said)
    document = json.loads((folder.parent / "out" / "instances.json").read_bytes().decode())
    assert [image["file_name"] for image in document["images"][4:6]] == [r"odd \xff.png", names[1]]
    assert len(list((folder.parent / "out").glob("*_instances.png"))) == len(files) + len(names)
    _, said = run(predictor, [*files, *(folder / name for name in names), folder / "loop.png"])
    assert said[0] == "done before: 10 of 11 images (redo does them again)"


ERRORS = [
    cv2.error("OpenCV: bad\nargument"),
    MemoryError(),
    struct.error("unpack"),
    OverflowError("too large"),
    RecursionError("deep"),
    KeyError("x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["read", "figure", "detect"])
def test_one_picture_never_ends_the_job(
    predictor: maskrcnn.Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception
) -> None:
    bad = np.roll(PICTURE, 2, axis=1)
    monkeypatch.setattr(predictor, "batch_size", 2)  # the one beside it is done all the same
    if stage == "detect":
        original = maskrcnn.Predictor.__call__

        def call(self: maskrcnn.Predictor, images: list[np.ndarray]):
            if any(np.array_equal(image, bad) for image in images):
                raise error
            return original(self, images)

        monkeypatch.setattr(maskrcnn.Predictor, "__call__", call)
    elif stage == "read":
        read = PageReader.read

        def reading(self: PageReader, page: JobPage):
            if page.file == files[2]:
                raise error
            return read(self, page)

        monkeypatch.setattr(PageReader, "read", reading)
    else:
        function = pipeline.figure

        def drawing(given: np.ndarray, instances: Instances, **options: Any):
            if np.array_equal(given, bad):
                raise error
            return function(given, instances, **options)

        monkeypatch.setattr(pipeline, "figure", drawing)
    failures: list[Exception] = []
    summary, _ = run(predictor, files, on_failure=failures.append)
    assert [name for name, _ in summary.counts] == [str(files[i]) for i in (0, 1, 3)]
    word = "unreadable" if stage == "read" else "failed"
    status = table(files)["2.png"]["status"]
    assert status.startswith((f"{word}: {type(error).__name__}", f"{word}: 'x'"))
    assert "\n" not in status
    assert [str(failure) for failure in failures] == [f"{files[2]}: {status}"]
    monkeypatch.undo()
    _, said = run(predictor, files)
    assert said[0] == "done before: 3 of 4 images (redo does them again)"
    assert table(files)["2.png"]["total"] == "20"


@pytest.mark.parametrize("where", ["drawing", "record", "table"])
def test_a_full_disk_stops_with_a_sentence_and_nothing_is_lost(
    predictor: maskrcnn.Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: object, **__: object) -> None:
        raise full

    if where == "record":
        append = job_records._append

        def half(file, line: bytes) -> None:
            if b'"2_instances.png"' in line:
                file.write(line[:20])  # what a disk still takes
                file.truncate(file.tell() - 20)
                file.seek(0, os.SEEK_END)
                raise full
            append(file, line)

        monkeypatch.setattr(job_records, "_append", half)
    elif where == "drawing":
        write = pipeline.write_drawing
        monkeypatch.setattr(
            pipeline, "write_drawing", lambda path, image: fail() if path.name[0] == "2" else write(path, image)
        )
    else:
        monkeypatch.setattr("maskrcnn.prediction.job_results.counts_csv", fail)
    with pytest.raises(OSError, match=r"out: cannot be written \(No space left on device\); \d of 4 images are done"):
        run(predictor, files)
    assert not (files[0].parents[1] / "out" / "counts.csv").exists()
    monkeypatch.undo()
    _, said = run(predictor, files)
    assert said[0].startswith("done before: ")
    assert [row["total"] for row in table(files).values()] == ["20"] * 4


def test_a_half_written_record_is_taken_back(tmp_path: Path) -> None:
    class Full:
        """A disk with room for three bytes more."""

        def __init__(self) -> None:
            self.data, self.room = b"before\n", 3

        def tell(self) -> int:
            return len(self.data)

        def write(self, line: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            part, self.room = line[: self.room], 0
            self.data += part
            return len(part)

        def truncate(self, size: int) -> None:
            self.data = self.data[:size]

        def seek(self, place: int) -> None:
            assert place == len(self.data)

    disk = Full()
    with pytest.raises(OSError, match="No space"):
        job_records._append(disk, b"a record\n")  # pyright: ignore[reportArgumentType]
    assert disk.data == b"before\n"


def test_files_of_a_user_are_not_replaced(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    out = files[0].parents[1] / "out"
    for name in ("counts.csv", "instances.json", "1_instances.png"):
        out.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(FileExistsError, match=rf"{name}: a file that no earlier job wrote would be overwritten"):
            run(predictor, files)
        assert [path.name for path in out.iterdir() if path.name != ".done"] == [name]
        assert (out / name).read_text() == "mine"
        run(predictor, files, overwrite=True)
        assert (out / name).read_bytes() != b"mine"
        run(predictor, files)
        for path in [*out.glob("*.*"), *out.glob(".done/*")]:
            if path.is_file():
                path.unlink()


def test_a_drawing_never_replaces_a_picture(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    picture = files[0].with_name("0_instances.png")
    picture.write_bytes(files[1].read_bytes())
    with pytest.raises(ValueError, match=r"a drawing would replace the image .*0_instances\.png"):
        infer_files(predictor, [*files, picture], files[0].parent, overwrite=True, say=lambda _: None)
    assert picture.read_bytes() == files[1].read_bytes()


def test_one_run_at_a_time_and_what_a_killed_one_left_goes(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    out = files[0].parents[1] / "out"
    left = out / f"{TEMPORARY_PREFIX}abc{TEMPORARY_SUFFIX}"
    with folder_lock(out, "infer"):
        left.touch()
        with pytest.raises(FolderInUseError, match=r"out is in use by infer"):
            run(predictor, files)
        assert left.exists()
        assert not (out / "counts.csv").exists()
    run(predictor, files)
    assert not left.exists()


def with_checksum(record: object) -> bytes:
    text = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def damaged(line: bytes) -> dict[str, bytes]:
    """Lines that are no record, by what is wrong."""
    record = json.loads(line[9:])
    position = line.index(b'"score":0.') + 10
    nan = record["annotations"][0] | {"score": float("nan")}
    return {
        "bit": line[:position] + bytes([line[position] ^ 1]) + line[position + 1 :],
        "cut": line[: len(line) // 2],
        "no file": with_checksum({key: value for key, value in record.items() if key != "file"}),
        "file is a list": with_checksum(record | {"file": [1]}),
        "size is text": with_checksum(record | {"size": "64x80"}),
        "NaN": with_checksum(record | {"annotations": [nan]}),
        "no object": with_checksum([1, 2]),
        "deep": with_checksum("x")[:9] + b"[" * 100_000,
        "bytes": b"\xff\x00\xfe\n",
    }


@pytest.mark.parametrize(
    "what", ["bit", "cut", "no file", "file is a list", "size is text", "NaN", "no object", "deep", "bytes"]
)
def test_a_damaged_record_is_said_and_done_again(predictor: maskrcnn.Predictor, files: list[Path], what: str) -> None:
    out = files[0].parents[1] / "out"
    run(predictor, files)
    expected = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    (records,) = (out / ".done").iterdir()
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join([*lines[:-1], damaged(lines[-1])[what]]))
    _, said = run(predictor, files)
    assert said[:2] == [
        "1 record of an earlier run is damaged; its image is done again",
        "done before: 3 of 4 images (redo does them again)",
    ]
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == expected
    assert run(predictor, files)[1][0].startswith("done before: 4 of 4")


def test_a_file_replaced_with_equal_size_and_time_is_done_again(
    predictor: maskrcnn.Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [file.with_suffix(".bmp") for file in files[:2]]
    for path in paths:
        Image.fromarray(PICTURE).save(path)
    run(predictor, paths)
    for path in paths:
        before = path.stat()
        Image.fromarray(np.zeros_like(PICTURE) if path == paths[0] else PICTURE).save(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
    _, said = run(predictor, paths)
    assert said[0].startswith("done before: 1 of 2")  # written anew, the second one is what it was
    assert said[1].startswith(str(paths[0]))
    monkeypatch.setattr(file_state, "HASHED_BYTES", 10)  # too large to compare: done again
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(predictor, paths)[1][0].startswith("done before: 1 of 2")


def test_scores_that_are_no_numbers_fail_their_picture_only(
    predictor: maskrcnn.Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, bad = maskrcnn.Predictor.__call__, np.roll(PICTURE, 1, axis=1)

    def spoilt(self: maskrcnn.Predictor, images: list[np.ndarray]):
        results = original(self, images)
        for image, found in zip(images, results, strict=True):
            if np.array_equal(image, bad):
                found.scores[0] = float("nan")
        return results

    monkeypatch.setattr(maskrcnn.Predictor, "__call__", spoilt)
    run(predictor, files, is_drawn=False)
    rows = table(files)
    assert rows["1.png"]["status"].startswith("failed: scores of object 0 are no finite numbers")
    assert [rows[f"{i}.png"]["total"] for i in (0, 2, 3)] == ["20"] * 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_among_the_records_is_not_waited_for(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    run(predictor, files)
    os.mkfifo(files[0].parents[1] / "out" / ".done" / "a.jsonl")
    _, said = run(predictor, files)
    assert said[0] == "done before: 4 of 4 images (redo does them again)"


def test_a_link_in_the_place_of_the_records_is_not_followed(predictor: maskrcnn.Predictor, files: list[Path]) -> None:
    """Where it leads, records and tiles would be removed."""
    theirs, out = files[0].parents[1] / "mine", files[0].parents[1] / "out"
    for folder in (theirs / "tiles", out):
        folder.mkdir(parents=True)
    (theirs / "a.jsonl").write_text("precious")
    try:
        (out / ".done").symlink_to(theirs)
    except OSError:
        pytest.skip("this file system has no links")
    with pytest.raises(ValueError, match=r"\.done: this is a link"):
        run(predictor, files, redo=True)
    assert sorted(path.name for path in theirs.iterdir()) == ["a.jsonl", "tiles"]
