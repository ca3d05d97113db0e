"""One callable: a path, an array or a list of them in, maps out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.semantic.torchvision_networks import VOC_CLASSES, build_torchvision

NAME = "lraspp_mobilenet_v3_large"
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint() -> SemanticCheckpoint:
    torch.manual_seed(0)
    return SemanticCheckpoint(NAME, VOC_CLASSES, dict(build_torchvision(NAME, 21).state_dict()), "made here")


def test_whatever_an_image_is_the_map_is_one(checkpoint: SemanticCheckpoint, tmp_path: Path):
    predictor = SemanticPredictor(checkpoint, device="cpu", resize=64, with_probs=True)
    found = predictor(IMAGE)
    assert found.image_size == (40, 60)
    assert found.probs is not None
    assert found.probs.shape == (21, 64, 96)
    assert found.probs.sum(axis=0) == pytest.approx(1, abs=1e-5)
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    for again in predictor([tmp_path / "a.png", Image.fromarray(IMAGE)]):
        assert np.array_equal(again.class_idx, found.class_idx)
    assert repr(predictor).startswith("SemanticPredictor(made here; cpu, ")


def test_the_size_the_network_sees(checkpoint: SemanticCheckpoint):
    found = SemanticPredictor(checkpoint, device="cpu", resize=2.0, with_probs=True)(IMAGE)
    assert found.probs is not None
    assert found.probs.shape == (21, 80, 120)
    assert SemanticPredictor(checkpoint, device="cpu").network.preprocess.shortest_edge == 520
    with pytest.raises(ValueError, match="resize: expected px of the shorter side or a factor above 0, got 0"):
        SemanticPredictor(checkpoint, resize=0)


def test_half_precision_gives_nearly_the_same(checkpoint: SemanticCheckpoint):
    half = SemanticPredictor(checkpoint, device="cpu", precision="bf16", resize=64)
    full = SemanticPredictor(checkpoint, device="cpu", resize=64)
    assert (half(IMAGE).class_idx == full(IMAGE).class_idx).mean() > 0.5  # random weights are sure of nothing


def test_the_other_kind_of_weights():
    with pytest.raises(ValueError, match="nuclei: expected a semantic network, got weights that find objects"):
        maskrcnn.SemanticPredictor("nuclei")
    with pytest.raises(ValueError, match="a semantic network, which gives a class for every pixel"):
        maskrcnn.Predictor("fcn_resnet50")
