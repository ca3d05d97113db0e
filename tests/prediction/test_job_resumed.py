"""A job that was stopped, in whatever way, and started again gives what it gives in one go."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import maskrcnn
from maskrcnn.data.pages import Page, Reading
from maskrcnn.prediction import folder_job, pipeline
from maskrcnn.prediction.file_state import FileState, state_of
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_parts import PartsFile
from maskrcnn.prediction.job_predictor import info_of
from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.prediction.job_results import JobSummary
from maskrcnn.report.count import add_counts
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.written import write_json
from tests.tiny import scene

ROOT = Path(__file__).parents[2]
NUM = 6
BAD = 2


@pytest.fixture(scope="module")
def predictor(weights: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(weights, device="cpu")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Six files of which the third is no picture."""
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"{i}.png" for i in range(NUM)]
    for i, path in enumerate(paths):
        Image.fromarray(scene([("square", 4 + 3 * i, 8, 20), ("disc", 36, 30 - i, 24)], (64, 80))[0]).save(path)
    paths[BAD].write_text("not an image")
    return paths


class Job:
    """The same job, as often as one likes, and what it said."""

    def __init__(self, predictor: maskrcnn.Predictor, files: list[Path], out: Path) -> None:
        self.predictor, self.files, self.out = predictor, files, out
        self.said: list[str] = []

    def run(self, **options: object) -> JobSummary:
        self.said = []
        return infer_files(
            self.predictor,
            self.files,
            self.out,
            say=self.said.append,
            on_failure=lambda _: None,
            **options,  # pyright: ignore[reportArgumentType]
        )

    def done_now(self) -> list[int]:
        """Numbers of the files that the last run did."""
        lines = [line.partition(": ")[0] for line in self.said]
        return [int(Path(name).stem) for name in lines if Path(name) in self.files]

    def written(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}


@pytest.fixture
def job(predictor: maskrcnn.Predictor, files: list[Path], tmp_path: Path) -> Job:
    return Job(predictor, files, tmp_path / "out")


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, type[BaseException]], None]:
    """Makes the network raise at its n-th picture, once."""

    def at(number: int, error: type[BaseException]) -> None:
        left = iter(range(number, -1, -1))

        def call(self: maskrcnn.Predictor, images: list[np.ndarray]):
            if next(left, None) == 0:
                raise error
            return original(self, images)

        monkeypatch.setattr(maskrcnn.Predictor, "__call__", call)

    original = maskrcnn.Predictor.__call__
    return at


def test_the_json_is_what_coco_dict_makes(job: Job) -> None:
    summary = job.run()
    predictor = job.predictor
    results = [(file.name, predictor(file)) for file in job.files if file != job.files[BAD]]
    expected = coco_dict(results, predictor.class_names, predictor.settings.category_ids)
    expected["info"] = info_of(predictor, predictor.class_names, Reading(), None)
    for image, (_, found) in zip(expected["images"], results, strict=True):
        told = {"notes": found.notes, "limits": found.ceilings}
        image |= {key: list(sentences) for key, sentences in told.items() if sentences}
    write_json(job.out / "expected.json", expected)
    assert (job.out / "instances.json").read_bytes() == (job.out / "expected.json").read_bytes()
    counts = [(str(file), maskrcnn.count(found)) for file, found in results]
    assert [name for name, _ in summary.counts] == [str(file) for file in job.files if file != job.files[BAD]]
    assert summary.counts[0][1] == counts[0][1]  # the first names all classes
    assert add_counts(c for _, c in summary.counts) == add_counts(c for _, c in counts)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_stopped_job_goes_on_and_ends_as_in_one_go(
    job: Job, tmp_path: Path, stop: Callable[[int, type[BaseException]], None], error: type[BaseException]
) -> None:
    whole = Job(job.predictor, job.files, tmp_path / "whole")
    expected = whole.run()
    stop(3, error)
    with pytest.raises(error):
        job.run()
    assert not (job.out / "counts.csv").exists()
    if error is KeyboardInterrupt:
        assert job.said[-1] == "stopped: 3 of 6 images are done, and the same command goes on from there"
    assert job.run() == expected
    assert job.said[0] == "done before: 3 of 6 images (redo does them again)"
    assert job.done_now() == [4, 5]
    assert list(expected.failures) == [job.files[BAD]]
    assert job.written() == whole.written()
    assert job.run() == expected
    assert job.done_now() == []
    assert job.written() == whole.written()
    assert len(list((job.out / ".done").iterdir())) == 1


