"""POST /predict: what comes back, and every limit."""

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.serve.app import build_app
from maskrcnn.serve.limits import Limits
from tests.serve.conftest import PICTURE, Connect, png, running

pytestmark = pytest.mark.extra


def form(data: bytes, name: str = "cells.png") -> dict[str, tuple[str, bytes]]:
    return {"image": (name, data)}


def test_the_answer_is_what_the_predictor_finds(connect: Connect, predictor: Predictor):
    client = connect()
    found = predictor(PICTURE)
    assert len(found)
    answer = client.post("/predict", files=form(png()))
    assert answer.status_code == 200
    expected = coco_dict([("cells.png", found)], predictor.class_names, predictor.category_ids)
    told = answer.json()
    assert told["info"].pop("notes") == list(found.ceilings)  # random weights reach every limit
    assert told == json.loads(json.dumps(expected))
    text = base64.b64encode(png()).decode()
    for image in (text, f"data:image/png;base64,{text}"):
        again = client.post("/predict", json={"image": image, "name": "cells.png"}).json()
        assert again["annotations"] == told["annotations"]


def test_geojson_and_png(connect: Connect, predictor: Predictor):
    client = connect()
    found = predictor(PICTURE)
    answer = client.post("/predict?format=geojson", files=form(png()))
    assert answer.headers["content-type"] == "application/geo+json"
    assert len(answer.json()["features"]) == sum(found.areas() > 0)
    answer = client.post("/predict?format=png", files=form(png()))
    assert answer.headers["content-type"] == "image/png"
    drawn = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(drawn, maskrcnn.draw(PICTURE, found))


def test_score_goes_up_and_down(connect: Connect, predictor: Predictor):
    client = connect()
    scores = [one["score"] for one in client.post("/predict", files=form(png())).json()["annotations"]]
    middle = sorted(scores)[len(scores) // 2]
    higher = client.post(f"/predict?score={middle}", files=form(png())).json()["annotations"]
    assert 0 < len(higher) < len(scores)
    assert all(one["score"] > middle for one in higher)
    assert len(client.post("/predict?score=0.01", files=form(png())).json()["annotations"]) >= len(scores)
    again = client.post("/predict", files=form(png())).json()["annotations"]
    assert [one["score"] for one in again] == scores  # one request's score is not the next one's


def test_an_empty_result(connect: Connect):
    answer = connect().post("/predict?score=1", files=form(png()))
    assert answer.json()["annotations"] == []
    assert [one["file_name"] for one in answer.json()["images"]] == ["cells.png"]


def test_what_was_not_read_of_a_file_is_said(connect: Connect):
    file = io.BytesIO()
    frames = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    notes = connect().post("/predict", files=form(file.getvalue())).json()["info"]["notes"]
    assert any("only the first is read" in note for note in notes)


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 415, "the picture is empty (0 bytes)"),
        (b"hello, world", 415, "not an image in a known format"),
        (b"%PDF-1.7", 415, "it is a PDF"),
        (png()[:60], 422, "the picture:"),
        (png(np.zeros((200, 200, 3), np.uint8)), 413, "more than the 0.03 allowed"),
        (png(np.random.default_rng(0).integers(0, 255, (170, 170, 3), np.uint8)), 413, "20,000"),
    ],
    ids=["empty", "text", "pdf", "damaged", "pixels", "bytes"],
)
def test_a_bad_picture_is_refused_in_one_sentence(connect: Connect, data: bytes, status: int, sentence: str):
    client = connect(limits=Limits(max_bytes=20_000, max_pixels=30_000))
    answer = client.post("/predict", files=form(data))
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert "Traceback" not in answer.text
    assert client.post("/predict", files=form(png())).status_code == 200


def test_a_length_that_is_claimed_is_enough_to_refuse(connect: Connect):
    kind = {"content-type": "multipart/form-data; boundary=x", "content-length": "20001"}
    answer = connect(limits=Limits(max_bytes=20_000)).post("/predict", content=b"--x", headers=kind)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "the request has 20,001 bytes, more than the 20,000 allowed"


