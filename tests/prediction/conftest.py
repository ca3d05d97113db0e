"""A checkpoint for the tests of prediction."""

from pathlib import Path

import pytest

from tests.coco_files import write_checkpoint


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small model with random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")
