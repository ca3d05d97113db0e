"""One callable: a path, an array or a list of them in, maps out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.config.semantic import SemanticPixelSettings, TorchvisionSemanticSettings
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.semantic.torchvision_networks import VOC_CLASSES, build_torchvision

NAME = "lraspp_mobilenet_v3_large"
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint() -> SemanticCheckpoint:
    torch.manual_seed(0)
    settings = SemanticSettings(
        network=TorchvisionSemanticSettings(name=NAME),
        class_names=VOC_CLASSES,
        background="background",
        pixels=SemanticPixelSettings(shortest_edge=520),
    )
    return SemanticCheckpoint(settings, dict(build_torchvision(NAME, 21).state_dict()), "made here")


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


def unet_checkpoint(**pixels: object) -> SemanticCheckpoint:
    settings = validate(SemanticSettings, {"network": {"channels": 4, "levels": 2}, "pixels": pixels}, "test")
    torch.manual_seed(0)
    body = build_semantic(settings).body
    for module in body.modules():  # batch norms that change something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias)
    return SemanticCheckpoint(settings, dict(body.state_dict()), "made here")


def test_tiles_give_what_the_whole_image_gives():
    # Of two levels a pixel sees 22 px around it at most; tiles share 32, and begin at even pixels, as pooling does.
    image = np.random.default_rng(1).integers(0, 255, (64, 224, 3), dtype=np.uint8)
    whole = SemanticPredictor(unet_checkpoint(), device="cpu", tile="off")(image)
    tiled = SemanticPredictor(unet_checkpoint(), device="cpu", tile=128, overlap=32)
    assert tiled.grid_of((64, 224)) is not None
    found = tiled(image)
    assert len(np.unique(whole.class_idx)) == 2
    assert np.array_equal(found.class_idx, whole.class_idx)
    assert found.notes == ("seen in 2 overlapping tiles",)
    assert tiled.identity()[0] != SemanticPredictor(unet_checkpoint(), device="cpu").identity()[0]


def test_large_images_are_tiled_where_the_scale_is_one(checkpoint: SemanticCheckpoint):
    auto = SemanticPredictor(unet_checkpoint(scale=0.5), device="cpu")
    assert auto.grid_of((4096, 4096)) is None
    grid = auto.grid_of((4096, 4098))
    assert grid is not None
    assert (grid.tile_px, grid.overlap_px) == (2048, 512)
    assert SemanticPredictor(checkpoint, device="cpu").grid_of((9000, 9000)) is None
    for options, message in (
        ({"tile": 8}, "tile: expected auto, off or at least 32 px, got 8"),
        ({"tile": 300}, "see every image at 520 px of its shorter side, and so whole"),
        ({"tile": 300, "resize": 1.0, "overlap": 200}, "overlap: expected 0 to 100 px, a third of a tile, got 200"),
    ):
        with pytest.raises(ValueError, match=message):
            SemanticPredictor(checkpoint, device="cpu", **options)