def test_what_changed_is_done_again(job: Job) -> None:
    job.run()
    Image.fromarray(scene([("disc", 8, 8, 40)], (64, 80))[0]).save(job.files[1])
    os.utime(job.files[3], ns=(0, 0))
    with (job.out / "4_instances.png").open("ab") as drawing:
        drawing.write(b"other")
    (job.out / "5_instances.png").unlink()
    job.run()
    assert job.done_now() == [1, 3, 4, 5]
    job.files = job.files[3:]
    job.run()
    assert job.done_now() == []
    assert len(json.loads((job.out / "instances.json").read_text())["images"]) == 3


def test_other_settings_are_another_job(job: Job, weights: Path) -> None:
    job.files = job.files[:BAD]
    everything = [0, 1]
    job.run(is_drawn=False)
    job.run(is_drawn=False)
    assert job.done_now() == []
    job.run(is_drawn=False, redo=True)
    assert job.done_now() == everything
    job.run()
    assert job.done_now() == everything  # nothing was drawn
    job.run(is_drawn=False)
    assert job.done_now() == []
    job.run(classes=["disc"])
    assert job.done_now() == everything
    first = job.predictor
    for options in (
        {"precision": "bf16"},
        {"score": 0.9},
        {"max_detections": 3},
        {"resize": 2.0},
        {"exclusive_classes": "all"},
    ):
        job.predictor = maskrcnn.Predictor(weights, device="cpu", **options)  # pyright: ignore[reportArgumentType]
        job.run(is_drawn=False)
        assert job.done_now() == everything, options
    job.predictor = maskrcnn.Predictor(weights, device="cpu", exclusive_classes="all", batch_size=2)
    job.run(is_drawn=False)
    assert job.done_now() == []
    job.predictor = maskrcnn.Predictor(weights, device="cpu", exclusive_classes="all")
    bias = next(parameter for name, parameter in job.predictor.model.named_parameters() if name.endswith("bias"))
    bias.data += 1e-3
    job.run(is_drawn=False)
    assert job.done_now() == everything
    job.predictor = first
    job.run(is_drawn=False)
    assert job.done_now() == everything


def test_a_record_that_was_cut_off_is_none(job: Job) -> None:
    job.run()
    expected = job.written()
    (records,) = (job.out / ".done").iterdir()
    lines = records.read_bytes().splitlines(keepends=True)
    assert len(lines) == NUM - 1
    records.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    (job.out / ".done" / "other.jsonl").write_bytes(b'[1]\n"\n\xff\n{}\n' + lines[0][:40])
    job.run()
    assert job.done_now() == [5]
    assert job.written() == expected


def test_one_picture_alone_is_always_done(job: Job) -> None:
    job.files = job.files[:1]
    for _ in range(2):
        job.run()
        assert job.done_now() == [0]
    assert not (job.out / ".done").exists()


