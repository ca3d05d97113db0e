import errno
import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.checkpoints import download
from maskrcnn.checkpoints.download import cache_folder, cached_path, fetch, part_path
from maskrcnn.checkpoints.manifest import Entry
from tests.checkpoints.download_site import (
    CONTENT,
    ETAG,
    Answer,
    Handler,
    Site,
    cut,
    cut_weak,
    entry_for,
    other_part,
    redirect,
    running_site,
    send,
    web_page,
    with_range,
    without_length,
    without_range,
    wrong,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server, and an empty cache."""
    monkeypatch.setenv("MASKRCNN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    with running_site() as site:
        yield site


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose checksums were taken."""
    paths: list[Path] = []
    digest = download._digest
    monkeypatch.setattr(download, "_digest", lambda path, *a: (paths.append(path), digest(path, *a))[1])
    return paths


def failure(entry: Entry) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        fetch(entry)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"size_bytes": None, "sha256": hashlib.sha256(CONTENT).hexdigest()[:8]},
        {"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest()},
        {"size_bytes": None, "sha256": None, "md5": hashlib.md5(CONTENT).hexdigest()[:6]},
    ],
)
@pytest.mark.parametrize("answer", [with_range, without_range, without_length])
def test_a_file_is_downloaded_and_verified_once(
    site: Site, known: dict[str, Any], answer: Answer, hashed: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    site.answers = [answer]
    entry = entry_for(site, **known)
    path = fetch(entry)
    assert path == cached_path(entry) == cache_folder() / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(entry) == path
    assert site.ranges == [None]
    assert hashed == [part_path(entry)]
    assert sorted(p.name for p in path.parent.iterdir()) == [
        ".weights.pth.lock",
        ".weights.pth.verified",
        "weights.pth",
    ]
    assert capfd.readouterr() == ("", "")  # no progress where nobody looks


def test_a_redirect_is_followed_with_the_range(site: Site) -> None:
    site.answers = [cut, redirect("/elsewhere/f?token=1"), with_range]
    entry = entry_for(site)
    failure(entry)
    assert fetch(entry).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=100000-", "bytes=100000-"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [("file:///etc/hostname", "HTTP 302 .*not allowed"), ("ftp://127.0.0.1/f", "unknown url type: ftp")],
)
def test_a_redirect_to_another_scheme_is_not_followed(site: Site, location: str, reason: str) -> None:
    site.answers = [redirect(location)]
    with pytest.raises(ValueError, match=reason):
        fetch(entry_for(site))


@pytest.mark.parametrize(("first", "condition"), [(cut, ETAG), (cut_weak, None)])
def test_a_cut_download_goes_on_where_it_stopped(site: Site, first: Answer, condition: str | None) -> None:
    site.answers = [first, with_range]
    entry = entry_for(site)
    assert failure(entry) == (
        f"could not download tiny from {site.url} (the connection was lost); 0.1 MB are kept, run again to go on from "
        f"there; download it by other means and put it at {cached_path(entry)}, or give its path in place of the name"
    )
    assert part_path(entry).read_bytes() == CONTENT[:100_000]
    assert fetch(entry).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=100000-"]
    assert site.conditions == [None, condition]
    assert visible(cache_folder()) == ["weights.pth"]


@pytest.mark.parametrize("etag", [ETAG, '"version 0"'])
@pytest.mark.parametrize("second", [with_range, without_range, other_part])
def test_a_download_starts_again_where_it_cannot_go_on(site: Site, second: Answer, etag: str) -> None:
    def first(handler: Handler) -> None:
        send(handler, b"?" * 100_000, length=len(CONTENT), ETag=etag)

    site.answers = [first, second, with_range]
    entry = entry_for(site, size_bytes=None)
    failure(entry)
    if etag == ETAG and second is with_range:
        # The server says that it is the same version, and it is not: only the checksum tells.
        assert "expected sha256" in failure(entry)
        assert visible(cache_folder()) == []
    assert fetch(entry).read_bytes() == CONTENT
    assert visible(cache_folder()) == ["weights.pth"]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_that_is_whole_is_not_asked_for_again(site: Site, size: int | None) -> None:
    entry = entry_for(site, size_bytes=size)
    cache_folder().mkdir(parents=True)
    part_path(entry).write_bytes(CONTENT)
    assert fetch(entry).read_bytes() == CONTENT
    assert site.ranges == ([] if size else [f"bytes={len(CONTENT)}-"])


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_that_is_too_long_is_thrown_away(site: Site, size: int | None) -> None:
    entry = entry_for(site, size_bytes=size)
    cache_folder().mkdir(parents=True)
    part_path(entry).write_bytes(CONTENT + b"more")
    assert fetch(entry).read_bytes() == CONTENT
    assert site.ranges[-1] is None


def test_another_file_is_refused_and_deleted(site: Site) -> None:
    site.answers = [wrong]
    entry = entry_for(site)
    assert failure(entry) == (
        f"tiny from {site.url}: expected sha256 {entry.sha256}, got {hashlib.sha256(CONTENT[::-1]).hexdigest()}; it is "
        "not the published file and has been deleted"
    )
    assert visible(cache_folder()) == []


