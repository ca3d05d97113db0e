"""The picture of a request: its bytes within limits, and its pixels, or the status and sentence for why not."""

import base64
import binascii
import io
import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn.data.pages import PictureFile, Reading
from maskrcnn.data.pictures.kinds import START_BYTES, recognise
from maskrcnn.data.pictures.limits import ImageError, ImageTooLargeError
from maskrcnn.serve.limits import Limits, RefusedError, Seat
from maskrcnn.untrusted.excerpt import excerpt

if TYPE_CHECKING:
    from fastapi import Request

FIELD = "image"
"""Of a form, or of JSON."""
MAX_FIELDS = 10
MAX_FIELD_BYTES = 1000


async def picture_in(request: "Request", seat: Seat, limits: Limits) -> tuple[str, bytes]:
    """(file name, bytes) of the picture in the body: a form with the file `image`, or JSON with it in base64.

    Raises:
        RefusedError: too long, or anything else.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed) > limits.max_bytes:
        raise RefusedError(413, f"the request has {int(claimed):,} bytes, more than the {limits.max_bytes:,} allowed")
    if kind == "multipart/form-data":
        return await _in_form(request, seat, limits)
    if kind == "application/json":
        body = b"".join([part async for part in _counted(request, seat)])
        return _in_json(body)
    raise RefusedError(
        415, f"expected a form (multipart/form-data) or JSON (application/json) with {FIELD}, got {excerpt(kind)}"
    )


async def _in_form(request: "Request", seat: Seat, limits: Limits) -> tuple[str, bytes]:
    from starlette.formparsers import MultiPartException, MultiPartParser

    parser = MultiPartParser(
        request.headers,
        _counted(request, seat),  # pyright: ignore[reportArgumentType]
        max_files=1,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    parser.spool_max_size = limits.max_bytes + 1  # in memory: nothing of a stranger's lands in the system's folder
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(400, f"the form cannot be read: {error.message.rstrip('.')}") from None
    file = form.get(FIELD)
    if file is None or isinstance(file, str):
        others = f", got {excerpt(list(form))}" if form else ""
        raise RefusedError(400, f"expected a file in the field {FIELD} of the form{others}")
    return file.filename or "", await file.read()


def _in_json(body: bytes) -> tuple[str, bytes]:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not valid JSON") from None
    text = value.get(FIELD) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise RefusedError(400, f'expected {{"{FIELD}": "... base64 ..."}}, got {excerpt(value)}')
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (ValueError, binascii.Error):
        raise RefusedError(400, f"{FIELD}: expected base64, got {excerpt(text)}") from None
    name = value.get("name")
    return name if isinstance(name, str) else "", data


async def _counted(request: "Request", seat: Seat) -> AsyncIterator[bytes]:
    from starlette.requests import ClientDisconnect

    try:
        async for part in request.stream():
            seat.take(len(part))
            yield part
    except ClientDisconnect:
        raise RefusedError(400, "the connection was closed before the picture was there") from None


def decoded(data: bytes, limits: Limits, looks_for: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """RGB uint8 (H, W, 3) of an encoded picture, and a sentence for each thing in the file that was not read.

    Raises:
        RefusedError: 413, too many pixels; 415, not a picture of a kind that is read; 422, a damaged one.
    """
    if not data:
        raise RefusedError(415, "the picture is empty (0 bytes)")
    format, _ = recognise(data[:START_BYTES], "")
    reading = Reading(limits.max_pixels, looks_for=looks_for)
    try:
        file = PictureFile(io.BytesIO(data), "the picture", "", reading)
        with closing(file):
            page = file.read(0)
            held = (f"the file has {file.held}; only the first is read",) if file.held else ()
            return page.image, (*held, *page.notes)
    except ImageTooLargeError as error:
        raise RefusedError(413, str(error)) from None
    except ImageError as error:
        raise RefusedError(422 if format is not None else 415, str(error)) from None
