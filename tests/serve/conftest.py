"""A predictor that finds something everywhere, and a client of a server that has it."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.prediction.predictor import Predictor
from maskrcnn.serve.app import build_app
from tests.coco_files import write_checkpoint
from tests.tiny import scene

PICTURE, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))


def png(image: np.ndarray = PICTURE) -> bytes:
    """An encoded picture."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Random weights."""
    return Predictor(write_checkpoint(Path(tmp_path_factory.mktemp("weights")) / "tiny.safetensors"), device="cpu")


@contextmanager
def running(app: Any) -> Iterator[int]:
    """A server on a free port of this machine, which it gives."""
    uvicorn = pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


Connect = Callable[..., Any]


@pytest.fixture
def connect(predictor: Predictor) -> Iterator[Connect]:
    """Gives a client of a new server, with `build_app`'s arguments; its base address is 127.0.0.1."""
    pytest.importorskip("fastapi")
    testclient = pytest.importorskip("starlette.testclient")
    with ExitStack() as stack:

        def client(used: Any = predictor, *, address: str = "http://127.0.0.1", **choices: Any) -> Any:
            return stack.enter_context(testclient.TestClient(build_app(used, **choices), base_url=address))

        yield client
