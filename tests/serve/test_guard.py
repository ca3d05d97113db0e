"""Who may come in: hosts, origins, tokens; and what every answer forbids the browser."""

import pytest

from maskrcnn.serve.guard import HEADERS, Door
from tests.serve.conftest import Connect, png

pytestmark = pytest.mark.extra
TOKEN = "0123456789abcdef"
FORM = {"image": ("a.png", png())}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000", "localhost."]
)
def test_names_of_this_machine(host: str):
    assert Door().knows_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.com", "127.0.0.1.evil.com", "192.168.0.7", "localhost.evil.com:80", "[::2]"]
)
def test_other_names_are_refused(connect: Connect, host: str):
    assert not Door().knows_host(host)
    if host:
        answer = connect().get("/health", headers={"host": host})
        assert answer.status_code == 421


def test_numbers_are_nobodys_names():
    door = Door(TOKEN, frozenset({"cells.lab"}), any_address=True)
    assert door.knows_host("192.168.0.7:8000")
    assert door.knows_host("[fe80::1]")
    assert door.knows_host("cells.lab")
    assert not door.knows_host("evil.com")
    assert not door.knows_host("1.2.3.4.evil.com")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_posts_of_other_pages_are_refused(connect: Connect, headers: dict[str, str]):
    answer = connect().post("/predict", files=FORM, headers=headers)
    assert answer.status_code == 403
    assert "pages of other sites" in answer.json()["detail"]


def test_posts_of_the_own_page_and_of_programs_are_taken(connect: Connect):
    client = connect()
    for headers in ({}, {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}):
        assert client.post("/predict", files=FORM, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/metrics", "/docs", "/openapi.json", "/", "/nowhere"])
def test_nothing_is_told_without_the_token(connect: Connect, path: str):
    client = connect(door=Door(TOKEN))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": "a=b;;="}):
        answer = client.get(path, headers=headers, follow_redirects=False)
        assert answer.status_code == 401
        assert TOKEN not in answer.text
    assert client.get(path, params={"token": "wrong"}, follow_redirects=False).status_code == 401


def test_a_program_sends_the_token(connect: Connect):
    client = connect(door=Door(TOKEN))
    assert client.post("/predict", files=FORM, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_changes_it_for_a_cookie(connect: Connect):
    client = connect(door=Door(TOKEN))
    answer = client.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/health").status_code == 200  # the client keeps it


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/nowhere", 404)])
def test_every_answer_forbids_what_is_outside(connect: Connect, path: str, status: int):
    answer = connect().get(path)
    assert answer.status_code == status
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert "default-src 'none'" in HEADERS["content-security-policy"]
    assert "http" not in HEADERS["content-security-policy"]


def test_refusals_have_the_headers_too(connect: Connect):
    assert connect().get("/", headers={"host": "evil.com"}).headers["x-frame-options"] == "DENY"
