"""What the page asks the server for."""

import io
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.export.formats import FORMATS
from maskrcnn.serve.limits import Limits
from maskrcnn.serve.project import Project
from tests.serve.conftest import PICTURE, Connect, png

pytestmark = pytest.mark.extra


@pytest.fixture
def project(tmp_path: Path, predictor: Predictor) -> Project:
    return Project(tmp_path / "data", predictor.class_names, predictor.category_ids, 0.2, "tiny")


def told(run: Path) -> list[list[str]]:
    """In the place of a training run: two commands that say something and make a folder."""
    code = "import sys, os; os.makedirs(sys.argv[1], exist_ok=True); print(sys.argv[2], flush=True)"
    return [[sys.executable, "-c", code, str(run), word] for word in ("trained", "before 0.5, after 0.6")]


@pytest.fixture
def client(connect: Connect, project: Project) -> Any:
    return connect(project=project, train_commands=told)


def added(client: Any, data: bytes = png(), name: str = "cells.png") -> list[dict[str, Any]]:
    """Drop a file, and wait until it is done."""
    answer = client.post("/api/pictures", files={"image": (name, data)})
    assert answer.status_code == 200, answer.text
    ids = [one["id"] for one in answer.json()]
    for _ in range(3000):
        listed = {one["id"]: one for one in client.get("/api/project").json()["pictures"]}
        if all(listed[id]["state"] != "waiting" for id in ids):
            return [listed[id] for id in ids]
        time.sleep(0.01)  # until the server says so
    raise AssertionError("nothing came of it")


def edit(client: Any, id: str, **asked: Any) -> Any:
    return client.post(f"/api/pictures/{id}/edits", json=asked)


def test_a_picture_that_is_dropped_is_counted(client: Any, predictor: Predictor, project: Project):
    (one,) = added(client)
    found = predictor(PICTURE)
    assert one["state"] == "done"
    assert one["count"] == (found.areas() > 0).sum()
    details = client.get(f"/api/pictures/{one['id']}").json()
    assert (details["height"], details["width"]) == PICTURE.shape[:2]
    assert details["objects"][0]["area"] == found.areas()[found.areas() > 0][0]
    image = client.get(f"/api/pictures/{one['id']}/image")
    assert image.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(image.content)).size == PICTURE.shape[1::-1]


def test_the_slider_goes_below_what_the_weights_recommend(client: Any):
    (one,) = added(client)
    told = client.get("/api/project").json()
    assert told["floor"] == 0.15 < told["score"]
    assert client.put("/api/score", json={"score": 0.15}).json() == {"score": 0.15}
    assert client.get(f"/api/pictures/{one['id']}").json()["count"] >= one["count"]
    assert client.put("/api/score", json={"score": 2}).status_code == 422


def test_corrections_undo_and_redo(client: Any, project: Project):
    (one,) = added(client)
    id = one["id"]
    number = client.get(f"/api/pictures/{id}").json()["objects"][0]["number"]
    gone = edit(client, id, what="remove", numbers=[number], by="Anna").json()
    assert gone["removed"] == [number]
    assert gone["picture"]["count"] == one["count"] - 1
    made = edit(client, id, what="add-polygon", points=[[1, 1], [9, 1], [9, 9]], label=1).json()
    assert made["objects"][0]["label"] == 1
    assert made["objects"][0]["changed"]["by"] == project.pictures[id].done[-1].change.by != ""
    back = client.post(f"/api/pictures/{id}/undo", json={"by": "Anna"}).json()
    assert (back["removed"], back["objects"], back["can_redo"]) == ([made["objects"][0]["number"]], [], True)
    assert client.post(f"/api/pictures/{id}/redo", json={}).json()["objects"] == made["objects"]
    client.post(f"/api/pictures/{id}/undo", json={})
    client.post(f"/api/pictures/{id}/undo", json={})
    refused = client.post(f"/api/pictures/{id}/undo", json={})
    assert (refused.status_code, refused.json()["detail"]) == (409, "there is nothing to undo")
    assert client.get(f"/api/pictures/{id}").json()["count"] == one["count"]


