"""The data folder: pictures as they came, a journal for each, and the COCO data sets that are made of them.

images/            the files, under safe names
shown/             of each picture a JPEG for the page
journal/           of each picture a file of lines: what was found, and every change
project.json       classes and score threshold
annotations.json   all pictures with their objects
checked.json       the same of the pictures that a person has checked: what to train on
"""

import itertools
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrcnn.data.pages import PictureFile, Reading
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.pictures.opening import opened
from maskrcnn.files import atomic_path
from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.export.picture import FoundPicture, safe_name, stems
from maskrcnn.report.written import write_json
from maskrcnn.serve.engine import Found
from maskrcnn.serve.journal import append, recover
from maskrcnn.serve.objects import MarkedObject, objects_of
from maskrcnn.serve.record import PictureRecord
from maskrcnn.untrusted.names import printable, utf8

MAX_SHOWN_PX = 4096
"""Longer side of a picture on the page."""
MAX_NAME = 100
"""Letters of a person's name."""
_JPEG_QUALITY = 92
_FIRST_SCORE = "score"


class Project:
    """A data folder, which the caller has locked (`maskrcnn.files.folder_lock`). Safe to use from several threads:
    who reads several things that belong together holds `lock`.

    Raises:
        ValueError: a folder that was made with other classes, or a journal that is not one.
    """

    def __init__(
        self, folder: Path, class_names: Sequence[str], category_ids: Sequence[int], score: float, weights: str
    ) -> None:
        self.folder, self.weights = folder, weights
        self.class_names = tuple(map(utf8, class_names))
        self.category_ids = tuple(category_ids) or tuple(range(1, len(self.class_names) + 1))
        self.score = score
        self.pictures: dict[str, PictureRecord] = {}
        self.waiting: deque[str] = deque()
        self.lock = threading.RLock()
        self._is_due = True
        for name in ("images", "shown", "journal"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._load_settings()
        for path in sorted((folder / "journal").glob("*.jsonl")):
            self._load(path)

    def add(self, name: str, data: bytes, num_pages: int) -> list[PictureRecord]:
        """Keep a file, and line its pages up for the network; one that is there already is not kept twice."""
        with self.lock:
            stored = self._store(name, data)
            known = {(one.file_name, one.page): one for one in self.pictures.values()}
            pages = [None] if num_pages == 1 else list(range(num_pages))
            return [known.get((stored, page)) or self._new(stored, page) for page in pages]

    def found(self, id: str, found: Found) -> None:
        """What the network found in a picture."""
        scale = min(1.0, MAX_SHOWN_PX / max(found.image.shape[:2]))
        size_wh = [max(1, round(side * scale)) for side in found.image.shape[1::-1]]
        small = cv2.resize(found.image, size_wh, interpolation=cv2.INTER_AREA) if scale < 1 else found.image
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        with atomic_path(self.shown_path(id)) as path:
            path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
        objects = [one.to_dict() for one in objects_of(found)]
        self.note(id, {"found": objects, "size": list(found.image.shape[:2]), "weights": self.weights, "at": now()})

    def note(self, id: str, line: dict[str, Any]) -> None:
        """Do what a line says to a picture, and write it to its journal.

        Raises:
            ValueError, LookupError: it does not fit; nothing has changed then.
            OSError: it could not be written; nothing has changed then.
        """
        with self.lock:
            picture = self.pictures[id]
            try:
                picture.follow(line)
                append(self._journal(id), line)
            except BaseException:
                self.pictures[id] = self._read(self._journal(id))
                raise
            self._is_due = True

    def edit(self, id: str, what: str, before: Sequence[int], after: Sequence[MarkedObject], by: str) -> None:
        """Put the objects `after` in the place of those numbered `before`."""
        line = {"what": what, "before": list(before), "after": [one.to_dict() for one in after], "by": by, "at": now()}
        self.note(id, line)

    def set_score(self, score: float) -> None:
        """The threshold from which objects that nobody touched count."""
        with self.lock:
            self.score, self._is_due = score, True
            self._save_settings()

    def next(self, after: str | None = None) -> str | None:
        """The unchecked picture whose count is the least sure; not `after`, if there is another."""
        with self.lock:
            open_ones = [one for one in self.pictures.values() if one.state == "done" and one.checked is None]
            others = [one for one in open_ones if one.id != after] or open_ones
            # Of equally unsure ones the first; ids are numbers of one length.
            order = sorted(others, key=lambda one: (-one.spread(self.score, len(self.class_names)), one.id))
            return order[0].id if order else None

    def read(self, id: str, max_pixels: int | None = None) -> np.ndarray:
        """A picture's pixels, RGB uint8 (H, W, 3).

        Raises:
            ImageError: it is damaged, beyond a limit, or a link; names the file, not the folder.
        """
        picture = self.pictures[id]
        path, name = self.folder / "images" / picture.file_name, picture.file_name
        if path.is_symlink():
            raise ImageError(f"{name}: a link in place of the picture")
        reading = Reading(max_pixels, looks_for=self.class_names)
        with opened(path, name) as file, closing(PictureFile(file, name, path.suffix, reading)) as pages:
            return pages.read(picture.page or 0).image

    def shown_path(self, id: str) -> Path:
        """The JPEG for the page."""
        return self.folder / "shown" / f"{id}.jpg"

    def as_found(self) -> Iterator[FoundPicture]:
        """The pictures with what counts in them, for the formats of other tools."""
        with self.lock:
            done = [(one, one.counted(self.score)) for one in self.pictures.values() if one.state == "done"]
        names = stems([(one.file_name, one.page) for one, _ in done])
        for (one, counted), stem in zip(done, names, strict=True):
            objects = [each.as_found(self.class_names) for each in counted]
            yield FoundPicture(one.file_name, stem, one.size, objects, one.page, partial(self.read, one.id))

    def save(self) -> None:
        """Write the data sets where something has changed since."""
        with self.lock:
            if not self._is_due:
                return
            self._is_due = False
            every = [one for one in self.pictures.values() if one.state == "done"]
            try:
                write_json(self.folder / "annotations.json", self._coco(every))
                write_json(self.folder / "checked.json", self._coco([one for one in every if one.checked is not None]))
            except BaseException:
                self._is_due = True
                raise

    def _coco(self, pictures: Sequence[PictureRecord]) -> dict[str, Any]:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, picture in enumerate(pictures, start=1):
            height, width = picture.size
            image = {"id": image_id, "file_name": picture.file_name, "width": width, "height": height}
            page = {} if picture.page is None else {"page": picture.page}
            checked = None if picture.checked is None else vars(picture.checked)
            gone = [
                {"number": one.number, "category_id": self.category_ids[one.label], **vars(change)}
                for one, change in picture.removed()
            ]
            images.append(image | page | {"checked": checked, "removed": gone})
            for one in picture.counted(self.score):
                ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": self.category_ids[one.label]}
                annotations.append(ids | one.as_coco())
        named = zip(self.category_ids, self.class_names, strict=True)
        info = {"description": DESCRIPTION, "weights": utf8(self.weights), "score_threshold": self.score}
        return {
            "info": info,
            "images": images,
            "categories": [{"id": id, "name": name} for id, name in named],
            "annotations": annotations,
        }

    def _store(self, name: str, data: bytes) -> str:
        """The name under which the file is kept."""
        plain = Path(safe_name(name.replace("\\", "/").rpartition("/")[2] or "picture"))
        for i in itertools.count(1):
            candidate = plain.name if i == 1 else safe_name(f"{plain.stem[:60]}_{i}{plain.suffix[:20]}")
            path = self.folder / "images" / candidate
            if path.is_symlink():
                continue
            if path.is_file() and path.read_bytes() == data:
                return candidate
            if not path.exists():
                with atomic_path(path) as temporary:
                    temporary.write_bytes(data)
                return candidate
        raise AssertionError  # counting does not end

    def _new(self, file_name: str, page: int | None) -> PictureRecord:
        id = f"{max(map(int, self.pictures), default=0) + 1:06}"
        line = {"file_name": file_name, "page": page}
        append(self._journal(id), line)
        self.pictures[id] = PictureRecord(id, line)
        self.waiting.append(id)
        return self.pictures[id]

    def _load(self, path: Path) -> None:
        try:
            picture = self._read(path)
        except EOFError:  # killed before its first line was there
            path.unlink()
            return
        self.pictures[picture.id] = picture
        if picture.state == "waiting":
            self.waiting.append(picture.id)

    def _read(self, path: Path) -> PictureRecord:
        lines = recover(path)
        if not lines:
            raise EOFError
        try:
            picture = PictureRecord(f"{int(path.stem):06}", lines[0])
            for line in lines[1:]:
                picture.follow(line)
            if safe_name(picture.file_name) != picture.file_name:
                raise ValueError("the name of its picture leads elsewhere")
            if any(not 0 <= one.label < len(self.class_names) for one in picture.objects.values()):
                raise ValueError("a class that there is not")
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{path}: not a journal of this program ({error})") from None
        return picture

    def _journal(self, id: str) -> Path:
        return self.folder / "journal" / f"{id}.jsonl"

    def _load_settings(self) -> None:
        path = self.folder / "project.json"
        if not path.exists():
            self._save_settings()
            return
        try:
            stored = json.loads(path.read_bytes())
            names, ids = tuple(stored["class_names"]), tuple(stored["category_ids"])
            score = float(stored[_FIRST_SCORE])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: not a project of this program ({error})") from None
        if names != self.class_names:
            was, now = (", ".join(map(printable, map(str, some))) for some in (names, self.class_names))
            raise ValueError(f"{self.folder}: was made with the classes {was}, the weights have {now}")
        self.category_ids, self.score = ids, score

    def _save_settings(self) -> None:
        settings = {
            "class_names": list(self.class_names),
            "category_ids": list(self.category_ids),
            _FIRST_SCORE: self.score,
        }
        write_json(self.folder / "project.json", settings)


def now() -> str:
    """The time of a change."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
