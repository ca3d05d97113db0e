"""The conventions in which matterport stands alone, each by itself, against its definition and scikit-image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn.config import model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.model.rpn import Dense
from maskrcnn.structures.instances import Instances
from tests.checkpoints.families.test_matterport import SLIM, SMALL, draw_shapes
from tests.oracles import matterport_post as post
from tests.oracles.matterport_model import STRIDES, Config


def test_proposals_of_equal_probability_keep_the_order_of_the_anchors() -> None:
    # A sure RPN gives many a probability of exactly 1; TensorFlow then takes the first of them.
    model = build_model(model_settings("matterport", **overlay(SLIM, SMALL)))
    grids = [(256 // stride, 256 // stride) for stride in STRIDES]
    anchors = model.rpn.anchors((256, 256), grids, torch.device("cpu"))
    torch.manual_seed(5)
    logits = [torch.randn(1, len(level)) * 15 for level in anchors]
    deltas = [torch.randn(1, len(level), 4) for level in anchors]
    images = model.normalise([torch.zeros(3, 256, 256)], [(256, 256)], torch.device("cpu"))
    rules = replace(model.rpn.rules, pre_nms_top_n=3000, post_nms_top_n=400)
    found = model.rpn.propose(Dense([], logits, deltas), anchors, images, rules)[0]
    scores = torch.cat(logits, dim=1)[0].sigmoid()
    assert (scores == 1).sum() > 1000
    std = np.array(Config().rpn_bbox_std_dev, np.float32)
    expected = post.propose(
        scores.numpy(),
        torch.cat(deltas, dim=1)[0, :, [1, 0, 3, 2]].numpy() * std,
        post.normalise(torch.cat(anchors)[:, [1, 0, 3, 2]].numpy(), (256, 256)),
        3000,
        0.7,
        400,
    )
    np.testing.assert_allclose(found.boxes[:, [1, 0, 3, 2]].numpy() / 255, expected, atol=1e-6)


def test_anchors_are_matterports() -> None:
    preset = build_model(model_settings("matterport", **SLIM)).rpn.anchors
    grids = [(256 // stride, 128 // stride) for stride in STRIDES]
    expected = post.pyramid_anchors(Config().rpn_anchor_scales, Config().rpn_anchor_ratios, grids, STRIDES)
    ours = torch.cat(preset((256, 128), grids, torch.device("cpu")))[:, [1, 0, 3, 2]]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-4)


def test_the_level_of_a_region_is_matterports() -> None:
    # 79.2, 158.4 and 316.8 px, measured over 1023 and not over 1024 px.
    pooler = build_model(model_settings("matterport", **SLIM)).box_head.pooler
    limits = np.array([79.2, 158.39, 316.78]) * 1023 / 1024
    sides = np.concatenate([limits - 0.1, limits + 0.1, [0, 1, 1023], np.random.default_rng(0).uniform(1, 1023, 300)])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides[::-1]], axis=1) / 1023
    boxes = np.concatenate([boxes, np.stack([0 * sides, 0 * sides, sides, sides], axis=1) / 1023]).astype(np.float32)
    ours = pooler.level_of(torch.from_numpy(boxes)[:, [1, 0, 3, 2]] * 1023, (1024, 1024))
    expected = post.level_of(boxes, (1024, 1024))
    assert expected[len(sides) :][:9].tolist() == [2, 3, 4, 3, 4, 5, 2, 2, 5]
    assert (ours + 2).tolist() == expected.tolist()


def test_the_size_in_the_square_is_matterports() -> None:
    resize = build_model(model_settings("matterport", **SLIM)).resize
    sizes = [(480, 640), (426, 640), (800, 1024), (1024, 1024), (3000, 200), (7, 1025)]
    sizes += [(320, 401), (320, 403)]  # exact halves: 1002.5 and 1007.5
    sizes += np.random.default_rng(0).integers(8, 3000, (3000, 2)).tolist()
    assert all(resize.output_size((h, w)) == post.scaled_size((h, w), 800, 1024) for h, w in sizes)


@pytest.mark.parametrize("size", [(60, 80), (71, 97), (600, 411)])
def test_pictures_are_resized_as_scikit_image_does(size: tuple[int, int]) -> None:
    transform = pytest.importorskip("skimage.transform")
    resize = build_model(model_settings("matterport", **overlay(SLIM, SMALL))).resize
    picture = draw_shapes(size, seed=3)
    picture[: size[0] // 2] = picture[0, 0]  # in a flat region the last bit of a sum decides what is cut off
    new = resize.output_size(size)
    expected = transform.resize(picture, new, order=1, mode="constant", preserve_range=True, anti_aliasing=False)
    for ours in (resize(picture).permute(1, 2, 0).numpy(), post.resize_order1(picture.astype(float), new)):
        off = np.abs(ours.astype(np.uint8).astype(int) - expected.astype(np.uint8))
        print(f"matterport image {size} to {new}: values that differ from scikit-image's: {(off > 0).mean():.1e}")
        assert off.max() <= 1
        assert (off > 0).mean() <= 1e-4


@pytest.mark.parametrize("size", [(1, 1), (9, 31), (28, 28), (150, 61)])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.4), (0.5, 1), (0.3, 0.9)])
def test_masks_are_resized_as_scikit_image_does(size: tuple[int, int], low: float, high: float) -> None:
    # A mask that is nowhere below one half fills its box, though 0 lies around it.
    transform = pytest.importorskip("skimage.transform")
    probs = low + (high - low) * torch.rand(1, 28, 28)
    y, x, (height, width), image_size = 3, 5, size, (160, 80)
    expected = np.zeros(image_size, bool)
    resized = transform.resize(probs[0].numpy(), size, order=1, mode="constant", anti_aliasing=False)
    expected[y : y + height, x : x + width] = resized >= 0.5
    box = torch.tensor([[x, y, x + width, y + height]])
    found = Instances(image_size, box.float(), torch.zeros(1).long(), torch.ones(1), probs, ("x",), "integer")
    assert (found.bitmaps()[0] == expected).all()
    roi = box[0, [1, 0, 3, 2]].numpy()
    assert (post.unmold_mask(probs[0].numpy(), roi, image_size) == expected).all()
    assert expected.any() == (high > 0.5)
