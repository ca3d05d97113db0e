"""The rate of a folder of pictures, with reading, drawing and writing, against that of the network alone."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.processes import apart
from benchmarks.stopwatch import Stopwatch
from benchmarks.table import markdown
from benchmarks.workloads import micrograph
from maskrcnn.data.images import read_image
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor

NUM, SMALL_NUM = 200, 4
SIZE, OBJECTS = (256, 320), 40
WARM_UP = 3
BARE, AROUND, FOLDER = "bare network", "around it", "folder: read, found, drawn, written"


def folder(threads: int, device: str, is_small: bool = False) -> list[str]:
    """The table of pictures/s: a job over the folder, and the bare network on half of it before and half after."""
    num = SMALL_NUM if is_small else NUM
    with tempfile.TemporaryDirectory() as place:
        seconds: dict[str, float] = apart(threads, _measure, Path(place), num, device)
    rows = [[name, f"{num / s:.2f}", f"{seconds[BARE] / s:.0%}"] for name, s in seconds.items()]
    title = f"## folder: {num} PNG images of {SIZE[0]} x {SIZE[1]}, {OBJECTS} nuclei each, the shipped nuclei weights"
    return [title, "", *markdown(["", "pictures/s", "of the bare network"], rows), ""]


def _measure(place: Path, num: int, device: str) -> dict[str, float]:
    """Seconds for all pictures."""
    pixels = micrograph(SIZE, OBJECTS)
    files = [place / f"{i:03d}.png" for i in range(num)]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), pixels if i % 2 else pixels[:, ::-1])
    predictor = Predictor("nuclei", device=device)
    for _ in range(WARM_UP):
        predictor(pixels)
    watch = Stopwatch(predictor.device)

    def predict(some: Sequence[Path]) -> None:
        pictures = [read_image(file) for file in some]
        with watch.watching({BARE: [(predictor.model, "detect")]}), watch.part(AROUND):
            for picture in pictures:
                predictor(picture)

    predict(files[: num // 2])  # half before and half after, since the speed of a shared machine drifts
    with tempfile.TemporaryDirectory() as out, watch.part(FOLDER):
        infer_files(predictor, files, Path(out), say=lambda line: None)
    predict(files[num // 2 :])
    bare, around, job = (watch.seconds[name] for name in (BARE, AROUND, FOLDER))
    return {BARE: bare, "images that are in memory": bare + around, FOLDER: job}
