"""What stands before every request: which host it names, which page sent it, its token; and the headers of answers.

Another page that is open in the same browser can send requests to this machine. It is told apart by three things: the
name it calls the server by (DNS rebinding: its own name, pointed at 127.0.0.1), its origin, and the token, which it
does not know.
"""

import ipaddress
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

COOKIE = "maskrcnn_token"
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Of every answer; a route may set its own in their place."""
FAILED = "the server made a mistake with this request; its log says which"

_LOG = logging.getLogger("maskrcnn")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Door:
    """Who may come in."""

    token: str | None = None
    """What a request has to know; None lets all in, which is for a server that only this machine reaches."""
    names: frozenset[str] = OWN_NAMES
    """Hosts that a request may name, without the port."""
    any_address: bool = False
    """Also every number (192.168.0.7), which no DNS answer stands behind."""

    def knows_host(self, host: str) -> bool:
        """Whether the Host header is one of this server's."""
        name = _without_port(host)
        if name.lower().rstrip(".") in self.names:
            return True
        return self.any_address and _is_address(name)

    def knows_token(self, headers: Mapping[str, str]) -> bool:
        """Whether the token is in Authorization (Bearer) or in the cookie."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), self.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _equal(cookie.value, self.token)


class Guard:
    """The middleware (ASGI)."""

    def __init__(self, app: App, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        is_started = False

        async def answer(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                own = {name.lower() for name, _ in message.get("headers", [])}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _say(answer, *refusal)
            return
        if self._door.token is not None and scope["path"] == "/" and not self._door.knows_token(headers):
            given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
            if _equal(given, self._door.token):  # out of the address, which browsers keep, into a cookie
                cookie = f"{COOKIE}={self._door.token}; Path=/; HttpOnly; SameSite=Strict"
                await _say(answer, 303, "", {"location": "/", "set-cookie": cookie})
                return
        if not self._door.knows_token(headers):
            sentence = (
                "this server wants its token: open the address that it printed, or send Authorization: Bearer TOKEN"
            )
            await _say(answer, 401, sentence, {"www-authenticate": "Bearer"})
            return
        try:
            await self._app(scope, receive, answer)
        except Exception:
            _LOG.exception("a request failed: %s %s", scope["method"], scope["path"])
            if not is_started:
                await _say(answer, 500, FAILED)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._door.knows_host(host):
            return 421, "this server does not go by the name in the Host header of the request"
        if scope["method"] in READING:
            return None
        origin = headers.get("origin")
        is_own = origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        if not is_own or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "requests that change or send something are not taken from the pages of other sites"
        return None


async def _say(send: Send, status: int, sentence: str, headers: Mapping[str, str] = {}) -> None:
    body = json.dumps({"detail": sentence}).encode() if sentence else b""
    every = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    start = {"type": "http.response.start", "status": status}
    await send(start | {"headers": [(k.encode(), v.encode("latin-1")) for k, v in every.items()]})
    await send({"type": "http.response.body", "body": body})


def _equal(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
