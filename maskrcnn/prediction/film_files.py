"""The files of a film that is followed: written frame by frame, and there when the film is over."""

import csv
import json
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.prediction.tracks import TrackedFrame
from maskrcnn.report.counts_plot import plot_counts
from maskrcnn.report.draw_tracks import track_color
from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.film_file import FilmFile
from maskrcnn.report.regions import centroids
from maskrcnn.report.written import json_text, write_image
from maskrcnn.structures.instances import Instances
from maskrcnn.tracking.lines import Crossing
from maskrcnn.tracking.zones import ZoneCounter
from maskrcnn.untrusted.names import table_cell, utf8

TRACKS, CROSSINGS, ZONES, MOT = "tracks.csv", "crossings.csv", "zones.csv", "mot.txt"
OVER_TIME, OVER_TIME_PLOT, FILM_INSTANCES = "counts_over_time.csv", "counts_over_time.png", "instances.json"
THUMBNAILS = "crossings"
FILM_ENDING = "_instances.mp4"
TRACKS_HEADER = (
    *("frame", "time_s", "track", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1"),
    *("centroid_x", "centroid_y", "area"),
)
CROSSINGS_HEADER = ("time_s", "frame", "line", "direction", "class", "track", "thumbnail")
ZONES_HEADER = ("zone", "class", "entered", "dwell_mean_s", "dwell_longest_s")
THUMBNAIL_PX = 160
"""Its longer side, at most."""
_PLAIN = re.compile(r"[^\w-]+")


def film_file_names(stem: str, *, is_drawn: bool, has_lines: bool, has_zones: bool) -> list[str]:
    """All files that are written, by their names in the folder of the results, but for thumbnails."""
    names = [TRACKS, MOT, OVER_TIME, OVER_TIME_PLOT, FILM_INSTANCES]
    return [*names, *[f"{stem}{FILM_ENDING}"] * is_drawn, *[CROSSINGS] * has_lines, *[ZONES] * has_zones]


class FilmFiles:
    """Use it as a context: the files take their names where its block ends well, all at its end.

    Args:
        rate: frames in a second of the film that is drawn; None draws none.
        category_ids: the data set's id of each class.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        film: str,
        stem: str,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        rate: float | None,
        *,
        has_lines: bool,
    ) -> None:
        self.codec = ""
        self.thumbnails: list[str] = []
        self._folder, self._film_name, self._stem = folder, film, stem
        self._class_names, self._ids = list(class_names), list(category_ids)
        self._rate, self._has_lines = rate, has_lines
        self._stack = ExitStack()
        self._film: FilmFile | None = None
        self._num_images = self._num_objects = 0
        self._size = (0, 0)
        self._times, self._unique = array("d"), array("q")
        self._present = {name: array("q") for name in self._class_names}
        self._seen: set[int] = set()

    def __enter__(self) -> "FilmFiles":
        self._tracks = csv.writer(self._text(TRACKS), lineterminator="\n")
        self._tracks.writerow(TRACKS_HEADER)
        self._mot = self._text(MOT)
        self._over_time = csv.writer(self._text(OVER_TIME), lineterminator="\n")
        names = [table_cell(name) for name in self._class_names]
        self._over_time.writerow(["frame", "time_s", *names, "total", "different_so_far"])
        if self._has_lines:
            self._crossings = csv.writer(self._text(CROSSINGS), lineterminator="\n")
            self._crossings.writerow(CROSSINGS_HEADER)
        self._json = self._text(FILM_INSTANCES)
        # Annotations come after the images, so they wait in a file that is left nowhere.
        self._annotations = self._stack.enter_context(_scratch(self._folder))
        categories = [{"id": i, "name": utf8(name)} for i, name in zip(self._ids, self._class_names, strict=True)]
        head = {"info": {"description": DESCRIPTION}, "categories": categories}
        self._json.write(json_text(head)[:-1] + ',"images":[')
        if self._rate is not None:
            final = self._folder / f"{self._stem}{FILM_ENDING}"
            temporary = self._stack.enter_context(atomic_path(final))
            self._place, self._temporary = temporary.with_suffix(".mp4"), temporary
            self._stack.callback(self._place.unlink, missing_ok=True)
            self._film = FilmFile(self._place, self._rate)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if self._film is not None:
                if kind is None:
                    self._film.close()
                    self.codec = self._film.codec
                    if self._place.exists():
                        self._place.replace(self._temporary)
                else:
                    self._film.discard()
            if kind is None:
                self._finish_json()
                present = {name: values for name, values in self._present.items() if any(values)}
                plot_counts(self._folder / OVER_TIME_PLOT, self._times, present, self._unique)
        except BaseException as late:
            self._stack.__exit__(type(late), late, late.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def add(self, frame: TrackedFrame) -> None:
        """The tables' rows of the next frame."""
        instances, ids = frame.instances, frame.track_ids.tolist()
        self._size = instances.image_size
        boxes, scores, areas = instances.boxes.tolist(), instances.scores.tolist(), instances.areas().tolist()
        names = [self._class_names[label] for label in instances.labels.tolist()]
        places = centroids(instances).round(2).tolist()
        time_s = round(frame.time_s, 4)
        for i, track in enumerate(ids):
            box = [round(value, 2) for value in boxes[i]]
            row = [frame.number, time_s, track, table_cell(names[i]), round(scores[i], 4), *box, *places[i], areas[i]]
            self._tracks.writerow(row)
            x0, y0, x1, y1 = boxes[i]
            about = ",".join(f"{value:.2f}" for value in (x0 + 1, y0 + 1, x1 - x0, y1 - y0))
            self._mot.write(f"{self._num_images + 1},{track},{about},{scores[i]:.4f},-1,-1,-1\n")
        self._add_json(frame, boxes, scores, areas)
        counts = Counter(names)
        self._seen.update(ids)
        numbers = [counts.get(name, 0) for name in self._class_names]
        self._over_time.writerow([frame.number, time_s, *numbers, len(ids), len(self._seen)])
        self._times.append(frame.time_s)
        self._unique.append(len(self._seen))
        for name, number in zip(self._class_names, numbers, strict=True):
            self._present[name].append(number)

    def add_crossings(self, crossings: Sequence[Crossing], frame: TrackedFrame) -> None:
        """The rows and thumbnails of what crossed lines in a frame."""
        for one in crossings:
            number = len(self.thumbnails) + 1
            name = f"{THUMBNAILS}/{number:05d}_{_PLAIN.sub('_', one.line)[:40]}_{one.direction}_{one.track}.jpg"
            write_image(self._folder / name, _thumbnail(frame.image, frame.instances, one.row, one.track))
            self.thumbnails.append(name)
            class_name = table_cell(self._class_names[one.label])
            row = [round(frame.time_s, 4), one.frame, table_cell(one.line), one.direction, class_name, one.track, name]
            self._crossings.writerow(row)

    def draw(self, image: np.ndarray, time_s: float) -> None:
        """The next frame of the film that is drawn."""
        if self._film is not None:
            self._film.write(image, time_s)

    def _text(self, name: str) -> IO[str]:
        temporary = self._stack.enter_context(atomic_path(self._folder / name))
        return self._stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))

    def _add_json(self, frame: TrackedFrame, boxes: list[list[float]], scores: list[float], areas: list[int]) -> None:
        self._num_images += 1
        height, width = frame.instances.image_size
        image = {"id": self._num_images, "file_name": f"{utf8(self._stem)}/{frame.number:06d}.jpg", "width": width}
        image |= {"height": height, "video_id": 1, "frame_id": frame.number, "time_s": round(frame.time_s, 6)}
        self._json.write("," * (self._num_images > 1) + json_text(image))
        labels, rles, ids = frame.instances.labels.tolist(), frame.instances.rles(), frame.track_ids.tolist()
        for i, (x0, y0, x1, y1) in enumerate(boxes):
            self._num_objects += 1
            annotation = {
                **{"id": self._num_objects, "image_id": self._num_images, "video_id": 1, "track_id": ids[i]},
                **{"number": i + 1, "category_id": self._ids[labels[i]], "score": scores[i]},
                **{"bbox": [x0, y0, x1 - x0, y1 - y0], "area": areas[i], "iscrowd": 0, "segmentation": rles[i]},
            }
            self._annotations.write("," * (self._num_objects > 1) + json_text(annotation))

    def _finish_json(self) -> None:
        height, width = self._size
        about = {"id": 1, "name": utf8(self._film_name), "width": width, "height": height, "length": self._num_images}
        self._json.write(f'],"videos":[{json.dumps(about, ensure_ascii=False)}],"annotations":[')
        self._annotations.seek(0)
        while piece := self._annotations.read(1 << 20):
            self._json.write(piece)
        self._json.write("]}")


