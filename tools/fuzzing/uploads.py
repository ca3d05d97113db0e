"""The HTTP interface: pictures as a browser or a program sends them, with other bytes in body and head."""

import base64
import importlib.util
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.children import Target
from fuzzing.images import image_files
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.serve.app import build_app

BOUNDARY = "b0undary"
QUERIES = (
    "",
    "",
    "?format=geojson",
    "?format=png",
    "?format=exe",
    "?score=0.7",
    "?score=nan",
    "?score=-1",
    "?score=1e999",
)
HEADS = (
    "multipart/form-data; boundary=" + BOUNDARY,
    "application/json",
    "image/png",
    "multipart/form-data",
    "",
    "\x7f",
)


def _make(folder: Path, rng: random.Random) -> None:
    name, data = rng.choice(sorted(image_files().items()))
    if rng.random() < 0.5:
        data = damaged_bytes(data, rng)
    if rng.random() < 0.5:
        kind = HEADS[0]
        head = f'Content-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
        body = f"--{BOUNDARY}\r\n{head}".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    else:
        kind = HEADS[1]
        value: Any = {"image": base64.b64encode(data).decode(), "name": name}
        if rng.random() < 0.3:
            value = damaged_tree(value, rng)
        body = json.dumps(value).encode()
    if rng.random() < 0.3:
        body = damaged_bytes(body, rng)
    if rng.random() < 0.15:
        kind = rng.choice(HEADS)
    (folder / "body").write_bytes(body)
    (folder / "head.json").write_text(json.dumps([kind, rng.choice(QUERIES)]))


@cache
def _client() -> Any:
    """Of a server in this process, with the shipped weights."""
    from starlette.testclient import TestClient

    client = TestClient(build_app(Predictor(device="cpu")), base_url="http://127.0.0.1")
    client.__enter__()
    return client


def _read(folder: Path) -> str:
    """The length of an answer, or the sentence of a refusal as a ValueError."""
    kind, query = json.loads((folder / "head.json").read_text())
    head = {"Content-Type": kind} if kind else {}
    answer = _client().post(f"/predict{query}", content=(folder / "body").read_bytes(), headers=head)
    if answer.status_code == 200:
        return f"{answer.headers['content-type']} {len(answer.content)}"
    detail = answer.json()["detail"]  # of anything else than a refusal of ours there is none
    if not isinstance(detail, str) or not 400 <= answer.status_code < 500:
        raise RuntimeError(f"status {answer.status_code}: {detail}")
    raise ValueError(detail)


HAS_SERVER = bool(importlib.util.find_spec("fastapi")) and any(map(importlib.util.find_spec, ("httpx", "httpx2")))
UPLOAD_TARGETS = (Target("upload", _make, _read, share=2.0),) if HAS_SERVER else ()
