"""How much of the package one reads to follow one picture, or the making of a model (the design's budgets)."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

import maskrcnn
from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.config import SemanticSettings, model_settings
from maskrcnn.config.semantic import UNetSettings
from maskrcnn.model.build import build_model
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from tests.tiny import tiny_model, tiny_settings

PACKAGE = str(Path(maskrcnn.__file__).parent)


def passed_through(call: Callable[[], object]) -> tuple[set[str], list[str], set[tuple[str, str]]]:
    """The package's files that run during `call`, the longest chain of its functions that were open at once, and which
    file called into which other one."""
    files: set[str] = set()
    edges: set[tuple[str, str]] = set()
    chain: list[str] = []
    longest: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        # Comprehensions are functions of their own before Python 3.12.
        if not code.co_filename.startswith(PACKAGE) or code.co_name.startswith("<"):
            return
        name = code.co_filename.removeprefix(PACKAGE).lstrip("/\\")
        if event == "call":
            files.add(name)
            caller = chain[-1].split(":")[0] if chain else name
            if caller != name:
                edges.add((caller, name))
            chain.append(f"{name}:{code.co_name}")
            if len(chain) > len(longest):
                longest[:] = chain
        elif event == "return" and chain:
            chain.pop()

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return files, longest, edges


def test_predicting_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = tiny_settings()
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_model().state_dict(), settings, {})
    predictor = Predictor(tmp_path / "tiny.safetensors", score=0.0)
    picture = np.zeros((64, 64, 3), np.uint8)
    predictor(picture)  # the first of a process also asks, once, how much memory the machine has
    files, chain, edges = passed_through(lambda: predictor(picture))
    with capsys.disabled():
        print(f"\npredicting: {len(files)} files, {len(edges)} edges, {len(chain)} calls deep: {' > '.join(chain)}")
    assert len(files) <= 18
    assert len(chain) <= 7
    assert len(edges) <= 30


def test_a_class_for_every_pixel_of_one_picture(capsys: pytest.CaptureFixture[str]):
    settings = SemanticSettings(network=UNetSettings(channels=2, levels=3))
    checkpoint = SemanticCheckpoint(settings, dict(build_semantic(settings).body.state_dict()), "made here")
    predictor = SemanticPredictor(checkpoint, device="cpu")
    picture = np.zeros((64, 64, 3), np.uint8)
    predictor(picture)
    files, chain, edges = passed_through(lambda: predictor(picture))
    with capsys.disabled():
        print(f"\nsemantic: {len(files)} files, {len(edges)} edges, {len(chain)} calls deep: {' > '.join(chain)}")
    assert len(files) <= 8
    assert len(chain) <= 6
    assert len(edges) <= 10


def test_building_a_model(capsys: pytest.CaptureFixture[str]):
    settings = model_settings()
    files, chain, _ = passed_through(lambda: build_model(settings))
    with capsys.disabled():
        print(f"\nbuilding: {len(files)} files, {len(chain)} calls deep: {' > '.join(chain)}")
    assert len(files) <= 12
    assert len(chain) <= 6