def test_a_disk_that_is_full_costs_nothing_that_was_done(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    write = pipeline.write_drawing

    def full(path: Path, image: np.ndarray) -> None:
        if path.name == "4_instances.png":
            raise OSError("No space left on device")
        write(path, image)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_drawing", full)
        with pytest.raises(OSError, match="No space left"):
            job.run()
    job.run()
    assert set(job.done_now()) <= {4, 5}


def test_a_process_that_died_leaves_nothing_merged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(("files", "settings", "todo", "slides", "failures", "end"))

    def gather(value: object) -> list[object]:
        if next(steps) in ("failures", "end"):
            raise RuntimeError("connection closed by peer")
        return [value, value]

    with monkeypatch.context() as patch:
        patch.setattr(folder_job, "gather", gather)
        patch.setattr(folder_job, "world_size", lambda: 2)
        with pytest.raises(RuntimeError, match=r"3 of 6 images are not done.*1\.png.*3\.png.*5\.png"):
            job.run()
    assert job.done_now() == [0, 4]
    assert not (job.out / "counts.csv").exists()
    job.run()
    assert job.done_now() == [1, 3, 5]
    assert (job.out / "counts.csv").exists()


@pytest.mark.parametrize(("picture_bytes", "num_threads"), [(1 << 30, 1), (1 << 30, 3), (1, 3)])
def test_few_pictures_are_in_memory_at_once(
    job: Job, monkeypatch: pytest.MonkeyPatch, picture_bytes: int, num_threads: int
) -> None:
    alive: set[int] = set()
    most = 0
    read = PageReader.read

    def counted(self: PageReader, page: JobPage) -> tuple[FileState, Page]:
        nonlocal most
        state, content = read(self, page)
        alive.add(id(content.image))
        weakref.finalize(content.image, alive.discard, id(content.image))
        most = max(most, len(alive))
        return state, content

    monkeypatch.setattr(PageReader, "read", counted)
    monkeypatch.setattr(pipeline, "PICTURE_BYTES", picture_bytes)
    monkeypatch.setattr(pipeline, "num_cores", lambda: 2 * num_threads)
    files = [job.files[0].with_name(f"{i}.png") for i in range(10, 30)]
    for file in files:
        file.write_bytes(job.files[0].read_bytes())
    job.files = files
    assert len(job.run(is_drawn=False).counts) == 20
    assert job.done_now() == list(range(10, 30))
    # One in the network, the one before it on its way out, and those that wait on either side; too large ones do not.
    assert most <= (2 + 2 * num_threads if picture_bytes > 1 else 2)
    assert not alive


def test_records_keep_any_file_name_and_no_nan(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"odd \xff name.png")
    try:
        file.touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    state, page = state_of(file), JobPage(file)
    rle = {"size": [4, 6], "counts": "01"}
    found = {"category_id": 1, "score": 0.1, "bbox": [0.5] * 4, "area": 1, "iscrowd": 0, "segmentation": rle}
    with Records(tmp_path / "records", "a") as records:
        records.add(page, state, None, (4, 6), {"fig": 2, "date": 0}, [found], ["limit"], 1)
        with pytest.raises(ValueError, match="JSON compliant"):
            records.add(page, state, None, (4, 6), {}, [found | {"score": float("nan")}])
        assert [one for part, _ in records.objects(page) for one in part] == [found]
    with Records(tmp_path / "records", "a") as records:
        records.load([file], lambda _: None)
        done = records.done[page]
        assert (done.image_size, done.counts, done.ceilings, done.num_doubles) == ((4, 6), {"fig": 2}, ("limit",), 1)
        assert [one for part, _ in records.objects(page) for one in part] == [found]
    with Records(tmp_path / "records", "b") as records:
        records.load([file], lambda _: None)
        assert not records.done


LAUNCHERS = {
    "one": [sys.executable],
    "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
}


def launched(folder: Path, arguments: list[str]) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    """Exit status, and what was said, of `infer` as one process and as two, which write to the folders one and two."""
    tool = [str(ROOT / "tools" / "infer.py"), *arguments, "--device", "cpu", "--out"]
    running = {
        name: subprocess.Popen(
            [*launcher, *tool, name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, launcher in LAUNCHERS.items()
    }
    said = {name: process.communicate() for name, process in running.items()}
    return {name: process.returncode for name, process in running.items()}, said


def test_two_processes_write_what_one_writes(files: list[Path], weights: Path, tmp_path: Path) -> None:
    status, said = launched(tmp_path, ["in", "--weights", str(weights)])
    one, two = (Job(None, files, tmp_path / name).written() for name in LAUNCHERS)  # pyright: ignore[reportArgumentType]
    tables = {"counts.csv", "instances.json", "measurements.csv", "report.html"}
    assert set(one) == {*tables, *(f"{i}_instances.png" for i in (0, 1, 3, 4, 5))}, said["one"]
    assert two == one, said["two"]
    assert status == {"one": 1, "two": 1}  # one file is no picture
    assert sorted(said["two"][0].splitlines()) == [
        line.replace("are in one", "are in two") for line in sorted(said["one"][0].splitlines())
    ]
    assert said["two"][1].count("1 of 6 files could not be read") == 1


def test_two_processes_divide_the_tiles_of_a_slide(weights: Path, tmp_path: Path) -> None:
    image = np.zeros((4500, 4500, 3), np.uint8)  # a slide has more than 20 megapixels
    for y, x in ((100, 200), (400, 420), (2040, 3000), (4300, 4400)):  # some across seams
        image[y : y + 64, x : x + 80] = scene([("square", 8, 8, 20), ("disc", 36, 30, 24)], (64, 80))[0]
    tifffile.imwrite(tmp_path / "slide.tif", image, photometric="rgb", tile=(512, 512), compression="zlib")
    options = ["--weights", str(weights), "--tile", "512", "--overlap", "64", "--score", "0.2"]
    status, said = launched(tmp_path, ["slide.tif", *options])
    one, two = (Job(None, [], tmp_path / name).written() for name in LAUNCHERS)  # pyright: ignore[reportArgumentType]
    assert status == {"one": 0, "two": 0}, said
    assert len(json.loads(one["instances.json"])["annotations"]) > 4
    assert two == one
    (note,) = json.loads(two["instances.json"])["images"][0]["notes"]
    assert note.startswith("done in 100 tiles of ")
    assert note in said["two"][0]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(two)  # no tile is left behind


def test_objects_of_a_slide_are_on_record_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "slide.tif"
    file.touch()
    other, state = JobPage(tmp_path / "b.tif"), state_of(file)
    rle = {"size": [4, 6], "counts": "01"}
    objects = [
        {"category_id": 1, "score": i / 100, "bbox": [float(i)] * 4, "area": 1, "iscrowd": 0, "segmentation": rle}
        for i in range(7)
    ]
    expected = [(objects[:3], {"area_px": [0, 1, None]}), (objects[3:], {"area_px": [3, 4, 5, 6]})]
    for folder in (tmp_path / "records", None):
        with Records(folder, "a") as records, closing(PartsFile(tmp_path)) as parts:
            for annotations, measured in expected:
                parts.add(annotations, measured)
            assert parts.part(1) == objects[3:]
            records.add(other, state, None, (4, 6), {}, objects[:1])
            records.add(JobPage(file), state, None, (4, 6), {"fig": 7}, [], parts=parts)
            assert list(records.objects(JobPage(file))) == expected
            assert list(records.objects(other)) == [(objects[:1], {})]
    (lines,) = (tmp_path / "records").iterdir()
    for again in range(2):  # as it was written, and compacted
        with Records(tmp_path / "records", "a") as records:
            assert records.load([file], lambda _: None) == 0
            assert list(records.objects(JobPage(file))) == expected, again
            assert records.done[JobPage(file)].measured == ("area_px",)
            records.compact()
    (lines,) = (tmp_path / "records").iterdir()
    lines.write_bytes(lines.read_bytes().replace(b'"area_px":[3', b'"area_px":[9'))
    with Records(tmp_path / "records", "a") as records:
        records.load([file], lambda _: None)
        with pytest.raises(RuntimeError, match="a record was changed while it was in use"):
            list(records.objects(JobPage(file)))
