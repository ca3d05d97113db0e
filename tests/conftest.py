"""What all tests share: one thread, the same random numbers every time, and CUDA where there is one."""

from pathlib import Path

import pytest
import torch

from tests.coco_files import TRAIN_SCENES, VAL_SCENES, write_coco

torch.set_num_threads(1)

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, none is here")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Folder with train.json, val.json and images/."""
    write_coco(tmp_path / "data", "train", TRAIN_SCENES)
    write_coco(tmp_path / "data", "val", VAL_SCENES)
    return tmp_path / "data"
