"""Weights in detectron2's layout, read back: the detections that detectron2's definition gives from its own names.

Shown with `pytest -s`: the largest differences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from maskrcnn.checkpoints.families.coco_classes import CLASS_NAMES
from maskrcnn.checkpoints.families.detectron2 import conventions, convert, is_family
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.source import Source
from maskrcnn.checkpoints.structure import num_classes_of, structure_of
from maskrcnn.config import model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.preprocess import Resize
from tests.conditioning import condition
from tests.oracles import detectron2_model as oracle
from tests.oracles.detectron2_layout import to_detectron2, write_pkl, write_pth
from tests.oracles.detectron2_model import Options
from tests.tiny import batch

NUM_CLASSES = 5
SIZES = {"landscape": (190, 251), "portrait": (263, 177)}
SLIM: dict[str, dict[str, Any]] = {
    "backbone": {"depth": 50, "stem_channels": 16},
    "fpn": {"channels": 32},
    "box_head": {"fc_channels": 64, "conv_channels": 32},
    "mask_head": {"channels": 32},
}
SMALL = {"INPUT": {"MIN_SIZE_TEST": 240, "MAX_SIZE_TEST": 280}}
X101_STD = (57.375, 57.12, 58.395)
BOX, SCORE = 1e-4, 1e-4  # allowed differences, relative to the picture's longer side and to 1
UNDECIDED = 1e-3  # so near to one half, a mask's value in a pixel may be on either side


@dataclass(frozen=True)
class Network:
    """How its weights were made, the YAML that its trainer writes, and what detectron2 then does."""

    preset: str
    settings: dict[str, Any]
    config: dict[str, Any]
    options: Options


NETWORKS = {
    "msra": Network("detectron2_msra", {}, {"MODEL": {"MASK_ON": True}}, Options()),
    "lsj": Network(
        "detectron2_lsj", {}, {"MODEL": {"RESNETS": {"NORM": "SyncBN"}, "FPN": {"NORM": "SyncBN"}}}, Options()
    ),
    "x101": Network(
        "detectron2_msra",
        {"backbone": {"groups": 4, "width_per_group": 16, "stride_in_1x1": False}, "pixels": {"std": X101_STD}},
        {"MODEL": {"PIXEL_STD": list(X101_STD), "RESNETS": {"NUM_GROUPS": 4, "STRIDE_IN_1X1": False}}},
        Options(pixel_std=X101_STD, stride_in_1x1=False),
    ),
    "torchvision body": Network(
        "detectron2_msra",
        {
            "backbone": {"depth": 18, "stride_in_1x1": False},
            "pixels": {"order": "rgb", "mean": (123.675, 116.28, 103.53), "std": X101_STD[::-1]},
            "box_head": {"class_agnostic": True},
            "mask_head": {"class_agnostic": True},
        },
        {
            "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TEST": 0},
            "MODEL": {
                "PIXEL_MEAN": [123.675, 116.28, 103.53],
                "PIXEL_STD": list(X101_STD[::-1]),
                "RESNETS": {"DEPTH": 18, "STRIDE_IN_1X1": False},
                "ANCHOR_GENERATOR": {"SIZES": [[24], [48], [96], [192], [384]], "ASPECT_RATIOS": [[0.4, 1.0, 2.5]]},
                "RPN": {
                    "PRE_NMS_TOPK_TEST": 150,
                    "POST_NMS_TOPK_TEST": 80,
                    "NMS_THRESH": 0.6,
                    "BBOX_REG_WEIGHTS": "(1.0, 1.0, 1.5, 1.5)",
                },
                "ROI_HEADS": {"NMS_THRESH_TEST": 0.4, "SCORE_THRESH_TEST": 0.002},
                "ROI_BOX_HEAD": {
                    "POOLER_TYPE": "ROIAlign",
                    "POOLER_SAMPLING_RATIO": 2,
                    "BBOX_REG_WEIGHTS": "(8.0, 8.0, 4.0, 4.0)",
                    "CLS_AGNOSTIC_BBOX_REG": True,
                },
                "ROI_MASK_HEAD": {"POOLER_TYPE": "ROIAlign", "POOLER_SAMPLING_RATIO": 2, "CLS_AGNOSTIC_MASK": True},
            },
            "TEST": {"DETECTIONS_PER_IMAGE": 60},
        },
        Options(
            input_format="RGB",
            pixel_mean=(123.675, 116.28, 103.53),
            pixel_std=X101_STD[::-1],
            min_size_test=0,
            anchor_sizes=(24, 48, 96, 192, 384),
            aspect_ratios=(0.4, 1.0, 2.5),
            pre_nms_topk=150,
            post_nms_topk=80,
            rpn_nms_thresh=0.6,
            rpn_weights=(1, 1, 1.5, 1.5),
            aligned=False,
            sampling_ratio=2,
            box_weights=(8, 8, 4, 4),
            score_thresh=0.002,
            nms_thresh=0.4,
            detections_per_image=60,
        ),
    ),
}


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
def weights_of(name: str) -> dict[str, Tensor]:
    """Slim random weights under detectron2's names, which find much in the pictures."""
    torch.manual_seed(3)
    network = NETWORKS[name]
    settings = model_settings(
        network.preset,
        resize={"shortest_edge": 240, "longest_edge": 280},
        class_names=[str(i) for i in range(NUM_CLASSES)],
        **overlay(SLIM, network.settings),
    )
    model = build_model(settings)
    # Fresh ones are so faint that their outputs would have to be blown up, and rounding with them.
    for layer in [*model.rpn.convs.modules(), *model.mask_head.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in" if isinstance(layer, nn.Conv2d) else "fan_out")
    condition(model, [draw_shapes((224, 288), seed=1)], background_logit=9.0)
    for parameter in model.rpn.objectness.parameters():
        parameter.data *= 8  # so that many probabilities are 1 in float32, and only the logits rank them
    return to_detectron2(model.state_dict())


@dataclass(frozen=True)
class Read:
    """A file that was read."""

    model: MaskRCNN
    preset: str
    facts: tuple[str, ...]
    assumptions: tuple[str, ...]


def read(path: Path) -> Read:
    """As the importer does it."""
    source = read_source(path)
    assert is_family(source.tensors.keys())
    tensors = convert(source.tensors)
    num_classes = num_classes_of(tensors)
    assert num_classes == NUM_CLASSES
    told = conventions(source, num_classes, structure_of(tensors))
    names = [str(i) for i in range(num_classes)]
    settings = overlay(structure_of(tensors), told.differences)
    model = build_model(model_settings(told.preset, class_names=names, **settings)).eval()
    counters = {name: torch.tensor(0) for name in model.state_dict() if name.endswith("num_batches_tracked")}
    model.load_state_dict({**counters, **tensors})
    return Read(model, told.preset, told.facts, told.assumptions)


@torch.inference_mode()
def compare(model: MaskRCNN, weights: Mapping[str, Tensor], picture: np.ndarray, options: Options, title: str) -> int:
    """From the picture to masks in it, against detectron2's definition; gives the number of detections."""
    mine = model.detect(batch(model, [picture]))[0]
    theirs = oracle.detect(weights, picture, options)
    assert len(mine) == len(theirs.boxes)
    # Detections whose scores differ by less than rounding may change places.
    apart = (mine.boxes[None] - theirs.boxes[:, None]).abs().amax(dim=2)
    apart += 1e6 * (mine.labels[None] != theirs.classes[:, None])
    distance, order = apart.min(dim=1)
    assert sorted(order.tolist()) == list(range(len(mine)))
    assert (theirs.scores[order.argsort()].diff() <= 1e-5).all()
    bitmaps, masks = mine.bitmaps()[order.numpy()], theirs.mask_values >= 0.5
    iou = (bitmaps & masks).sum(axis=(1, 2)) / np.maximum((bitmaps | masks).sum(axis=(1, 2)), 1)
    seen = {
        "detections in another place": int((order != torch.arange(len(order))).sum()),
        "boxes": float(distance.max() / max(picture.shape)),
        "scores": float((mine.scores[order] - theirs.scores).abs().max()),
        "mask probabilities": float((mine.mask_probs[order] - theirs.mask_probs).abs().max()),
        "1 - IoU of a mask": float(1 - iou[masks.any(axis=(1, 2))].min()),
    }
    print(*(f"detectron2 {title}: {name}: {value:.1e}" for name, value in seen.items()), sep="\n")
    assert seen["boxes"] <= BOX
    assert seen["scores"] <= SCORE
    # A pixel at one half may fall on either side; the masks of random weights have many.
    is_decided = np.abs(theirs.mask_values - 0.5) > UNDECIDED
    assert (bitmaps == masks)[is_decided].all()
    assert (bitmaps & masks).sum() >= 0.999 * (bitmaps | masks).sum()
    assert masks.sum() > 4000
    assert len(mine.labels.unique()) >= 3
    return len(mine)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_detections_are_detectron2s(name: str, size: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    write_pth(tmp_path / "model_final.pth", weights_of(name))
    config = overlay(SMALL, network.config) | {"_BASE_": "../Base-RCNN-FPN.yaml"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    is_resized = network.options.min_size_test > 0
    options = replace(network.options, min_size_test=240, max_size_test=280) if is_resized else network.options
    found = read(tmp_path / "model_final.pth")
    assert found.assumptions == ()
    assert found.preset == network.preset
    num = compare(found.model, weights_of(name), draw_shapes(SIZES[size], seed=2), options, f"{name}, {size}")
    assert num >= 20


def test_a_file_of_the_model_zoo_is_used_as_published(tmp_path: Path) -> None:
    # With nothing beside it: 800 within 1333, 1000 proposals, at most 100 detections.
    write_pkl(tmp_path / "model_final_a54504.pkl", weights_of("msra"))
    model = read(tmp_path / "model_final_a54504.pkl").model
    assert compare(model, weights_of("msra"), draw_shapes((240, 300), seed=2), Options(), "as published") == 100


@torch.inference_mode()
def test_group_norms_give_detectron2s_pyramid(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "backbone": {"depth": 50, "stem_channels": 32, "norm": "gn", "stride_in_1x1": False},
        "fpn": {"channels": 32, "norm": "gn"},
        "box_head": {**SLIM["box_head"], "convs": 4, "conv_norm": "gn", "fcs": 1},
        "mask_head": {"channels": 32, "norm": "gn"},
    }
    names = [str(i) for i in range(NUM_CLASSES)]
    weights = to_detectron2(build_model(model_settings("detectron2_msra", class_names=names, **settings)).state_dict())
    write_pkl(tmp_path / "model.pkl", weights)
    found = read(tmp_path / "model.pkl")
    assert found.assumptions == (
        "BGR, the usual sizes, anchors and thresholds (preset detectron2_msra)",
        "stride in 3x3 (as in the published GN models)",
    )
    pixels = torch.randn(1, 3, 64, 96)
    expected = oracle.pyramid(weights, pixels, Options(stride_in_1x1=False))
    for level, other in zip(found.model.dense(pixels).levels, expected, strict=True):
        torch.testing.assert_close(level, other, rtol=1e-4, atol=1e-4)


def test_the_size_of_the_networks_input_is_detectron2s() -> None:
    resize = Resize(**model_settings("detectron2_msra").resize.model_dump())
    rng = np.random.default_rng(0)
    # Exact halves, where the order of operations decides, and any others.
    sizes = [(149, 298), (586, 293), (7, 2666), (800, 1333), (480, 640), *rng.integers(8, 3000, (3000, 2)).tolist()]
    assert all(resize.output_size((h, w)) == oracle.output_size(h, w, 800, 1333) for h, w in sizes)


@pytest.mark.parametrize("limit", [112.0, 224.0, 448.0])
def test_the_level_of_a_region_is_detectron2s_at_the_limits(limit: float) -> None:
    with torch.device("meta"):
        pooler = build_model(model_settings("detectron2_msra")).box_head.pooler
    sides = [limit, np.nextafter(np.float32(limit), np.float32(0)), limit - 0.01, limit + 0.01]
    boxes = torch.tensor([[0, 0, float(side), float(side)] for side in sides])
    expected = [oracle.level_of(box) - 2 for box in boxes]
    assert len(set(expected)) == 2
    assert pooler.level_of(boxes, (1024, 1024)).tolist() == expected


@pytest.mark.parametrize(
    ("preset", "body", "num_values"),
    [
        # Weights and the four vectors of the fixed batch norms, from the shapes of the published layers.
        ("detectron2_msra", {"depth": 50}, 44_449_456),
        ("detectron2_msra", {"depth": 101}, 63_493_808),
        ("detectron2_msra", {"depth": 101, "groups": 32, "width_per_group": 8, "stride_in_1x1": False}, 107_833_520),
        ("detectron2_lsj", {"depth": 50}, None),
    ],
)
def test_the_real_architectures_have_our_names_and_shapes(
    preset: str, body: dict[str, Any], num_values: int | None
) -> None:
    with torch.device("meta"):
        own = build_model(model_settings(preset, backbone=body, class_names=CLASS_NAMES)).state_dict()
    weights = to_detectron2(own)
    counted = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    assert num_values in (None, sum(tensor.numel() for tensor in counted.values()))
    tensors = convert(weights)
    told = conventions(Source(Path("nowhere/model_final.pkl"), weights), 80, structure_of(tensors))
    settings = model_settings(told.preset, class_names=CLASS_NAMES, **overlay(structure_of(tensors), told.differences))
    with torch.device("meta"):
        rebuilt = build_model(settings).state_dict()
    assert {name: tensor.shape for name, tensor in tensors.items()} == {n: t.shape for n, t in rebuilt.items()}
    assert (told.class_names, told.assumptions[-1]) == (CLASS_NAMES, "the class names of COCO")