def test_a_checksum_of_which_few_digits_are_known(site: Site) -> None:
    site.answers = [wrong]
    assert "expected md5 0123ab, got " in failure(entry_for(site, sha256=None, md5="0123ab"))


@pytest.mark.parametrize("second", [web_page, lambda handler: send(handler, b"short")])
def test_what_is_there_already_is_kept_when_the_server_has_something_else(site: Site, second: Answer) -> None:
    site.answers = [cut, second, with_range]
    entry = entry_for(site)
    failure(entry)
    said = failure(entry)
    assert ("a web page instead of the file" in said) or (f"expected {len(CONTENT)} bytes, the server has 5" in said)
    assert fetch(entry).read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=100000-"


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_server(site: Site, status: int) -> None:
    site.answers = [lambda handler: handler.send_error(status)]
    entry = entry_for(site)
    said = failure(entry)
    assert said.startswith(f"could not download tiny from {site.url} (HTTP {status} ")
    assert said.endswith(f"put it at {cached_path(entry)}, or give its path in place of the name")
    assert visible(cache_folder()) == []


def test_no_server(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    site.url = f"http://127.0.0.1:{port}/weights.pth"
    said = failure(entry_for(site))
    assert said.startswith(f"could not download tiny from {site.url} (")
    assert "refused" in said


def test_a_server_that_hangs_up(site: Site) -> None:
    site.answers = [lambda handler: None]
    assert "(the connection was lost); download" in failure(entry_for(site))


def test_a_server_that_falls_silent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    is_over = threading.Event()

    def stall(handler: Handler) -> None:
        send(handler, CONTENT[:200_000], length=len(CONTENT))
        is_over.wait(10)

    site.answers = [stall, lambda handler: (is_over.wait(10), None)[1], with_range]
    entry = entry_for(site)
    said = [failure(entry), failure(entry)]
    is_over.set()
    assert all("(no answer for 0.1 s); 0.2 MB are kept, run again" in sentence for sentence in said)
    assert fetch(entry).read_bytes() == CONTENT


def test_a_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 150_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    open_file = Path.open
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda path, *a, **k: (Full if path.suffix == ".part" else open_file)(path, *a, **k))
        assert "(No space left on device); 0.1 MB are kept, run again to go on" in failure(entry_for(site))
    assert fetch(entry_for(site)).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={2 * download.CHUNK_BYTES}-"]


def test_a_cache_that_cannot_be_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    said = failure(entry_for(site))
    assert said.startswith(f"could not download tiny from {site.url} (")
    assert str(tmp_path / "home") in said
    assert site.ranges == []


def test_a_file_put_there_by_hand_is_verified_once(site: Site, hashed: list[Path]) -> None:
    entry = entry_for(site)
    cache_folder().mkdir(parents=True)
    cached_path(entry).write_bytes(CONTENT)
    for _ in range(3):
        assert fetch(entry) == cached_path(entry)
    assert hashed == [cached_path(entry)]
    os.utime(cached_path(entry), ns=(1, 1))  # another file may have taken its place
    fetch(entry)
    assert len(hashed) == 2
    fetch(entry_for(site, md5=hashlib.md5(CONTENT).hexdigest()))  # what it must be has changed
    assert len(hashed) == 4
    assert site.ranges == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(CONTENT[:-1], f"expected {len(CONTENT)} bytes, got {len(CONTENT) - 1}"), (CONTENT[::-1], "expected sha256 ")],
)
def test_a_wrong_file_put_there_by_hand_is_named_and_left(site: Site, content: bytes, reason: str) -> None:
    entry = entry_for(site)
    cache_folder().mkdir(parents=True)
    cached_path(entry).write_bytes(content)
    for _ in range(2):
        said = failure(entry)
        assert said.startswith(f"{cached_path(entry)}: {reason}")
        assert said.endswith("; remove it to download tiny, or give your file in place of the name")
    assert cached_path(entry).read_bytes() == content
    assert site.ranges == []


def test_two_processes_download_once(site: Site) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def late(handler: Handler) -> None:
        is_asked.set()
        may_answer.wait(30)
        with_range(handler)

    site.answers = [late]
    entry = entry_for(site)
    code = "import sys; from maskrcnn.checkpoints import download, manifest\n"
    code += "print(download.fetch(manifest.Entry.model_validate_json(sys.argv[1])))"
    command = [sys.executable, "-c", code]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, entry.model_dump_json()], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    with start() as first:
        assert is_asked.wait(30)
        with start() as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            may_answer.set()
            said = [process.communicate(timeout=30)[0] for process in (first, second)]
    assert waiting == "tiny: another process is downloading it, waiting\n"
    assert said == [f"{cached_path(entry)}\n"] * 2
    assert (first.returncode, second.returncode) == (0, 0)
    assert site.ranges == [None]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"MASKRCNN_HOME": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/weights"),
        ({"MASKRCNN_HOME": "~/a", "HOME": "/c"}, "/c/a/weights"),
        ({"MASKRCNN_HOME": "", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/maskrcnn/weights"),
        ({"HOME": "/c"}, "/c/.cache/maskrcnn/weights"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of Unix")
def test_where_the_cache_is(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASKRCNN_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
