"""The server: routes of the HTTP interface, and of the page where there is a data folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Future
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import maskrcnn
from maskrcnn.optional import needed
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.serve.answers import ANSWERS, MEDIA_TYPES, Answer, answer
from maskrcnn.serve.desk import Desk
from maskrcnn.serve.docs_page import docs_page
from maskrcnn.serve.engine import Engine
from maskrcnn.serve.guard import Door, Guard
from maskrcnn.serve.limits import Limits, RefusedError, Seat, WaitingRoom
from maskrcnn.serve.metrics import MEDIA_TYPE, Counted, Metrics
from maskrcnn.serve.page_routes import add_page
from maskrcnn.serve.pictures import FIELD, decoded, picture_in
from maskrcnn.serve.project import Project
from maskrcnn.serve.training import Commands

if TYPE_CHECKING:
    from fastapi import FastAPI

T = TypeVar("T")
EXTRA = "web"
DEFAULT_LIMITS, THIS_MACHINE = Limits(), Door()
SCORE_MEANING = "only objects that score more than this; by default what the weights recommend"
_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary", "description": "an image file"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "string", "format": "byte", "description": "an image file in base64"},
                        "name": {"type": "string", "description": "what the answer calls it"},
                    },
                }
            },
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "no form or JSON with a picture in it"},
    408: {"description": "the picture took too long to arrive"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not a picture of a kind that is read"},
    422: {"description": "a damaged picture, or a parameter out of range"},
    429: {"description": "too much is waiting"},
    503: {"description": "no answer within the time allowed"},
}
"""Each comes as {"detail": "one sentence"}."""


class Server:
    """What the routes share."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.engine, self.room, self.metrics = Engine(predictor), WaitingRoom(limits), Metrics()

    async def within(self, seconds: float, work: Awaitable[T], status: int, what: str) -> T:
        """The result of `work`, or a refusal when it takes longer; `what` says what did not happen."""
        try:
            return await asyncio.wait_for(work, seconds)
        except asyncio.TimeoutError:
            raise RefusedError(status, f"{what} within {seconds:g} s") from None

    async def picture(self, request: Any, seat: Seat) -> tuple[str, bytes]:
        """(file name, bytes) of the picture in a request."""
        reading = picture_in(request, seat, self.limits)
        return await self.within(self.limits.body_timeout_s, reading, 408, "the picture did not arrive")

    async def result(self, future: "Future[T]") -> T:
        """What the engine gives; what is not wanted any more is cancelled."""
        waiting = asyncio.wrap_future(future)
        return await self.within(self.limits.answer_timeout_s, waiting, 503, "the picture was not done")


def build_app(
    predictor: Predictor,
    *,
    limits: Limits = DEFAULT_LIMITS,
    door: Door = THIS_MACHINE,
    project: Project | None = None,
    train_commands: Commands = lambda run: (),
) -> "FastAPI":
    """The application (ASGI), for uvicorn or a test.

    Args:
        project: the data folder of the page; without one there is only the interface for programs.
        train_commands: what trains from its corrections, the first of which the page shows without the interpreter and
            `-m`.

    Raises:
        MissingPackageError: FastAPI, or what it needs for forms, is not installed.
    """
    needed("fastapi", EXTRA, "the server")
    needed("python_multipart", EXTRA, "the server")
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.concurrency import run_in_threadpool

    server = Server(predictor, limits)
    desk = Desk(server.engine, limits, project, train_commands) if project is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with desk.open() if desk is not None else nullcontext():
            yield
        await run_in_threadpool(server.engine.close, limits.answer_timeout_s)

    app = FastAPI(
        title="maskrcnn",
        version=maskrcnn.__version__,
        summary=f"Finds {', '.join(predictor.class_names[:5])}: {predictor.description}",
        docs_url=None,  # both load scripts from another site
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.server = server

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        headers = {"retry-after": "5"} if error.status in (429, 503) else {}
        return JSONResponse({"detail": str(error)}, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def unfit(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)

    @app.post(
        "/predict",
        summary="Find the objects in a picture",
        openapi_extra=_PICTURE_BODY,
        responses=REFUSALS | {200: {"content": {media: {} for media in MEDIA_TYPES.values()}}},
        response_class=Response,
    )
    async def predict(
        request: Request,
        format: Annotated[Answer, Query(description=f"what comes back: {', '.join(ANSWERS)}")] = "coco",
        score: Annotated[float | None, Query(ge=0, le=1, description=SCORE_MEANING)] = None,
    ) -> Response:
        """The objects in one picture, as a COCO data set, as GeoJSON in pixels, or drawn on the picture (PNG).

        Of a file with several pages the first is read, and `info.notes` of the COCO data set says so.
        """
        with server.room.enter() as seat:
            name, data = await server.picture(request, seat)
            read = partial(decoded, data, limits, predictor.class_names)
            found = await server.result(server.engine.predict(read, score))
            server.metrics.num_objects += len(found.instances)
            body = await run_in_threadpool(answer, found, name, format, predictor.category_ids)
        return Response(body, media_type=MEDIA_TYPES[format])

    @app.get("/health", summary="Whether the server works")
    async def health() -> Response:
        is_well = server.engine.is_alive
        state = {
            "status": "ok" if is_well else "failed",
            "version": maskrcnn.__version__,
            "weights": predictor.description,
            "classes": list(predictor.class_names),
            "score_threshold": server.engine.score_threshold,
            "device": predictor.execution.description,
            "limits": {k: v for k, v in vars(limits).items()},
        }
        return JSONResponse(state, 200 if is_well else 503)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(server.metrics.text(server.engine, server.room), media_type=MEDIA_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    if desk is not None:
        add_page(app, server, desk)
    app.add_middleware(Guard, door=door)  # pyright: ignore[reportArgumentType]
    app.add_middleware(Counted, metrics=server.metrics)  # pyright: ignore[reportArgumentType]
    return app