def test_a_box_is_outlined_by_the_predictor(client: Any, predictor: Predictor):
    (one,) = added(client)
    answer = edit(client, one["id"], what="add-box", box=[36, 30, 60, 54], label=1).json()
    expected = predictor.masks_for(PICTURE, [[36, 30, 60, 54]], [1])
    assert answer["objects"][0]["area"] == expected.areas()[0]
    assert answer["objects"][0]["label"] == 1
    # Drawn from the lower right, and without a class.
    again = edit(client, one["id"], what="add-box", box=[60, 54, 36, 30]).json()["objects"][0]
    assert again["label"] == int(predictor.masks_for(PICTURE, [[36, 30, 60, 54]]).labels[0])


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"what": "remove", "numbers": [12345]}, "there is no object 12345"),
        ({"what": "remove", "numbers": []}, "numbers"),
        ({"what": "explode"}, "what"),
        ({"what": "add-box", "box": [500, 500, 600, 600]}, "outside the picture"),
        ({"what": "add-box", "box": [1, 1, 1, 1]}, "smaller than a pixel"),
        ({"what": "add-polygon", "points": [[0, 0], [1e300, 0], [0, 9]], "label": 0}, "points"),
        ({"what": "add-polygon", "points": [[0, 0], [9, 0], [0, 9]], "label": 7}, "label: expected 0 to 1"),
        ({"what": "brush", "points": [[1, 1]], "radius": 1e9}, "radius"),
        ({"what": "remove", "numbers": [1], "by": "x" * 101}, "by"),
        ({"what": "remove", "numbers": [1], "path": "/etc"}, "path"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_sentence(client: Any, asked: dict[str, Any], sentence: str):
    (one,) = added(client)
    answer = edit(client, one["id"], **asked)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_bad_files_are_refused_and_damaged_ones_are_listed(client: Any, project: Project):
    for data, status in ((b"", 415), (b"%PDF-1.7", 415), (png()[:40], 415)):
        assert client.post("/api/pictures", files={"image": ("a.png", data)}).status_code == status
    assert list((project.folder / "images").iterdir()) == []
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (damaged,) = added(client, png(noise)[:4000], "damaged.png")
    assert damaged["state"] == "failed"
    assert "damaged.png" in damaged["failure"]
    assert str(project.folder) not in damaged["failure"]
    (good,) = added(client)
    assert good["state"] == "done"
    assert client.post(f"/api/pictures/{damaged['id']}/checked", json={"checked": True}).status_code == 409
    assert client.get(f"/api/pictures/{damaged['id']}/image").status_code == 404


def test_too_many_pixels_are_refused_before_they_are_kept(connect: Connect, project: Project):
    client = connect(project=project, limits=Limits(max_pixels=1000))
    assert client.post("/api/pictures", files={"image": ("a.png", png())}).status_code == 413
    assert list((project.folder / "images").iterdir()) == []


def test_every_page_of_a_stack_is_a_picture(client: Any):
    file = io.BytesIO()
    frames = [Image.fromarray(image) for image in (PICTURE, 255 - PICTURE)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    pages = added(client, file.getvalue(), "film.gif")
    assert [(one["name"], one["page"], one["state"]) for one in pages] == [
        ("film.gif", 0, "done"),
        ("film.gif", 1, "done"),
    ]


def test_checked_and_next(client: Any):
    first, second = added(client)[0], added(client, png(255 - PICTURE), "other.png")[0]
    unsure = max(first, second, key=lambda one: one["spread"])
    assert client.get("/api/next").json() == {"id": unsure["id"]}
    assert client.get("/api/next", params={"after": unsure["id"]}).json()["id"] != unsure["id"]
    for one in (first, second):
        assert client.post(f"/api/pictures/{one['id']}/checked", json={"checked": True}).json()["checked"]
    assert client.get("/api/next").json() == {"id": None}


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"imagej"}))
def test_downloads_in_every_format(client: Any, project: Project, name: str):
    added(client, name="../<b>.png")
    answer = client.get(f"/api/export/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="maskrcnn-{name}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist()
        assert not any(name.startswith("/") or ".." in name for name in archive.namelist())


def test_training_needs_checked_pictures_and_is_followed(client: Any, project: Project):
    ids = [added(client, png(np.roll(PICTURE, i, axis=0)), f"{i}.png")[0]["id"] for i in range(2)]
    assert client.get("/api/training").json() == {"state": "none", "lines": []}
    client.post(f"/api/pictures/{ids[0]}/checked", json={"checked": True})
    refused = client.post("/api/training")
    assert (refused.status_code, refused.json()["detail"][-6:]) == (409, "; got 1"[-6:])
    client.post(f"/api/pictures/{ids[1]}/checked", json={"checked": True})
    for name in ("run", "run_2"):  # a run does not take the folder of another
        assert client.post("/api/training").status_code == 200
        for _ in range(3000):
            state = client.get("/api/training").json()
            if state["state"] != "running":
                break
            time.sleep(0.01)  # until it has ended
        assert state == {"state": "done", "lines": ["trained", "before 0.5, after 0.6"]}
        assert (project.folder / name).is_dir()
    assert '"0.png"' in (project.folder / "checked.json").read_text()


def test_the_data_set_is_up_to_date(client: Any):
    (one,) = added(client)
    edit(client, one["id"], what="add-polygon", points=[[1, 1], [9, 1], [9, 9]], label=0, by="Anna")
    answer = client.get("/api/dataset")
    assert answer.headers["content-disposition"] == 'attachment; filename="annotations.json"'
    assert answer.json()["annotations"][-1]["changes"][0]["by"] == "Anna"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/page//etc/passwd",
        "/api/pictures/..%2f..%2fproject.json/image",
        "/api/pictures/../project.json",
        "/api/export/..%2f..",
        "/api/export/coco%2f..%2f..",
    ],
)
def test_no_path_of_the_machine_is_read(client: Any, path: str):
    added(client)
    answer = client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"detail"}


