"""What all tests share: one thread, the same random numbers every time, and CUDA where there is one."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.coco_files import TRAIN_SCENES, VAL_SCENES, write_coco

torch.set_num_threads(1)


class AsCuda(torch.Tensor):
    """A tensor of the CPU that says that it is on a GPU: takes the way of one where torchvision can do it on both."""

    is_cuda, is_cpu = True, False  # pyright: ignore[reportAssignmentType]


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, none is here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An address in an id differs between processes, so that pytest-xdist (`-n 4`) would refuse to start."""
    addressed = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{6,}", item.nodeid)]
    if addressed:
        raise pytest.UsageError(f"{addressed[0]}: an id with an address is another in every process; give `ids`")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's browser, where the extra `browser` and a Chromium of the system are installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium, none is installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Folder with train.json, val.json and images/."""
    write_coco(tmp_path / "data", "train", TRAIN_SCENES)
    write_coco(tmp_path / "data", "val", VAL_SCENES)
    return tmp_path / "data"
