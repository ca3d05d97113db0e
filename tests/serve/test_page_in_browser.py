"""The page in a browser: what a person does with a picture, from dropping it to the download.

Needs the extras `web` and `browser`, and a Chromium of the system.
"""

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.model.build import build_model
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.export.formats import FORMATS
from maskrcnn.serve.project import Project
from tests.coco_files import SMALL
from tests.serve.conftest import PICTURE, png, running
from tests.tiny import tiny_settings

pytestmark = pytest.mark.extra
SCRIPT = "<script>document.title='caught'</script>"
NAME = "<img src=x onerror=alert(1)>.png"


@dataclass(frozen=True)
class Served:
    """A server that is running."""

    address: str
    folder: Path
    predictor: Predictor

    def project(self) -> Project:
        """What a restart would find."""
        names, ids = self.predictor.class_names, self.predictor.category_ids
        return Project(self.folder, names, ids, 0.2, "test")


def told(run: Path) -> list[list[str]]:
    """In the place of a training run."""
    return [[sys.executable, "-m", "maskrcnn", "--version"]]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Random weights, of which a class has a name that would be run if it were taken for HTML."""
    settings = tiny_settings("maskrcnn", **SMALL).model_copy(update={"class_names": ("square", SCRIPT)})
    import torch

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, build_model(settings).state_dict(), settings, {"note": "random weights"})
    return Predictor(path, device="cpu")


@pytest.fixture
def served(tmp_path: Path, predictor: Predictor) -> Iterator[Served]:
    pytest.importorskip("fastapi")
    from maskrcnn.serve.app import build_app

    folder = tmp_path / "data"
    project = Project(folder, predictor.class_names, predictor.category_ids, 0.2, "tiny weights")
    app = build_app(predictor, project=project, train_commands=told)
    with running(app) as port:
        yield Served(f"http://127.0.0.1:{port}", folder, predictor)


@dataclass(frozen=True)
class Look:
    """How a person sees the page."""

    scheme: str = "light"
    width: int = 1280


@pytest.fixture
def look() -> Look:
    return Look()


@pytest.fixture
def page(browser: Any, served: Served, look: Look) -> Iterator[Any]:
    """The page; nothing may fail on the console, and nothing may be asked of anybody but the server."""
    context = browser.new_context(
        viewport={"width": look.width, "height": 900}, color_scheme=look.scheme, accept_downloads=True
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(15_000)
    page.goto(served.address)
    yield page
    # What the server refuses is on the console too, whatever the page does about it.
    assert [text for text in said if "status of 4" not in text] == []
    assert [url for url in asked if not url.startswith((f"{served.address}/", f"blob:{served.address}"))] == []
    assert page.title() == "maskrcnn: count and correct"
    context.close()


def drop(page: Any, data: bytes = png(), name: str = NAME) -> None:
    """As from the desktop, onto the page; waits until the picture is there."""
    script = """([data, name]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(data)], name, { type: "image/png" }));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, [list(data), name])
    page.locator("#pictures button:enabled").first.wait_for()
    page.locator("#empty").wait_for(state="hidden")


def total(page: Any) -> int:
    return int(page.locator("#total").inner_text())


def expect_total(page: Any, number: int) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#total")).to_have_text(str(number))