def test_the_page_comes_whole(client: Any):
    index = client.get("/")
    assert index.headers["content-type"].startswith("text/html")
    assert "http://" not in index.text
    assert "https://" not in index.text


def test_no_path_of_the_machine_is_told(client: Any, project: Project):
    (one,) = added(client)
    for path in ("/api/project", f"/api/pictures/{one['id']}", "/health", "/openapi.json"):
        answer = client.get(path).json()
        answer.pop("train", None)  # the command has the folder as it was named on the command line
        assert str(project.folder.parent) not in json.dumps(answer)


def test_uploads_never_touch_the_folder_of_temporary_files(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    noise = png(np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8))
    assert len(noise) > 2 << 20  # from 1 MiB on Starlette would use a file
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert client.post("/api/pictures", files={"image": ("noise.png", noise)}).status_code == 200
    assert not (tmp_path / "nowhere").exists()


def test_two_at_once_do_not_lose_anything(client: Any, project: Project):
    from concurrent.futures import ThreadPoolExecutor

    (one,) = added(client)
    corner = [[1, 1], [9, 1], [9, 9]]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: edit(client, one["id"], what="add-polygon", points=corner, label=0), range(16))
        )
    assert all(answer.status_code == 200 for answer in answers)
    numbers = {answer.json()["objects"][0]["number"] for answer in answers}
    assert len(numbers) == 16
    assert numbers <= set(project.pictures[one["id"]].objects)


def test_what_was_corrected_is_saved_at_the_end(connect: Connect, project: Project):
    testclient = pytest.importorskip("starlette.testclient")
    client = connect(project=project)
    (one,) = added(client)
    edit(client, one["id"], what="add-polygon", points=[[1, 1], [9, 1], [9, 9]], label=0)
    client.__exit__(None, None, None)
    assert isinstance(client, testclient.TestClient)
    assert '"add-polygon"' in (project.folder / "annotations.json").read_text()
