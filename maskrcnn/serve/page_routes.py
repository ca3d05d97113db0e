"""Routes of the page: its files, pictures of the data folder, corrections, downloads."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from maskrcnn.report.export.formats import FORMATS
from maskrcnn.serve.corrections import Asked
from maskrcnn.serve.desk import Desk
from maskrcnn.serve.limits import RefusedError
from maskrcnn.serve.project import MAX_NAME, now

if TYPE_CHECKING:
    from fastapi import FastAPI

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Who(BaseModel):
    """Who does something; the user of this machine where it is empty."""

    by: Annotated[str, Field(max_length=MAX_NAME)] = ""


class Checked(Who):
    """Whether a picture is checked."""

    checked: bool


def page_files() -> dict[str, bytes]:
    """The files of the page by name; nothing else is ever opened for a name in a request."""
    folder = files("maskrcnn.serve") / "page"
    return {one.name: one.read_bytes() for one in folder.iterdir() if Path(one.name).suffix in MEDIA_TYPES}


def add_page(app: "FastAPI", server: Any, desk: Desk) -> None:
    """The routes."""
    from fastapi import Body, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.concurrency import run_in_threadpool

    known = page_files()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(known["index.html"], media_type="text/html")

    @app.get("/page/{name}", include_in_schema=False)
    async def of_page(name: str) -> Response:
        if name not in known:
            raise RefusedError(404, "there is no such file")
        return Response(known[name], media_type=MEDIA_TYPES[Path(name).suffix])

    @app.get("/api/project", tags=["page"], summary="Classes, formats and the list of pictures")
    async def project() -> Any:
        return JSONResponse(await run_in_threadpool(desk.overview))

    @app.post("/api/pictures", tags=["page"], summary="Keep a picture, and find the objects in it soon")
    async def add(request: Request) -> Any:
        with server.room.enter() as seat:
            name, data = await server.picture(request, seat)
            kept = await run_in_threadpool(desk.keep, name, data)
        desk.wakes.set()
        return kept

    @app.get("/api/pictures/{id}", tags=["page"], summary="A picture with its objects")
    async def details(id: str) -> Any:
        return JSONResponse(await run_in_threadpool(desk.details, desk.picture(id)))

    @app.get("/api/pictures/{id}/image", tags=["page"], summary="A picture as JPEG", response_class=Response)
    async def image(id: str) -> Response:
        path = desk.project.shown_path(desk.picture(id).id)
        if not path.is_file():
            raise RefusedError(404, "the picture has not been read yet")
        return Response(await run_in_threadpool(path.read_bytes), media_type="image/jpeg")

    @app.post("/api/pictures/{id}/edits", tags=["page"], summary="Correct a picture")
    async def edit(id: str, asked: Asked) -> Any:
        return JSONResponse(await run_in_threadpool(desk.edit, id, asked))

    @app.post("/api/pictures/{id}/undo", tags=["page"], summary="Take the last correction back")
    async def undo(id: str, who: Who) -> Any:
        return JSONResponse(await run_in_threadpool(desk.step, id, "undo", who.by))

    @app.post("/api/pictures/{id}/redo", tags=["page"], summary="Do again what was taken back")
    async def redo(id: str, who: Who) -> Any:
        return JSONResponse(await run_in_threadpool(desk.step, id, "redo", who.by))

    @app.post("/api/pictures/{id}/checked", tags=["page"], summary="Say that somebody has checked a picture")
    async def checked(id: str, said: Checked) -> Any:
        picture = desk.picture(id)
        if picture.state != "done":
            raise RefusedError(409, "the picture has not been read yet")
        line = {"what": "check" if said.checked else "uncheck", "by": said.by or desk.user, "at": now()}
        await run_in_threadpool(desk.project.note, id, line)
        return await run_in_threadpool(desk.summary, desk.picture(id))

    @app.put("/api/score", tags=["page"], summary="Set the score from which objects count")
    async def score(score: Annotated[float, Body(embed=True, ge=0, le=1)]) -> Any:
        await run_in_threadpool(desk.project.set_score, score)
        return {"score": desk.project.score}

    @app.get("/api/next", tags=["page"], summary="The picture whose count is the least sure")
    async def next_picture(after: str | None = None) -> Any:
        return {"id": await run_in_threadpool(desk.project.next, after)}

    @app.get("/api/training", tags=["page"], summary="What a training run has said so far")
    async def training() -> Any:
        return await run_in_threadpool(desk.training.shown)

    @app.post("/api/training", tags=["page"], summary="Train from the checked pictures")
    async def train() -> Any:
        return await run_in_threadpool(desk.train)

    @app.delete("/api/training", tags=["page"], summary="Stop the training run")
    async def stop() -> Any:
        await run_in_threadpool(desk.training.stop)
        return await run_in_threadpool(desk.training.shown)

    @app.get("/api/dataset", tags=["page"], summary="The COCO data set of the data folder", response_class=Response)
    async def dataset() -> Response:
        data = await run_in_threadpool(desk.dataset)
        headers = {"content-disposition": 'attachment; filename="annotations.json"'}
        return Response(data, media_type="application/json", headers=headers)

    @app.get("/api/export/{name}", tags=["page"], summary="A zip archive in a format", response_class=Response)
    async def export(name: str) -> Response:
        if name not in FORMATS:
            raise RefusedError(404, f"expected a format, one of {', '.join(FORMATS)}")
        data = await run_in_threadpool(desk.export, name)
        headers = {"content-disposition": f'attachment; filename="maskrcnn-{name}.zip"'}
        return Response(data, media_type="application/zip", headers=headers)
