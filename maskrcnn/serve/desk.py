"""What the page asks for, done to the data folder with the predictor's help."""

import asyncio
import getpass
import io
import logging
import shlex
import threading
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.pages import PictureFile, Reading
from maskrcnn.data.pictures.limits import ImageError, ImageTooLargeError
from maskrcnn.report.export.formats import FORMATS, write_formats
from maskrcnn.report.palette import BRIGHT
from maskrcnn.serve.corrections import AddBox, outcome, outlined
from maskrcnn.serve.engine import Engine
from maskrcnn.serve.limits import Limits, RefusedError
from maskrcnn.serve.project import MAX_NAME, Project, now
from maskrcnn.serve.record import PictureRecord
from maskrcnn.serve.training import Commands, Training

LOWEST_SCORE = 0.15
"""The page's slider goes down to this where the weights recommend more: what is less likely is rarely an object."""
SAVED_EVERY_S = 0.5
MIN_CHECKED = 2
"""Pictures to train from."""
MAX_PAGES = 500
"""Of a file that is dropped on the page."""

_LOG = logging.getLogger("maskrcnn")


class Desk:
    """The data folder, the engine, and the last picture that was looked at."""

    def __init__(self, engine: Engine, limits: Limits, project: Project, commands: Commands) -> None:
        self.engine, self.limits, self.project = engine, limits, project
        self.training = Training(project.folder, commands)
        first = commands(project.folder / "run")[:1]
        self.train_command = shlex.join(first[0][2:]) if first else ""
        self.floor = min(LOWEST_SCORE, engine.score_threshold)
        self.user = _user()
        self._held: tuple[str, np.ndarray] | None = None
        self.wakes = asyncio.Event()
        self._editing = threading.Lock()

    def pixels(self, id: str) -> np.ndarray:
        """Of a picture; the last one is kept, since boxes come one after the other."""
        held = self._held
        if held is None or held[0] != id:
            held = self._held = id, self.project.read(id, self.limits.max_pixels)
        return held[1]

    async def work(self) -> None:
        """Find the objects in the pictures that wait, one after the other, so that requests come in between."""
        while True:
            if not self.project.waiting:
                self.wakes.clear()
                await self.wakes.wait()
                continue
            id = self.project.waiting[0]
            read = partial(self._read, id)
            try:
                found = await asyncio.wrap_future(self.engine.predict(read, self.floor))
                await asyncio.to_thread(self.project.found, id, found)
            except Exception as error:
                if not isinstance(error, ValueError | OSError):
                    _LOG.exception("picture %s could not be processed", id)
                sentence = str(error) if isinstance(error, ImageError) else "the picture could not be processed"
                with suppress(OSError):
                    await asyncio.to_thread(self.project.note, id, {"failed": sentence})
            self.project.waiting.popleft()

    def _read(self, id: str) -> tuple[np.ndarray, tuple[str, ...]]:
        return self.project.read(id, self.limits.max_pixels), ()

    async def save(self) -> None:
        """Write the data sets soon after each change, and once more at the end."""
        while True:
            try:
                await asyncio.to_thread(self.project.save)
            except OSError as error:
                _LOG.error("the data set could not be written: %s", error)
            await asyncio.sleep(SAVED_EVERY_S)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Both of them at work."""
        tasks = [asyncio.create_task(self.work()), asyncio.create_task(self.save())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self.training.close)
            await asyncio.to_thread(self.project.save)

    def picture(self, id: str) -> PictureRecord:
        """By its id."""
        found = self.project.pictures.get(id)
        if found is None:
            raise RefusedError(404, "there is no such picture")
        return found

    def summary(self, one: PictureRecord) -> dict[str, Any]:
        """A picture in the list."""
        with self.project.lock:
            return self._summary(one)

    def _summary(self, one: PictureRecord) -> dict[str, Any]:
        project = self.project
        return {
            "id": one.id,
            "name": one.file_name,
            "page": one.page,
            "state": one.state,
            "failure": one.failure,
            "count": len(one.counted(project.score)),
            "spread": round(one.spread(project.score, len(project.class_names)), 3),
            "checked": one.checked is not None,
        }

    def details(self, one: PictureRecord) -> dict[str, Any]:
        """A picture with its objects."""
        with self.project.lock:
            objects = [one.objects[number] for number in sorted(one.objects)]
            about = self._summary(one) | {"height": one.size[0], "width": one.size[1]}
            about |= {"can_undo": bool(one.done), "can_redo": bool(one.undone)}
        return about | {"objects": [each.shown() for each in objects]}

    def overview(self) -> dict[str, Any]:
        """What the page begins with."""
        one = self.project
        with one.lock:
            pictures = [self._summary(picture) for picture in one.pictures.values()]
        return {
            "weights": one.weights,
            "classes": list(one.class_names),
            "colors": [f"rgb({r} {g} {b})" for r, g, b in BRIGHT],
            "score": one.score,
            "floor": self.floor,
            "formats": {name: each.files for name, each in FORMATS.items()},
            "user": self.user,
            "folder": one.folder.name,
            "train": self.train_command,
            "pictures": pictures,
        }

    def edit(self, id: str, asked: Any) -> dict[str, Any]:
        """A correction, done and written down; what has changed."""

        def in_box(box: AddBox) -> Any:
            return self.engine.call(lambda predictor: outlined(predictor, self.pixels(id), box)).result(
                self.limits.answer_timeout_s
            )

        asked.by = asked.by or self.user
        with self._editing:
            try:
                before, after = outcome(asked, self.picture(id), self.project.class_names, in_box)
                self.project.edit(id, asked.what, before, after, asked.by)
            except ValueError as error:
                raise RefusedError(422, str(error)) from None
            return self._changed(id, before, [one.number for one in after])

    def step(self, id: str, what: str, by: str) -> dict[str, Any]:
        """Undo or redo."""
        with self._editing:
            picture = self.picture(id)
            steps = picture.done if what == "undo" else picture.undone
            if not steps:
                raise RefusedError(409, f"there is nothing to {what}")
            edit = steps[-1]
            old, new = (edit.after, edit.before) if what == "undo" else (edit.before, edit.after)
            self.project.note(id, {"what": what, "by": by or self.user, "at": now()})
            return self._changed(id, [one.number for one in old], [one.number for one in new])

    def _changed(self, id: str, before: list[int], after: list[int]) -> dict[str, Any]:
        picture = self.project.pictures[id]
        steps = {"can_undo": bool(picture.done), "can_redo": bool(picture.undone)}
        objects = [picture.objects[number].shown() for number in after]
        return {"removed": before, "objects": objects, "picture": self.summary(picture)} | steps

    def keep(self, name: str, data: bytes) -> list[dict[str, Any]]:
        """Keep a file that was dropped on the page, if its header says that it is one to read."""
        reading = Reading(self.limits.max_pixels, looks_for=self.project.class_names)
        if not data:
            raise RefusedError(415, "the file is empty (0 bytes)")
        try:
            with closing(PictureFile(io.BytesIO(data), "the file", Path(name).suffix, reading)) as file:
                num_pages = file.num_pages
        except ImageTooLargeError as error:
            raise RefusedError(413, str(error)) from None
        except ImageError as error:
            raise RefusedError(415, str(error)) from None
        if num_pages > MAX_PAGES:
            raise RefusedError(413, f"the file has {num_pages} pages, more than the {MAX_PAGES} allowed")
        return [self.summary(one) for one in self.project.add(name, data, num_pages)]

    def train(self) -> dict[str, Any]:
        """Begin to train from the pictures that are checked."""
        num = sum(one.checked is not None for one in self.project.pictures.values())
        if num < MIN_CHECKED:
            raise RefusedError(
                409, f"training needs {MIN_CHECKED} checked pictures, of which one is held back; got {num}"
            )
        self.project.save()
        self.training.start()
        return self.training.shown()

    def dataset(self) -> bytes:
        """The COCO data set, up to date."""
        self.project.save()
        return (self.project.folder / "annotations.json").read_bytes()

    def export(self, name: str) -> bytes:
        """A zip archive of a format's files, which also stay in the data folder."""
        out = self.project.folder / "exports"
        write_formats(out, [name], self.project.as_found(), self.project.class_names, overwrite=True)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((out / name).rglob("*")):
                if path.is_file() and not path.is_symlink() and path.name != ".written":
                    archive.write(path, path.relative_to(out / name).as_posix())
        return written.getvalue()


def _user() -> str:
    try:
        return getpass.getuser()[:MAX_NAME]
    except (OSError, KeyError, ImportError):
        return "unknown"