def write_zones(path: Path, zones: Sequence[ZoneCounter]) -> None:
    """A row for each zone and class of which anything was in it."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        table = csv.writer(text, lineterminator="\n")
        table.writerow(ZONES_HEADER)
        for zone in zones:
            stays, class_of = zone.dwell_s, zone.class_of
            for name, number in zone.entered.items():
                seconds = [stays[track] for track, own in class_of.items() if own == name]
                mean, longest = round(sum(seconds) / len(seconds), 3), round(max(seconds), 3)
                table.writerow([table_cell(zone.name), table_cell(name), number, mean, longest])


def unique_counts(labels: Mapping[int, int], class_names: Sequence[str]) -> dict[str, int]:
    """Different objects of each class, by the class of each track."""
    counts = Counter(labels.values())
    return {name: counts.get(label, 0) for label, name in enumerate(class_names)}


def _thumbnail(image: np.ndarray, instances: Instances, row: int, track: int) -> np.ndarray:
    """The object and a little around it."""
    x0, y0, x1, y1 = instances.boxes[row].tolist()
    margin = 0.4 * max(x1 - x0, y1 - y0) + 8
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(image.shape[1], int(x1 + margin) + 1), min(image.shape[0], int(y1 + margin) + 1)
    part = image[top:bottom, left:right].copy()
    corners = [(round(x0) - left, round(y0) - top), (round(x1) - left - 1, round(y1) - top - 1)]
    cv2.rectangle(part, corners[0], corners[1], track_color(track), 1)
    factor = THUMBNAIL_PX / max(part.shape[:2])
    if factor < 1:
        part = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return part


def _scratch(folder: Path) -> IO[str]:
    """A text file without a name."""
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=folder)
