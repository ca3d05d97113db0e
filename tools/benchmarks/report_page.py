"""report.html of 1,000 images with 60 objects each: how large is it, and how long until a browser shows it.

Images are drawn here, and their objects found by a threshold, so what is measured is the page and not the network.
"""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.table import markdown
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.optional import needed
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report.written import write_image

NUM = 1000
NUM_DRAWN = 50
"""Of these images, which take turns: to draw them takes longer than all the rest."""
MAX_S = 3.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def report_page(num: int = NUM, out: Path | None = None) -> tuple[list[str], list[str]]:
    """The table of the page's size and times, and problems: it took longer than `MAX_S` to open."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for i in range(num):
            write_image(folder / "in" / f"{i:04}.png", draw_sample(seed=i % NUM_DRAWN)[0])
        started = time.perf_counter()
        page = out or folder / "out"
        files = sorted((folder / "in").iterdir())
        summary = infer_files(MethodPredictor("otsu"), files, page, is_drawn=False, say=lambda line: None)
        seconds = time.perf_counter() - started
        num_objects = sum(sum(counts.values()) for _, counts in summary.counts)
        size_mb = (page / "report.html").stat().st_size / 1e6
        opened = open_page(page / "report.html")
    rows = [[f"{num}", f"{num_objects}", f"{size_mb:.1f}", f"{seconds:.0f}", f"{opened:.2f}"]]
    header = ["images", "objects", "page, MB", "job, s", "opens in, s"]
    problems = [f"report: the page opens in {opened:.1f} s, more than {MAX_S:g}"] * (opened > MAX_S)
    return ["## report: the page about a folder", "", *markdown(header, rows), ""], problems


def open_page(path: Path) -> float:
    """Seconds until a browser has run the page's script and drawn it."""
    playwright = needed("playwright.sync_api", "browser", "the workload report")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FileNotFoundError(f"expected one of {', '.join(BROWSERS)} on this machine, found none")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds = time.perf_counter() - begun
        browser.close()
    return seconds
