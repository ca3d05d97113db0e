"""Weights in matterport's layout, read back: what `model.detect` gives, by its definition, from its own names.

Shown with `pytest -s`: the largest differences.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES
from maskrcnn.checkpoints.families.matterport import conventions, convert, is_family
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.source import Conventions, Source
from maskrcnn.checkpoints.structure import body_name, num_classes_of, structure_of
from maskrcnn.config import model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.structures.instances import Instances
from tests.conditioning import condition
from tests.oracles import matterport_model as oracle
from tests.oracles import matterport_post as post
from tests.oracles.matterport_layout import to_matterport, write_h5
from tests.oracles.matterport_model import STRIDES, Config, Found
from tests.tiny import batch

pytest.importorskip("h5py")

NUM_CLASSES = 5
PICTURES = {  # (H, W) and what happens to it in a square of 256 that wants a short side of 200
    "scaled up, landscape": (150, 190),
    "scaled up, odd": (173, 207),
    "larger than the square, portrait": (500, 333),
    "as it is": (230, 256),
}
SLIM: dict[str, Any] = {
    "backbone": {"depth": 50, "stem_channels": 16},
    "fpn": {"channels": 32},
    "rpn": {"channels": 64},
    "box_head": {"fc_channels": 64},
    "mask_head": {"channels": 32},
}
SMALL: dict[str, Any] = {
    "resize": {"shortest_edge": 200, "longest_edge": 256},
    "pad": {"divisor": 256},
    "rpn": {"pre_nms_top_n": 400, "post_nms_top_n": 200},
    "detection": {"score_threshold": 0.4},
}
CONFIG = Config(
    image_min_dim=200,
    image_max_dim=256,
    pre_nms_limit=400,
    post_nms_rois_inference=200,
    detection_min_confidence=0.4,
)
SCORE = 1e-4  # allowed difference
UNDECIDED = 1e-3  # a pixel this near to one half may fall on either side; the masks of random weights have many
HALFWAY = 5e-3  # px; boxes of such weights differ by up to this from those in float64, here and there


def draw_shapes(size: tuple[int, int], seed: int) -> np.ndarray:
    """RGB uint8 (H, W, 3): coloured ellipses on smooth noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    picture = np.full((height, width, 3), 128.0)
    for grain in (5, 20):
        noise = rng.normal(scale=30, size=(height // grain + 2, width // grain + 2, 3))
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(10):
        x, y, a, b = rng.integers((0, 0, 10, 10), (width, height, width // 5, height // 5)).tolist()
        is_inside = np.zeros(size, np.uint8)
        cv2.ellipse(is_inside, (x, y), (a, b), float(rng.integers(180)), 0, 360, 1, -1)
        picture[is_inside > 0] += rng.integers(-100, 100, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


@cache
def weights() -> dict[str, Tensor]:
    """Slim random weights under matterport's names, which find much in the pictures."""
    torch.manual_seed(3)
    names = [str(i) for i in range(NUM_CLASSES)]
    model = build_model(model_settings("matterport", class_names=names, **overlay(SLIM, SMALL)))
    # Fresh ones are so faint that their outputs would have to be blown up, and rounding with them.
    for layer in [*model.rpn.convs.modules(), *model.mask_head.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in" if isinstance(layer, nn.Conv2d) else "fan_out")
    condition(model, [draw_shapes((200, 240), seed=1)], background_logit=0.0)
    for parameter in model.rpn.deltas.parameters():
        parameter.data *= 10  # they are divided by 10 and 5
    return to_matterport(model.state_dict())


def read(path: Path, **differences: dict[str, Any]) -> tuple[MaskRCNN, Conventions]:
    """As the importer does it."""
    source = read_source(path)
    assert is_family(source.tensors.keys())
    tensors = convert(source.tensors)
    num_classes = num_classes_of(tensors)
    assert num_classes is not None
    told = conventions(source, num_classes, structure_of(tensors))
    structure = structure_of(tensors, "frozen_bn")
    names = told.class_names or [str(i) for i in range(num_classes)]
    settings = overlay(overlay(structure, told.differences), differences)
    model = build_model(model_settings(told.preset, class_names=names, **settings)).eval()
    model.load_state_dict(tensors)
    return model, told


def as_detect(found: Instances) -> dict[str, np.ndarray]:
    """Our result as `model.detect` gives it."""
    boxes = found.boxes.numpy()
    assert (boxes == boxes.round()).all()
    return {
        "rois": boxes[:, [1, 0, 3, 2]].astype(np.int32),
        "class_ids": found.labels.numpy().astype(np.int32) + 1,
        "scores": found.scores.numpy(),
        "masks": found.bitmaps().transpose(1, 2, 0),
    }


@torch.inference_mode()
def compare(
    model: MaskRCNN, their_weights: Mapping[str, Tensor], picture: np.ndarray, config: Config, title: str
) -> Found:
    """From the picture to masks in it, against matterport's definition; gives the latter's result."""
    found = model.detect(batch(model, [picture]))[0]
    mine, theirs = as_detect(found), oracle.detect(their_weights, picture, config)
    assert len(mine["rois"]) == len(theirs.rois)
    # Detections whose scores differ by less than rounding may change places.
    order: list[int] = []
    for roi, class_id in zip(theirs.rois, theirs.class_ids, strict=True):
        apart = np.abs(mine["rois"] - roi).max(axis=1) + 1e6 * (mine["class_ids"] != class_id)
        apart[order] = np.inf
        order.append(int(apart.argmin()))
    assert (np.diff(theirs.scores[np.argsort(order)]) <= 1e-5).all()
    assert mine["class_ids"][order].tolist() == theirs.class_ids.tolist()
    off = mine["rois"][order] - theirs.rois
    masks = mine["masks"][..., order]
    both, either = (masks & theirs.masks).sum(axis=(0, 1)), (masks | theirs.masks).sum(axis=(0, 1))
    seen = {
        "detections in another place": float((np.array(order) != np.arange(len(order))).sum()),
        "edges, px": float(np.abs(off).max()),
        "scores": float(np.abs(mine["scores"][order] - theirs.scores).max()),
        "mask probabilities": float(np.abs(found.mask_probs.numpy()[order] - theirs.small_masks).max()),
        "1 - IoU of a mask": float(1 - (both / np.maximum(either, 1))[either > 0].min()),
        "1 - IoU of all masks": float(1 - both.sum() / either.sum()),
    }
    print(*(f"matterport {title}: {name}: {value:.1e}" for name, value in seen.items()), sep="\n")
    for mask, (y1, x1, y2, x2), is_off in zip(
        theirs.small_masks, theirs.rois, (masks != theirs.masks).transpose(2, 0, 1), strict=True
    ):
        values = post.resize_order1(mask, (y2 - y1, x2 - x1))
        assert (np.abs(values[is_off[y1:y2, x1:x2]] - 0.5) < UNDECIDED).all()
    # An edge halfway between two whole numbers may be rounded to either.
    is_decided = np.abs(theirs.unrounded % 1 - 0.5) > HALFWAY
    assert (off[is_decided] == 0).all()
    assert np.abs(off).max() <= 1
    assert seen["scores"] <= SCORE
    assert seen["1 - IoU of all masks"] <= 1e-3
    assert len(np.unique(theirs.class_ids)) >= 3
    return theirs


FILES: dict[str, dict[str, Any]] = {
    "scaled up, landscape": {"keras": "2.0.8"},
    "scaled up, odd": {"keras": "2.15.0"},
    "larger than the square, portrait": {"keras": "2.0.8", "is_full_model": True},
    "as it is": {"keras": "2.15.0", "is_full_model": True},
}


@pytest.mark.parametrize("title", PICTURES)
def test_detections_are_matterports(title: str, tmp_path: Path) -> None:
    write_h5(tmp_path / "mask_rcnn_shapes_0010.h5", weights(), **FILES[title])
    model, _ = read(tmp_path / "mask_rcnn_shapes_0010.h5", **SMALL)
    theirs = compare(model, weights(), draw_shapes(PICTURES[title], seed=2), CONFIG, title)
    assert len(theirs.rois) >= 20
    assert theirs.proposals.any(axis=1).all()  # none was filled up


def test_empty_regions_take_part_where_proposals_lack(tmp_path: Path) -> None:
    # A region without extent reads one place of the map. Where that looks like an object, all the copies of it are
    # found, since empty boxes overlap nothing; here nothing looks like the background.
    sure = dict(weights())
    sure["mrcnn_class_logits/bias"] = sure["mrcnn_class_logits/bias"] - torch.tensor([20.0] + [0.0] * NUM_CLASSES)
    write_h5(tmp_path / "weights.h5", sure)
    limits = {"score_threshold": 0.0, "max_detections": 300}
    few = {"rpn": {"pre_nms_top_n": 150, "post_nms_top_n": 200}, "detection": limits}
    model, _ = read(tmp_path / "weights.h5", **overlay(SMALL, few))
    config = replace(
        CONFIG,
        pre_nms_limit=150,
        post_nms_rois_inference=200,
        detection_min_confidence=0,
        detection_max_instances=300,
    )
    theirs = compare(model, sure, draw_shapes(PICTURES["scaled up, landscape"], seed=2), config, "empty regions")
    num_empty = (~theirs.proposals.any(axis=1)).sum()
    assert 50 < num_empty < 150
    assert (theirs.rois == [0, 0, 1, 1]).all(axis=1).sum() == num_empty


def test_the_ports_to_tensorflow_2_say_square_and_anchors(tmp_path: Path) -> None:
    # They save their anchors, one set for each image of a batch.
    scales, ratios = (16, 32, 64, 128, 200), (0.4, 1, 3)
    grids = [(256 // stride, 256 // stride) for stride in STRIDES]
    anchors = post.normalise(post.pyramid_anchors(scales, ratios, grids, STRIDES), (256, 256))
    write_h5(tmp_path / "w.h5", {**weights(), "anchors/Variable_2": torch.from_numpy(anchors).expand(2, -1, -1)})
    rest = {"resize": {"shortest_edge": 200}, **{group: SMALL[group] for group in ("rpn", "detection")}}
    model, told = read(tmp_path / "w.h5", **rest)
    assert "a square of 256 px, anchors of 16 to 200 px: from the anchors in the file" in told.facts
    config = replace(CONFIG, rpn_anchor_scales=scales, rpn_anchor_ratios=ratios)
    compare(model, weights(), draw_shapes((173, 207), seed=2), config, "anchors of the file")


@pytest.mark.parametrize(("depth", "num_values", "num_tensors"), [(101, 64_158_584, 690), (50, 45_088_120, 384)])
def test_the_real_architectures_have_our_names_and_shapes(depth: int, num_values: int, num_tensors: int) -> None:
    with torch.device("meta"):
        own = build_model(model_settings("matterport", backbone={"depth": depth}, class_names=CLASS_NAMES)).state_dict()
    layers = to_matterport(own)
    assert sum(tensor.numel() for tensor in layers.values()) == num_values
    assert len(layers) == num_tensors
    tensors = convert(layers)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {n: t.shape for n, t in own.items()}
    told = conventions(Source(Path("mask_rcnn_coco.h5"), layers), 80, structure_of(tensors))
    assert (told.class_names, told.category_ids, told.differences) == (CLASS_NAMES, CATEGORY_IDS, {})
    assert told.facts == ("RGB", "stride in 1x1")
    assert told.assumptions == (
        "a square of 1024 px, anchors of 32 to 512 px",
        "its default mean pixel, score 0.7 and NMS 0.3",
        "the class names of COCO",
    )
    structure = structure_of(tensors, "frozen_bn")
    with torch.device("meta"):
        rebuilt = build_model(model_settings(told.preset, class_names=CLASS_NAMES, **structure)).state_dict()
    assert {n: t.shape for n, t in rebuilt.items()} == {n: t.shape for n, t in own.items()}
    assert body_name(structure["backbone"]) == f"R{depth}-FPN"


def test_one_class_without_a_name(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_model(model_settings("matterport", class_names=["balloon"], **SLIM)).eval()
    write_h5(tmp_path / "mask_rcnn_balloon.h5", to_matterport(model.state_dict()))
    again, told = read(tmp_path / "mask_rcnn_balloon.h5")
    assert told.class_names == ()
    assert len(again.class_names) == 1
    for name, tensor in again.state_dict().items():  # the bias that came and went again leaves rounding
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=1e-6)


def test_on_paper() -> None:
    rows = torch.tensor([0.0, 1.0, 2.0])  # background and two classes; the value of a row says whose it is
    converted = convert(
        {
            "mrcnn_class_logits/bias": rows,
            "mrcnn_class_logits/kernel": rows[None].repeat(5, 1),
            "mrcnn_bbox_fc/bias": torch.arange(12.0),
            "mrcnn_mask/kernel": rows.reshape(1, 1, 1, 3),
            "rpn_class_raw/bias": torch.tensor([1.0, 4, 2, 7, 3, 2]),  # background, object, background, ...
            "rpn_bbox_pred/bias": torch.arange(12.0),
            "mrcnn_mask_conv2/bias": torch.tensor([0.5, 1.0]),
            "mrcnn_mask_bn2/moving_mean": torch.tensor([3.0, 3.0]),
            "mrcnn_mask_bn2/moving_variance": torch.tensor([2.0, 2.0]),
        }
    )
    assert converted["box_head.class_logits.bias"].tolist() == [1, 2, 0]
    assert converted["box_head.class_logits.weight"].tolist() == [[1] * 5, [2] * 5, [0] * 5]
    assert converted["box_head.deltas.bias"].tolist() == [5, 4, 7, 6, 9, 8, 11, 10]
    assert converted["mask_head.logits.weight"].flatten().tolist() == [1, 2]
    assert converted["rpn.objectness.bias"].tolist() == [3, 5, -1]
    assert converted["rpn.deltas.bias"].tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    assert converted["mask_head.convs.1.norm.running_mean"].tolist() == [2.5, 2]
    assert converted["mask_head.convs.1.norm.running_var"].tolist() == [2, 2]
    assert "mask_head.convs.1.conv.bias" not in converted


def test_what_is_not_known_keeps_its_name_and_what_cannot_be_is_said() -> None:
    assert list(convert({"res2a_branch9/kernel": torch.zeros(1), "conv1/gate": torch.zeros(1)})) == [
        "res2a_branch9/kernel",
        "conv1/gate",
    ]
    with pytest.raises(ValueError, match=r"rpn_bbox_pred/bias: a shape of \(7,\), which"):
        convert({"rpn_bbox_pred/bias": torch.zeros(7)})
    assert not is_family({"conv1/kernel", "bn_conv1/gamma", "res2a_branch2a/kernel"})  # a ResNet of Keras


def test_what_cannot_be_told_or_built_is_refused() -> None:
    def told(preset: str | None = None, **tensors: Tensor) -> Conventions:
        named = {"rpn_class_raw/bias": torch.zeros(6)} | {name.replace("_", "/", 1): t for name, t in tensors.items()}
        return conventions(Source(Path("x.h5"), named), 3, {}, preset)

    assert told("matterport").class_names == ()
    with pytest.raises(ValueError, match=r"x\.h5: weights of matterport, so the preset is matterport"):
        told("torchvision_v1")
    with pytest.raises(ValueError, match=r"x\.h5: anchors \(1, 99, 4\) that can't be built"):
        told(anchors_Variable=torch.zeros(1, 99, 4))
    with pytest.raises(ValueError, match=r"x\.h5: anchors \(7,\) that"):
        told(anchors_Variable=torch.zeros(7))
    with pytest.raises(ValueError, match=r"x\.h5: 5 anchors at a place, whose ratios"):
        conventions(Source(Path("x.h5"), {"rpn_class_raw/bias": torch.zeros(10)}), 3, {})