def place(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a place of the picture is."""
    box = page.locator("#canvas").bounding_box()
    height, width = PICTURE.shape[:2]
    scale = min((box["width"] - 8) / width, (box["height"] - 8) / height)
    left, top = (box["width"] - width * scale) / 2, (box["height"] - height * scale) / 2
    return box["x"] + left + x * scale, box["y"] + top + y * scale


def drag(page: Any, *points: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=4)
    page.mouse.up()


def raw(served: Served) -> Any:
    """The state of the one picture, as a restart would find it."""
    (picture,) = served.project().pictures.values()
    return picture


def saved(page: Any) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_contain_text("saved")


def clear(page: Any) -> None:
    """Take away all objects that are shown, so that a test knows those that it makes."""
    for button in page.locator("#objects tbody tr:not([hidden]) button").all():
        button.click(modifiers=["Shift"])
    page.locator("#remove").click()
    expect_total(page, 0)


def outline(page: Any, *points: tuple[float, float]) -> None:
    page.keyboard.press("p")
    for point in points:
        page.mouse.click(*place(page, *point))
    page.keyboard.press("Enter")


SQUARE = ((4, 4), (24, 4), (24, 24), (4, 24))


def test_drop_count_slide(page: Any, served: Served):
    drop(page)
    found = served.predictor(PICTURE)
    counts = {name: int((found.labels == i)[found.areas() > 0].sum()) for i, name in enumerate(found.class_names)}
    expect_total(page, sum(counts.values()))
    rows = page.locator("#counts tbody tr")
    told = {row.locator("th").inner_text(): int(row.locator("td").inner_text()) for row in rows.all()}
    assert told == counts
    assert SCRIPT in told  # as text
    assert NAME.replace("/", "_").replace("<", "_").replace(">", "_") in page.locator("#pictures").inner_text()
    scores = sorted(found.scores[found.areas() > 0].tolist())
    middle = scores[len(scores) // 2]
    slider = page.locator("#score")
    slider.fill(f"{middle:.2f}")  # as the pointer does
    above = sum(score > float(slider.input_value()) for score in scores)
    expect_total(page, above)
    assert page.locator("#objects tbody tr:not([hidden])").count() == above
    assert 0 < above < len(scores)
    page.reload()
    expect_total(page, above)


def test_remove_undo_redo_and_reload(page: Any, served: Served):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    number = total(page)
    page.locator("#objects tbody tr:not([hidden]) button").first.click()
    page.keyboard.press("Delete")
    expect_total(page, number - 1)
    page.keyboard.press("Control+z")
    expect_total(page, number)
    page.keyboard.press("Control+Shift+Z")
    expect_total(page, number - 1)
    page.reload()
    expect_total(page, number - 1)
    assert [edit.change.what for edit in raw(served).done] == ["remove"]
    page.locator("#undo").click()
    expect_total(page, number)


def test_draw_a_box(page: Any, served: Served):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    clear(page)
    page.fill("#user", "Anna")
    page.keyboard.press("Tab")
    page.locator("#canvas").focus()
    page.keyboard.press("b")
    drag(page, (36, 30), (60, 54))
    expect_total(page, 1)
    (one,) = (one for one in raw(served).objects.values() if one.score is None)
    assert (one.changes[0].what, one.changes[0].by) == ("add-box", "Anna")
    expected = served.predictor.masks_for(PICTURE, [[36, 30, 60, 54]])
    assert abs(one.shown()["area"] - expected.areas()[0]) <= 0.1 * expected.areas()[0]  # the pointer hits near corners


def test_outline_brush_erase_cut_merge_relabel(page: Any, served: Served):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    clear(page)
    page.select_option("#label", label="square")
    page.locator("#canvas").focus()
    outline(page, *SQUARE)
    expect_total(page, 1)

    def area() -> list[int]:
        return sorted(one.shown()["area"] for one in raw(served).counted(0.2))

    assert area()[0] == pytest.approx(400, abs=45)
    before = area()[0]
    page.keyboard.press("r")
    drag(page, (20, 14), (40, 14))  # to the chosen object
    saved(page)
    _wait(lambda: area()[0] > before)
    grown = area()[0]
    page.keyboard.press("e")
    drag(page, (30, 14), (40, 14))
    _wait(lambda: area()[0] < grown)
    page.keyboard.press("x")
    drag(page, (12, 0), (12, 30))
    expect_total(page, 2)
    parts = area()
    page.keyboard.press("v")
    page.mouse.click(*place(page, 8, 18))
    page.keyboard.down("Shift")
    page.mouse.click(*place(page, 18, 18))
    page.keyboard.up("Shift")
    page.keyboard.press("m")
    expect_total(page, 1)
    assert area() == [sum(parts)]
    page.keyboard.press("2")
    _wait(lambda: [one.label for one in raw(served).counted(0.2)] == [1])
    steps = [edit.change.what for edit in raw(served).done]
    assert steps == ["remove", "add-polygon", "brush", "brush", "split", "merge", "relabel"]
    for _ in steps:
        page.keyboard.press("Control+z")
    _wait(lambda: not raw(served).done)


def _wait(is_so: Any) -> None:
    import time

    for _ in range(300):
        if is_so():
            return
        time.sleep(0.05)  # until the server has written it
    raise AssertionError("it did not come about")


def test_keys_go_from_object_to_object_and_say_which(page: Any):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    page.locator("#canvas").focus()
    heard = []
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        heard.append(page.locator("#status").inner_text())
    assert all(text.startswith("Object ") for text in heard)
    assert heard[0] != heard[1]
    page.keyboard.press("ArrowLeft")
    assert page.locator("#status").inner_text() == heard[0]
    page.keyboard.press("Escape")
    assert page.locator("#objects tr.chosen").count() == 0


def test_hover_says_what_an_object_is(page: Any):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    clear(page)
    page.select_option("#label", label=SCRIPT)
    page.locator("#canvas").focus()
    outline(page, *SQUARE)
    expect_total(page, 1)
    page.mouse.move(*place(page, 14, 14))
    tip = page.locator("#tip")
    tip.wait_for()
    assert f": {SCRIPT}," in tip.inner_text()
    assert " px, add-polygon by " in tip.inner_text()


def test_what_cannot_be_done_is_said(page: Any):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    clear(page)
    page.keyboard.press("x")
    drag(page, (1, 1), (20, 20))
    from playwright.sync_api import expect

    expect(page.locator("#alert")).to_have_text("choose the one object to cut first")


def test_a_new_object_needs_a_class(page: Any, served: Served):
    from playwright.sync_api import expect

    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    page.locator("#canvas").focus()
    outline(page, *SQUARE)
    expect(page.locator("#alert")).to_contain_text("choose the class")
    assert raw(served).done == []


def test_bad_files_beside_good_ones(page: Any):
    from playwright.sync_api import expect

    drop(page)
    page.set_input_files("#files", [{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}])
    expect(page.locator("#sending")).to_contain_text("not taken: notes.txt: the file: not an image")
    assert page.locator("#pictures li").count() == 1


def test_checked_and_next(page: Any, served: Served):
    from playwright.sync_api import expect

    page.set_input_files(
        "#files",
        [
            {"name": f"{i}.png", "mimeType": "image/png", "buffer": png(np.roll(PICTURE, 5 * i, axis=1))}
            for i in range(3)
        ],
    )
    expect(page.locator("#pictures button:enabled")).to_have_count(3)
    page.locator("#pictures [aria-current=true]").wait_for()
    for i in range(3):
        page.locator("#canvas").focus()
        page.keyboard.press("c")
        expect(page.locator("#training")).to_contain_text(f"{i + 1} of 3 pictures are checked")
        if i < 2:
            expect(page.locator("#pictures [aria-current=true]")).not_to_contain_text("checked")
    expect(page.locator("#status")).to_have_text("every picture is checked")
    assert page.locator("#command").inner_text() == "maskrcnn --version"
    assert not page.locator("#stop").is_visible()
    page.locator("#train").click()
    expect(page.locator("#log")).to_contain_text("training: done")
    assert page.locator("#log").inner_text().startswith("maskrcnn 0.")
    _wait(lambda: len(json.loads((served.folder / "checked.json").read_text())["images"]) == 3)


def test_downloads(page: Any, tmp_path: Path):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    with page.expect_download() as waiting:
        page.locator("#download").click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "annotations.json"
    assert len(json.loads(path.read_text())["annotations"]) == total(page)
    offered = page.locator("#format option").evaluate_all("options => options.map(one => one.value)")
    assert offered == ["", *FORMATS]
    page.select_option("#format", "labelme")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(tmp_path / "labelme.zip")
    with zipfile.ZipFile(tmp_path / "labelme.zip") as archive:
        (name,) = archive.namelist()
        assert len(json.loads(archive.read(name))["shapes"]) > 0


@pytest.mark.parametrize("look", [Look(), Look("dark"), Look("light", 390), Look("dark", 390)], ids=str)
def test_everything_has_a_name_and_is_seen(page: Any, look: Look):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert page.evaluate(FAINT) == []
    if folder := os.environ.get("MASKRCNN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{look.scheme}-{look.width}.png", full_page=True)


def test_every_control_is_reached_with_the_keyboard(page: Any):
    drop(page)
    page.locator("#objects tbody tr").first.wait_for()
    wanted = set(
        page.evaluate(
            "[...document.querySelectorAll('button:enabled, select, input, a, canvas')]"
            ".filter(e => !e.hidden).map(e => e.id).filter(Boolean)"
        )
    )
    reached: set[str] = set()
    page.locator("body").press("Tab")
    for _ in range(120):
        reached.add(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    assert wanted <= reached


NAMELESS = """() => [...document.querySelectorAll("button, select, input, a, canvas, progress, [role], table")]
    .filter((one) => !one.hidden && one.tagName !== "TABLE")
    .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()
        || ["status", "alert", "tooltip"].includes(one.getAttribute("role"))))
    .map((one) => one.outerHTML)"""
"""Controls that a screen reader would have no name for."""
FAINT = """() => {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (color, below) => {
        probe.fillStyle = `rgb(${below})`; probe.fillRect(0, 0, 1, 1);
        probe.fillStyle = color; probe.fillRect(0, 0, 1, 1);
        return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (color) => color.map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (one) => {
        const layers = [];
        for (let e = one; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
        return layers.reduce((below, color) => rgb(color, below), [255, 255, 255]);
    };
    return [...document.querySelectorAll("h1, h2, p, th, td, button, label, a, summary, small, output, pre, option")]
        .filter((one) => one.textContent.trim() && one.offsetParent && !one.closest(":disabled, #frame"))
        .flatMap((one) => {
            const below = behind(one);
            const text = rgb(getComputedStyle(one).color, below);
            const opacity = Number(getComputedStyle(one).opacity);
            const seen = text.map((v, i) => v * opacity + below[i] * (1 - opacity));
            const [a, b] = [light(seen), light(below)].sort((x, y) => y - x);
            const ratio = (a + 0.05) / (b + 0.05);
            return ratio < 4.5 ? [`${one.tagName} ${one.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`] : [];
        });
}"""
"""Text whose contrast is below 4.5 to 1 (WCAG 2.1, 1.4.3)."""
