"""A server on this machine with one file to download, and the ways in which it answers."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from maskrcnn.checkpoints.manifest import Entry

CONTENT = bytes(range(256)) * 1000  # several chunks
ETAG = '"version 1"'
Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Site:
    """A server on this machine; each request is answered by the next of `answers`, the last one again and again."""

    def __init__(self, address: str) -> None:
        self.url = f"{address}/files/weights.pth"
        self.answers: list[Answer] = [with_range]
        self.ranges: list[str | None] = []
        """The Range of each request so far."""
        self.conditions: list[str | None] = []
        """The If-Range of each request so far."""

    def answer(self, handler: Handler) -> None:
        self.ranges.append(handler.headers.get("Range"))
        self.conditions.append(handler.headers.get("If-Range"))
        (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(handler)


def send(handler: Handler, content: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    headers = {"Content-Length": str(len(content) if length is None else length), **headers}
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def with_range(handler: Handler) -> None:
    wanted = handler.headers.get("Range")
    if wanted is None or handler.headers.get("If-Range", ETAG) != ETAG:
        return send(handler, CONTENT, ETag=ETAG)
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if start >= len(CONTENT):
        return send(handler, b"", 416, Content_Range=f"bytes */{len(CONTENT)}")
    return send(handler, CONTENT[start:], 206, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")


def without_range(handler: Handler) -> None:
    send(handler, CONTENT)


def without_length(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT)


def cut(handler: Handler) -> None:
    send(handler, CONTENT[:100_000], length=len(CONTENT), ETag=ETAG)


def cut_weak(handler: Handler) -> None:
    send(handler, CONTENT[:100_000], length=len(CONTENT), ETag=f"W/{ETAG}")


def web_page(handler: Handler) -> None:
    send(handler, b"<p>Please log in</p>", Content_Type="text/html; charset=utf-8")


def other_part(handler: Handler) -> None:
    send(handler, CONTENT[5:], 206, Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")


def redirect(location: str) -> Answer:
    return lambda handler: send(handler, b"", 302, Location=location)


def wrong(handler: Handler) -> None:
    send(handler, CONTENT[::-1])


@contextmanager
def running_site() -> Iterator[Site]:
    """A server that runs while the context lasts."""

    class OfSite(Handler):
        def do_GET(self) -> None:  # noqa: N802
            site.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), OfSite)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def entry_for(site: Site, **differences: Any) -> Entry:
    known = {"size_bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()} | differences
    return Entry(
        name="tiny",
        url=site.url,
        licence="MIT",
        network="R18-FPN",
        classes=3,
        preset="torchvision_v1",
        source="https://example.org",
        **known,
    )
