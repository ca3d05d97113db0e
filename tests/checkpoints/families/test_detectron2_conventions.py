"""What a file of detectron2 and its network say about how it must be used, where no YAML lies beside it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES
from maskrcnn.checkpoints.families.detectron2 import conventions, convert, is_family
from maskrcnn.checkpoints.source import Source
from maskrcnn.checkpoints.structure import structure_of
from tests.checkpoints.families.detectron2_told import (
    CELLS,
    MSRA,
    RGB_MEAN,
    RGB_STD,
    USUAL,
    X101,
    Weights,
    settings_of,
    tell,
    weights_of,
)


def test_only_detectron2s_names_are_its_family() -> None:
    assert is_family(weights_of())
    assert is_family(["backbone.res2.0.conv1.weight", "roi_heads.res5.0.conv1.weight", "proposal_generator.rpn_head.x"])
    for names in (
        ["backbone.body.conv1.weight", "roi_heads.box_head.fc6.weight", "rpn.head.conv.weight"],  # torchvision
        ["backbone.conv1.weight", "roi_head.bbox_head.fc_cls.weight"],  # mmdetection
        ["conv1/kernel", "mrcnn_mask/kernel"],  # matterport
        ["res2.0.conv1.weight", "stem.conv1.weight"],  # a body alone
        ["conv1_w", "fpn_inner_res2_2_sum_w", "roi_heads_w"],  # Caffe2
        ["backbone.stem.conv.weight", "box_head.fcs.0.weight"],  # ours
    ):
        assert not is_family(names)


def test_statistics_and_anchors_are_no_weights_and_what_is_unknown_keeps_its_name() -> None:
    entries = ("pixel_mean", "pixel_std", f"{CELLS}0", f"{CELLS}4", "roi_heads.extra.weight", "ema")
    assert list(convert({name: torch.zeros(3) for name in entries})) == ["roi_heads.extra.weight", "ema"]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("backbone.res4.0.conv1.weight", "C4 or DC5"),
        ("backbone.bottom_up.s1.b1.a.weight", "RegNet"),
        ("backbone.bottom_up.res4.0.conv2_offset.weight", "deformable"),
        ("roi_heads.box_head.0.fc1.weight", "cascade"),
        ("roi_heads.keypoint_head.conv_fcn1.weight", "keypoint"),
        ("roi_heads.mask_head.point_head.fc1.weight", "PointRend"),
        ("sem_seg_head.decoder.res2.project_conv.weight", "other than that of Panoptic FPN"),
    ],
)
def test_other_networks_of_detectron2_are_refused_by_name(entry: str, what: str) -> None:
    with pytest.raises(ValueError, match=rf"got one with .*{what}.*: {entry}"):
        convert({entry: torch.zeros(1)})


class TestWithoutAConfig:
    def test_the_presets_are_assumed_and_said(self, tmp_path: Path) -> None:
        told = tell(tmp_path)
        assert (told.family, told.preset, told.facts) == ("detectron2", "detectron2_msra", ())
        assert told.assumptions == (MSRA, "the class names of COCO")
        assert (told.class_names, told.category_ids) == (CLASS_NAMES, CATEGORY_IDS)
        assert settings_of(told).backbone.norm == "frozen_bn"

    def test_batch_norms_in_the_pyramid_and_two_rpn_convolutions_are_lsj(self, tmp_path: Path) -> None:
        told = tell(tmp_path, weights_of("detectron2_lsj"))
        assert (told.preset, told.assumptions[0]) == (
            "detectron2_lsj",
            f"BGR, stride in 1x1, {USUAL} (preset detectron2_lsj)",
        )
        settings = settings_of(told)
        assert (settings.backbone.norm, settings.fpn.norm, settings.box_head.conv_norm) == ("bn", "bn", "bn")

    def test_with_one_rpn_convolution_it_is_another_published_model(self, tmp_path: Path) -> None:
        told = tell(tmp_path, weights_of("detectron2_lsj", rpn={"convs": 1}))
        assert told.assumptions[:2] == (
            f"BGR, {USUAL} (preset detectron2_lsj)",
            "stride in 3x3 (as in the published 3x SyncBN model)",
        )
        assert not settings_of(told).backbone.stride_in_1x1

    def test_groups_are_the_published_x101(self, tmp_path: Path) -> None:
        told = tell(tmp_path, weights_of(backbone=X101))
        assert told.assumptions[:2] == (
            f"BGR, {USUAL} (preset detectron2_msra)",
            "divided by a std, stride in 3x3 (as in the published X101)",
        )
        assert settings_of(told).pixels.std == (57.375, 57.12, 58.395)

    def test_counted_batches_tell_trained_norms(self, tmp_path: Path) -> None:
        weights = weights_of() | {"backbone.bottom_up.stem.conv1.norm.num_batches_tracked": torch.tensor(9)}
        assert settings_of(tell(tmp_path, weights)).backbone.norm == "bn"

    def test_basic_blocks_have_no_stride_in_1x1(self, tmp_path: Path) -> None:
        told = tell(tmp_path, weights_of(backbone={"depth": 18, "stride_in_1x1": False}))
        assert told.assumptions[0] == f"BGR, {USUAL} (preset detectron2_msra)"
        assert not settings_of(told).backbone.stride_in_1x1

    def test_lvis_is_known_by_its_number_of_classes(self, tmp_path: Path) -> None:
        told = tell(tmp_path, num_classes=1203)
        assert told.assumptions == (
            "BGR, stride in 1x1, the usual sizes and anchors (preset detectron2_msra)",
            "score threshold 0.0001 and 300 detections (as in the published LVIS models)",
        )
        assert settings_of(told).detection.max_detections == 300
        assert told.class_names == ()

    def test_a_preset_that_is_asked_for_is_no_assumption(self, tmp_path: Path) -> None:
        told = tell(tmp_path, num_classes=3, preset="detectron2_lsj")
        assert (told.preset, told.facts, told.assumptions) == (
            "detectron2_lsj",
            (f"BGR, stride in 1x1, {USUAL} (preset detectron2_lsj)",),
            (),
        )
        with pytest.raises(
            ValueError, match=r"weights of detectron2, so the preset is detectron2_msra or detectron2_lsj"
        ):
            tell(tmp_path, preset="torchvision_v1")

    def test_a_part_of_a_network_is_enough(self, tmp_path: Path) -> None:
        weights = {name: t for name, t in weights_of().items() if name.startswith("backbone.")}
        source = Source(tmp_path / "model.pkl", weights)
        assert conventions(source, 1, structure_of(convert(weights))).assumptions == (MSRA,)


class TestWhatTheFileSays:
    def statistics(self, mean: list[float], std: list[float]) -> Weights:
        return weights_of() | {
            name: torch.tensor(values).view(3, 1, 1) for name, values in (("pixel_mean", mean), ("pixel_std", std))
        }

    def test_a_bgr_mean(self, tmp_path: Path) -> None:
        told = tell(tmp_path, self.statistics([102.9801, 115.9465, 122.7717], [1.0, 1.0, 1.0]))
        assert told.facts == ("BGR: from the pixel statistics in the file",)
        assert told.assumptions[0] == f"stride in 1x1, {USUAL} (preset detectron2_msra)"
        assert settings_of(told).pixels.mean == (102.9801, 115.9465, 122.7717)

    def test_an_rgb_mean_and_a_std_make_a_body_of_torchvision(self, tmp_path: Path) -> None:
        told = tell(tmp_path, self.statistics(RGB_MEAN, RGB_STD))
        assert told.facts == ("RGB, divided by a std: from the pixel statistics in the file",)
        assert told.assumptions[0] == "stride in 3x3 (as in bodies whose input is divided by a std)"
        pixels = settings_of(told).pixels
        assert (pixels.order, pixels.mean, pixels.std) == ("rgb", tuple(RGB_MEAN), tuple(RGB_STD))

    def test_another_mean_does_not_tell_the_order(self, tmp_path: Path) -> None:
        told = tell(tmp_path, self.statistics([60.0, 70.0, 80.0], [1.0, 1.0, 1.0]))
        assert told.assumptions[0] == MSRA
        assert settings_of(told).pixels.mean == (60, 70, 80)

    def test_its_anchors(self, tmp_path: Path) -> None:
        def cell(size: float) -> Tensor:
            sides = torch.tensor([[size / ratio**0.5, size * ratio**0.5] for ratio in (0.4, 1.0, 2.5)])
            return torch.cat([-sides, sides], dim=1) / 2

        sizes = (24.0, 48.0, 96.0, 192.0, 384.0)
        weights = weights_of() | {f"{CELLS}{i}": cell(size) for i, size in enumerate(sizes)}
        told = tell(tmp_path, weights)
        anchors = settings_of(told).anchors
        assert (anchors.sizes, anchors.ratios) == (sizes, (0.4, 1.0, 2.5))
        assert "BGR, stride in 1x1, the usual sizes and thresholds (preset detectron2_msra)" in told.assumptions
        with pytest.raises(ValueError, match=r"cell_anchors\.\* has several sizes on a level"):
            tell(tmp_path, weights | {f"{CELLS}1": torch.cat([cell(48.0)[:2], cell(60.0)[:1]])})

    def test_as_many_anchors_as_ratios(self, tmp_path: Path) -> None:
        weights = weights_of(anchors={"ratios": (0.3, 0.5, 1.0, 2.0, 3.0)})
        with pytest.raises(
            ValueError, match=r"weights for 5 anchors at a place, but 3 ratios .*the YAML of its training"
        ):
            tell(tmp_path, weights)
        config = {"MODEL": {"ANCHOR_GENERATOR": {"ASPECT_RATIOS": [[0.3, 0.5, 1.0, 2.0, 3.0]]}}}
        assert settings_of(tell(tmp_path, weights, config)).anchors.ratios == (0.3, 0.5, 1.0, 2.0, 3.0)
