"""Public checkpoints brought into the cache: once, whole, and verified."""

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError

from tqdm import tqdm

from maskrcnn.checkpoints.manifest import Entry

TIMEOUT_S = 30.0
"""For connecting, and for each piece of the answer."""
CHUNK_BYTES = 1 << 16
POLL_S = 0.2
"""How often a waiting process asks for the lock."""
RANGE_NOT_SATISFIABLE = 416


def fetch(entry: Entry) -> Path:
    """The file of `entry` in the cache, downloaded if it is not there, and verified once.

    An interrupted download goes on where it stopped; of several processes one downloads and the others wait. A file
    that was put there by hand is taken if it is the right one.

    Raises:
        ValueError: the download failed, or the file is not the one that `entry` describes.
    """
    path = cached_path(entry)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_name(f".{path.name}.lock"), entry.name):
                if not path.exists():  # another process may have brought it meanwhile
                    _download(entry, path)
        except (OSError, HTTPException) as error:
            raise ValueError(_failure(entry, path, error)) from error
    if not _is_verified(path, entry):
        wrong = _what_is_wrong(path, entry)
        if wrong:
            raise ValueError(
                f"{path}: {wrong}; remove it to download {entry.name}, or give your file in place of the name"
            )
        _note_verified(path, entry)
    return path


def cached_path(entry: Entry) -> Path:
    """Where the file of `entry` is, or would be."""
    return cache_folder() / entry.file


def part_path(entry: Entry) -> Path:
    """Where a download of `entry` grows."""
    return _part_of(cached_path(entry))


def cache_folder() -> Path:
    """Folder of downloaded checkpoints: in $MASKRCNN_HOME, else $XDG_CACHE_HOME/maskrcnn, else ~/.cache/maskrcnn."""
    home = os.environ.get("MASKRCNN_HOME")
    if home:
        return Path(home).expanduser() / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskrcnn" / "weights"


def _download(entry: Entry, path: Path) -> None:
    part = _part_of(path)
    have = part.stat().st_size if part.exists() else 0
    if have != entry.size_bytes:  # it is whole where the last process ended before it could verify it
        _transfer(entry, part, have)
    wrong = _what_is_wrong(part, entry)
    if wrong:
        _remove(part)
        raise ValueError(f"{entry.name} from {entry.url}: {wrong}; it is not the published file and has been deleted")
    part.replace(path)
    _etag_of(part).unlink(missing_ok=True)
    _note_verified(path, entry)


def _transfer(entry: Entry, part: Path, have: int) -> None:
    """Download into `part`, of which the first `have` bytes are kept if the server can go on from there."""
    headers = {"User-Agent": "maskrcnn"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if _etag_of(part).exists():
            headers["If-Range"] = _etag_of(part).read_text(encoding="latin-1")
    try:
        response = _opener().open(request.Request(entry.url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code != RANGE_NOT_SATISFIABLE or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # there is no more to come
        _remove(part)
        return _transfer(entry, part, 0)
    with response:
        is_rest = response.status == 206
        if is_rest and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _remove(part)
            return _transfer(entry, part, 0)
        if response.headers.get_content_type() == "text/html":
            raise OSError("the server sent a web page instead of the file")
        start = have if is_rest else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else entry.size_bytes
        if entry.size_bytes not in (None, total):
            raise OSError(f"expected {entry.size_bytes} bytes, the server has {total}")
        if not is_rest:
            _note_etag(part, response.headers.get("ETag", ""))
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=entry.name, disable=None)
        with part.open("ab" if is_rest else "wb") as file, bar:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
            got = file.tell()
        if total is not None and got < total:
            raise ConnectionError("the connection was lost")


def _opener() -> request.OpenerDirector:
    """Opens http and https, whatever a server redirects to; `build_opener` would add file and ftp."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _etag_of(part: Path) -> Path:
    """Says of which version of the server's file `part` is."""
    return part.with_name(f".{part.name}.etag")


def _note_etag(part: Path, etag: str) -> None:
    if etag.startswith('"'):  # a weak one, W/"...", does not stand for the same bytes
        _etag_of(part).write_text(etag, encoding="latin-1")
    else:
        _etag_of(part).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_of(part).unlink(missing_ok=True)


def _failure(entry: Entry, path: Path, error: Exception) -> str:
    part = _part_of(path)
    kept = part.stat().st_size if part.exists() else 0
    resume = f"; {kept / 1e6:.1f} MB are kept, run again to go on from there" if kept else ""
    return (
        f"could not download {entry.name} from {entry.url} ({_reason(error)}){resume}; download it by other means and "
        f"put it at {path}, or give its path in place of the name"
    )


def _reason(error: object) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT_S:g} s"
    if isinstance(error, HTTPException):
        return "the connection was lost"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _what_is_wrong(path: Path, entry: Entry) -> str:
    """Why the file is not that of `entry`; empty if it is."""
    size = path.stat().st_size
    if entry.size_bytes not in (None, size):
        return f"expected {entry.size_bytes} bytes, got {size}"
    for algorithm, expected in (("sha256", entry.sha256), ("md5", entry.md5)):
        if expected is not None:
            got = _digest(path, algorithm)[: len(expected)]
            if got != expected:
                return f"expected {algorithm} {expected}, got {got}"
    return ""


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_verified(path: Path, entry: Entry) -> bool:
    """Whether this very file has been verified before: hashing some 250 MB at every start takes a second."""
    with suppress(OSError):
        return _verified_note(path).read_text(encoding="utf-8") == _identity(path, entry)
    return False


def _note_verified(path: Path, entry: Entry) -> None:
    with suppress(OSError):  # in a folder that is only read it is verified every time
        _verified_note(path).write_text(_identity(path, entry), encoding="utf-8")


def _verified_note(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _identity(path: Path, entry: Entry) -> str:
    stat = path.stat()
    return f"{stat.st_size} bytes, mtime {stat.st_mtime_ns} ns, sha256 {entry.sha256}, md5 {entry.md5}\n"


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Only one process at a time; the system lets go of the lock of one that dies."""
    with path.open("a") as file:  # closing it unlocks it
        if not _try_lock(file):
            tqdm.write(f"{name}: another process is downloading it, waiting", file=sys.stderr)
            while not _try_lock(file):
                time.sleep(POLL_S)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks: should two downloads mix, the checksum tells
        return True