def test_bytes_are_counted_where_no_length_is_claimed(connect: Connect):
    client = connect(limits=Limits(max_bytes=20_000))
    sent: list[int] = []

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for i in range(50):
            sent.append(i)
            yield bytes(1000)

    answer = client.post("/predict", content=body(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("kind", "body", "status", "sentence"),
    [
        ("text/plain", b"x", 415, "expected a form (multipart/form-data) or JSON"),
        ("application/json", b"{", 400, "not valid JSON"),
        ("application/json", b"[" * 100_000, 400, "not valid JSON"),
        ("application/json", b"[]", 400, "got []"),
        ("application/json", b'{"image": 3}', 400, "got {'image': 3}"),
        ("application/json", b'{"image": "???"}', 400, "expected base64"),
        ("multipart/form-data", b"x", 400, "boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n", 400, "the form cannot be read"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400, "expected a file in the field image"),
    ],
)
def test_a_body_that_is_none_is_refused(connect: Connect, kind: str, body: bytes, status: int, sentence: str):
    answer = connect().post("/predict", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


def test_two_files_and_a_field_of_another_name(connect: Connect):
    client = connect()
    answer = client.post("/predict", files={"picture": ("a.png", png())})
    assert "expected a file in the field image of the form, got ['picture']" in answer.json()["detail"]
    answer = client.post("/predict", files=[("image", ("a.png", png())), ("image", ("b.png", png()))])
    assert answer.status_code == 400
    assert "Too many files" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["score=2", "score=x", "format=gif"])
def test_a_parameter_out_of_range_is_a_sentence(connect: Connect, query: str):
    answer = connect().post(f"/predict?{query}", files=form(png()))
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]


def test_too_many_are_told_to_come_back(connect: Connect):
    client = connect(limits=Limits(max_waiting=1))
    hold = threading.Event()
    engine = client.app.state.server.engine
    busy = engine.call(lambda _: hold.wait(30))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(client.post, "/predict", files=form(png())) for _ in range(4)]
        (refused,) = list(wait(answers, 30, FIRST_COMPLETED).done)[:1]
        assert refused.result().status_code == 429
        assert refused.result().headers["retry-after"] == "5"
        hold.set()
        statuses = sorted(one.result().status_code for one in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {200, 429}
    assert busy.result(30)
    assert client.app.state.server.room.num == 0


def test_an_answer_that_takes_too_long_is_given_up(connect: Connect):
    client = connect(limits=Limits(answer_timeout_s=0.05))
    server = client.app.state.server
    hold = threading.Event()
    server.engine.call(lambda _: hold.wait(30))
    answer = client.post("/predict", files=form(png()))
    hold.set()
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the picture was not done within 0.05 s"
    assert server.engine.call(lambda _: 1).result(30) == 1
    assert server.engine.num_pictures == 0  # it was cancelled before its turn


def test_a_body_that_does_not_arrive_is_given_up(predictor: Predictor):
    pytest.importorskip("fastapi")
    app = build_app(predictor, limits=Limits(body_timeout_s=0.1))
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
    with running(app) as port, socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        answer = connection.recv(10_000).decode()
        assert answer.startswith("HTTP/1.1 408")
        assert "the picture did not arrive within 0.1 s" in answer + connection.recv(10_000).decode()
        assert app.state.server.room.num == 0


def test_a_client_that_goes_away_leaves_its_place(predictor: Predictor, caplog: pytest.LogCaptureFixture):
    pytest.importorskip("fastapi")
    app = build_app(predictor, limits=Limits(max_waiting=1))
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
    with running(app) as port:
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n[1".encode())
            wait_until(lambda: app.state.server.room.num == 1)
        wait_until(lambda: app.state.server.room.num == 0)
    assert caplog.text == ""  # it is no mistake of the server


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.01)  # until the server has seen it
    raise AssertionError("it did not come about")


def test_a_mistake_of_the_server_is_one_sentence(connect: Connect, caplog: pytest.LogCaptureFixture):
    client = connect()

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    client.app.state.server.engine.predict = broken
    answer = client.post("/predict", files=form(png()))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "a request failed: POST /predict" in caplog.text


def test_health_and_metrics(connect: Connect, predictor: Predictor):
    client = connect()
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["classes"] == list(predictor.class_names)
    num = len(client.post("/predict", files=form(png())).json()["annotations"])
    client.post("/predict", files=form(b"no"))
    lines = client.get("/metrics").text.splitlines()
    assert f"maskrcnn_objects_total {num}" in lines
    assert 'maskrcnn_requests_total{route="/predict",status="200"} 1' in lines
    assert 'maskrcnn_requests_total{route="/predict",status="415"} 1' in lines
    assert 'maskrcnn_predict_seconds_bucket{le="+Inf"} 2' in lines
    assert "maskrcnn_request_bytes_inside 0" in lines


def test_metrics_are_prometheus_text(connect: Connect):
    reader = pytest.importorskip("prometheus_client.parser")
    text = connect().get("/metrics").text
    families = {family.name for family in reader.text_string_to_metric_families(text)}
    assert {"maskrcnn_pictures", "maskrcnn_predict_seconds", "maskrcnn_waiting"} <= families


def test_the_interface_is_described(connect: Connect):
    client = connect()
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    assert {"413", "415", "429"} <= set(schema["paths"]["/predict"]["post"]["responses"])
    page = client.get("/docs").text
    assert "POST /predict" in page
    assert "http" not in page.replace("HTTP", "")  # it loads nothing from elsewhere


def test_a_dead_engine_is_not_healthy(connect: Connect):
    client = connect()
    client.app.state.server.engine.close(30)
    assert client.get("/health").status_code == 503
