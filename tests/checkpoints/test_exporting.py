"""Checkpoints of ours in the hands of other packages: what they load, what they compute, and what is refused."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.exporting import write_for
from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.config import ModelSettings, model_settings
from maskrcnn.model.build import build_model
from tests.oracles import torchvision_models
from tests.oracles.detectron2_layout import to_detectron2
from tests.oracles.mmdetection_layout import to_mmdetection

NAMES = ["cat", "dog", "cow"]
SLIM: dict[str, Any] = {
    "fpn": {"channels": 32},
    "rpn": {"channels": 32},
    "box_head": {"fc_channels": 64},
    "mask_head": {"channels": 32},
}


def checkpoint_of(settings: ModelSettings) -> Checkpoint:
    """Random weights, statistics included."""
    torch.manual_seed(0)
    model = build_model(settings)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return Checkpoint(settings, {name: tensor.clone() for name, tensor in model.state_dict().items()}, {})


def slim(preset: str, **changes: Any) -> Checkpoint:
    groups = {"backbone": {"depth": 50, "stem_channels": 16}, **SLIM}
    for name, values in changes.items():
        groups[name] = {**groups.get(name, {}), **values}
    return checkpoint_of(model_settings(preset, class_names=NAMES, **groups))


def without_counters(tensors: Any) -> dict[str, Any]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("body", ["resnet18", "resnet50", "resnet50_v2"])
def test_torchvision_loads_it_strictly_and_computes_the_same(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8), (160, 120))
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
    options = {"min_size": 120, "max_size": 200, "box_score_thresh": 0.005, "box_detections_per_img": 30}
    theirs = torchvision_models.build(body, num_classes=4, **options)
    torchvision_models.condition(theirs, pixels)
    torch.save(theirs.state_dict(), tmp_path / "first.pth")
    read = import_checkpoint(tmp_path / "first.pth", class_names=tuple(NAMES))
    values = read.settings.model_dump()
    values["resize"] |= {"shortest_edge": 120, "longest_edge": 200}
    values["detection"] |= {"score_threshold": 0.005, "max_detections": 30}
    checkpoint = Checkpoint(ModelSettings.model_validate(values), read.tensors, {})
    written = write_for("torchvision", tmp_path / "ours.pth", checkpoint)
    assert written.paths == (tmp_path / "ours.pth",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pth", "ours.pth"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(written.how, names)  # what the user is told to do; `load_state_dict` is strict
    model: nn.Module = names["model"].eval()
    with torch.no_grad():
        (expected,), (found,) = theirs.eval()([pixels]), model([pixels])
    assert len(expected["boxes"]) > 5
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("detectron2_msra", {}),
        ("detectron2_lsj", {}),
        ("detectron2_msra", {"backbone": {"groups": 4, "width_per_group": 16, "stride_in_1x1": False}}),
        ("detectron2_msra", {"backbone": {"depth": 18, "stride_in_1x1": False}, "pixels": {"order": "rgb"}}),
        (
            "detectron2_msra",
            {
                "backbone": {"norm": "gn", "stem_channels": 64, "stride_in_1x1": False},
                "anchors": {"sizes": (16, 32, 64, 128, 300), "ratios": (0.5, 1.0)},
                "roi": {"aligned": False, "sampling_ratio": 2, "mask_resolution": 7},
                "detection": {"score_threshold": 0.3, "max_detections": 10**6},
                "resize": {"shortest_edge": 640, "longest_edge": 1000},
            },
        ),
    ],
)
def test_detectron2_and_back_bit_for_bit(preset: str, changes: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = slim(preset, **changes)
    written = write_for("detectron2", tmp_path / "model.pth", checkpoint)
    assert [path.name for path in written.paths] == ["model.pth", "model.yaml"]
    # Names and values as the layout says that was written down by itself.
    source = read_source(tmp_path / "model.pth")
    expected = to_detectron2(checkpoint.tensors)
    assert source.tensors.keys() == expected.keys()
    assert all(torch.equal(source.tensors[name], tensor) for name, tensor in expected.items())
    # The YAML says all the rest.
    back = import_checkpoint(tmp_path / "model.pth", class_names=tuple(NAMES))
    assert back.tensors.keys() == checkpoint.tensors.keys()
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    for group in ("pixels", "resize", "backbone", "anchors", "rpn", "roi", "box_head", "mask_head", "detection"):
        assert getattr(back.settings, group) == getattr(checkpoint.settings, group), group


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("mmdet_pytorch", {}),
        ("mmdet_caffe", {}),
        ("mmdet_pytorch", {"backbone": {"groups": 4, "width_per_group": 16}, "rpn": {"convs": 2}}),
        (
            "mmdet_pytorch",
            {
                "backbone": {"norm": "gn", "stem_channels": 64},
                "fpn": {"norm": "gn"},
                "box_head": {"convs": 4, "conv_channels": 32, "conv_norm": "gn", "fcs": 1, "class_agnostic": True},
                "mask_head": {"norm": "gn", "class_agnostic": True},
                "anchors": {"sizes": (16, 32, 64, 128, 300), "ratios": (0.5, 1.0)},
                "detection": {"score_threshold": 0.3, "max_detections": 7, "nms_threshold": 0.4},
                "resize": {"shortest_edge": 640, "longest_edge": 1000, "interpolation": "pil"},
            },
        ),
    ],
)
def test_mmdetection_and_back_bit_for_bit(preset: str, changes: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = slim(preset, **changes)
    written = write_for("mmdetection", tmp_path / "model.pth", checkpoint)
    assert [path.name for path in written.paths] == ["model.pth", "model.py"]
    source = read_source(tmp_path / "model.pth")
    expected = without_counters(to_mmdetection(checkpoint.tensors))
    assert without_counters(source.tensors).keys() == expected.keys()
    assert all(torch.equal(source.tensors[name], tensor) for name, tensor in expected.items())
    # Every batch norm of theirs counts its batches, and a strict load asks for that.
    means = [name for name in source.tensors if name.endswith("running_mean")]
    assert all(name.replace("running_mean", "num_batches_tracked") in source.tensors for name in means)
    back = import_checkpoint(tmp_path / "model.pth")
    assert back.settings.class_names == tuple(NAMES)
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    for group in ("pixels", "resize", "pad", "anchors", "roi", "mask_head", "detection"):
        assert getattr(back.settings, group) == getattr(checkpoint.settings, group), group


@pytest.mark.parametrize(
    ("package", "preset", "said"),
    [
        ("detectron2", "torchvision_v1", "anchors.rounded is True, there False"),
        ("detectron2", "matterport", "there is no place for it"),
        ("mmdetection", "detectron2_msra", "rpn.delta_clamp is 'max', there 'both'"),
        ("mmdetection", "matterport", "there is no place for it"),
        ("detectron2", "mmdet_pytorch", "rpn.delta_clamp is 'both', there 'max'"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(package: str, preset: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        write_for(package, tmp_path / "model.pth", slim(preset))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", ["maskrcnn", "detectron2_msra", "mmdet_pytorch"])
def test_torchvision_is_given_only_what_it_computes(preset: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(
        model_settings(preset, class_names=NAMES, backbone={"depth": 18, "stride_in_1x1": False})
    )
    with pytest.raises(ValueError, match=r"torchvision would compute otherwise: .*rounded is False, there True"):
        write_for("torchvision", tmp_path / "model.pth", checkpoint)


def test_bodies_that_they_do_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="torchvision has no such body: depth 50, 1 groups of 64, 16 channels"):
        write_for("torchvision", tmp_path / "model.pth", slim("torchvision_v1"))
    c4 = checkpoint_of(model_settings("detectron2_c4", class_names=NAMES, backbone={"depth": 50, "stem_channels": 16}))
    with pytest.raises(ValueError, match="written with a ResNet and FPN only, this is detectron2_c4"):
        write_for("detectron2", tmp_path / "model.pth", c4)
