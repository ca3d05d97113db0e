"""report.html as a browser shows it: nothing is loaded, nothing fails, and what can be pressed does what it says.

Needs the extra `browser` and a Chromium of the system.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report import job_page

pytestmark = pytest.mark.extra
NAMES = ("a.png", "b.png", "<img src=x onerror=document.title='caught'>.png", "d 'x' &.png")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pictures with 3, 0, 11 and 1 squares and a file that is no picture."""
    folder = tmp_path_factory.mktemp("job")
    for name, num in zip(NAMES, (3, 0, 11, 1), strict=True):
        image = np.full((120, 200, 3), 20, np.uint8)
        for i in range(num):
            y, x = 10 + i // 6 * 30, 10 + i % 6 * 30
            image[y : y + 12 + i % 6, x : x + 20] = 200
        Image.fromarray(image).save(folder / name)
    (folder / "e.png").write_text("none")
    files = sorted(folder.iterdir())
    infer_files(MethodPredictor("otsu"), files, folder / "out", say=lambda _: None, on_failure=lambda _: None)
    return folder / "out" / "report.html"


@pytest.fixture(params=[("light", 1280), ("dark", 390)], ids=["light-1280", "dark-390"])
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page in a window; nothing may be said on the console, nothing requested but the file itself."""
    scheme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said, requested = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert said == []
    assert [url for url in requested if not url.startswith("data:")] == [report.as_uri()]
    assert page.title() == f"{report.parents[1].name}: what was found"
    context.close()


def column(page: Any, section: str, number: int) -> list[str]:
    return page.locator(f"#{section} tbody tr td:nth-child({number})").all_inner_texts()


def test_everything_is_there_and_fits(page: Any) -> None:
    assert page.locator("h2").all_inner_texts() == [
        *("Totals", "Counts", "Limits and failures", "Gallery", "Area and score", "Least sure", "Measurements"),
        "Settings",
    ]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".totals div").all_inner_texts() == ["5\nimages", "15\nobjects", "1\ncould not be done"]
    assert page.locator(".gallery .card").count() == 5
    assert page.locator("#limits-and-failures summary").inner_text().startswith("unreadable: not an image")
    assert page.locator(".plots rect").count() == 2 * job_page.NUM_BINS
    scores = [float(text[:4]) for text in page.locator(".unsure .card").all_inner_texts()]
    assert len(scores) == 7  # 3, 0, 3 and 1
    assert scores == sorted(scores)
    assert len(column(page, "measurements", 1)) == 15
    # Every small picture was decoded.
    sizes = page.evaluate(
        """Promise.all([...document.querySelectorAll(".card image")].map(async image => {
            const loaded = new Image(); loaded.src = image.href.baseVal; await loaded.decode(); return loaded.width;
        }))"""
    )
    assert len(sizes) == 11
    assert min(sizes) > 10


def test_counts_are_sorted_by_their_headings(page: Any) -> None:
    head = page.locator("#counts th")
    head.nth(1).locator("button").click()
    assert column(page, "counts", 2) == ["11", "3", "1", "0", ""]  # what is not known comes last
    assert head.nth(1).get_attribute("aria-sort") == "descending"
    head.nth(1).locator("button").click()
    assert column(page, "counts", 2) == ["0", "1", "3", "11", ""]
    head.nth(0).locator("button").click()
    assert sorted(column(page, "counts", 1)) == sorted([*NAMES, "e.png"])
    assert head.nth(1).get_attribute("aria-sort") is None


def test_outlines_are_switched_off_and_on(page: Any) -> None:
    outlines = page.locator(".gallery svg path")
    assert outlines.count() == 3  # one for all objects of a class
    assert outlines.first.is_visible()
    page.get_by_label("outlines").first.uncheck()
    assert not outlines.first.is_visible()
    page.get_by_label("outlines").first.check()
    assert outlines.first.is_visible()


def test_a_picture_opens_and_is_zoomed(page: Any) -> None:
    page.locator(".gallery .card", has_text="a.png").click()
    svg = page.locator("dialog svg")
    assert svg.locator("path").count() == 3
    assert svg.locator("path title").first.text_content().startswith("1: object")
    before = svg.bounding_box()["width"]
    page.get_by_label("larger").click()
    assert svg.bounding_box()["width"] == pytest.approx(1.5 * before, rel=0.01)
    page.keyboard.press("-")
    assert svg.bounding_box()["width"] == pytest.approx(before, rel=0.01)
    page.locator("dialog .stage").hover()
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"document.querySelector('dialog svg').getBoundingClientRect().width > {before} * 1.2")
    page.get_by_role("button", name="show or hide outlines").click()
    assert not svg.locator("path").first.is_visible()
    page.get_by_role("button", name="show or hide outlines").click()
    drawing = page.get_by_role("link", name="drawing in full size")
    assert drawing.get_attribute("href") == "a_instances.png"
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog .bar").inner_text().count("b.png: 0 objects, ok") == 1
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_a_long_table_grows_as_it_is_scrolled(page: Any) -> None:
    page.evaluate(
        """() => {
            const rows = Array.from({ length: 50000 }, (_, i) => ["a", i]);
            section("Long", table(["file", "number"], rows));
        }"""
    )
    rows = page.locator("#long tbody tr")
    assert rows.count() == 200
    page.evaluate("document.querySelector('#long .scroll').scrollTop = 1e6")
    page.wait_for_function("document.querySelectorAll('#long tbody tr').length == 400")
    page.locator("#long th button").nth(1).click()
    assert rows.first.inner_text().split() == ["a", "49999"]
    assert rows.count() == 200
