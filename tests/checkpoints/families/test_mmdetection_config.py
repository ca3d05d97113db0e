"""What the config of mmdetection, in a file or beside it, and the file itself say about how it must be used."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES
from maskrcnn.checkpoints.families.mmdetection import conventions, convert, is_family
from maskrcnn.checkpoints.source import Conventions, Source
from maskrcnn.checkpoints.structure import structure_of
from maskrcnn.config import ModelSettings, model_settings
from maskrcnn.model.build import build_model
from tests.oracles.mmdetection_layout import to_1x, to_mmdetection

Weights = dict[str, Tensor]
USUAL = "the usual sizes, anchors and thresholds"
PYTORCH = f"RGB, stride in 3x3, {USUAL} (preset mmdet_pytorch)"
MODEL = "model = dict(type='MaskRCNN', backbone=dict(style='pytorch'))\n"
NOT_READ = "that a line of {} that is no plain assignment changes nothing"


@cache
def made(num_classes: int, **backbone: Any) -> Weights:
    """Names and shapes of the real architecture under the names of 2.x."""
    settings = model_settings(
        "mmdet_pytorch",
        class_names=[str(i) for i in range(num_classes)],
        backbone={"depth": 50, **backbone},
    )
    with torch.device("meta"):
        return to_mmdetection(build_model(settings).state_dict())


def tell(
    folder: Path,
    weights: Weights | None = None,
    *,
    beside: str | None = None,
    num_classes: int = 80,
    preset: str | None = None,
    **meta: Any,
) -> Conventions:
    """`conventions` of `weights`, by default R50-FPN's, with a config in their meta or `beside` them."""
    if beside is not None:
        (folder / "epoch_12.py").write_text(beside)
    source = Source(folder / "epoch_12.pth", weights or made(num_classes), {"meta": meta})
    return conventions(source, num_classes, structure_of(convert(source.tensors)), preset)


def settings_of(told: Conventions) -> ModelSettings:
    return model_settings(told.preset, **told.differences)


def test_only_mmdetections_names_are_its_family() -> None:
    assert is_family(made(80))
    assert is_family(["neck.lateral_convs.0.conv.weight", "bbox_head.retina_cls.weight"])  # refused, and called by name
    for names in (
        ["backbone.body.conv1.weight", "roi_heads.box_head.fc6.weight", "rpn.head.conv.weight"],  # torchvision
        ["backbone.bottom_up.stem.conv1.weight", "proposal_generator.rpn_head.conv.weight"],  # detectron2
        ["conv1/kernel", "mrcnn_mask/kernel"],  # matterport
        ["conv1.weight", "layer1.0.conv1.weight"],  # a body alone
        ["backbone.stem.conv.weight", "box_head.fcs.0.weight"],  # ours
    ):
        assert not is_family(names)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("roi_head.bbox_head.0.fc_cls.weight", "a cascade of heads"),
        ("bbox_head.2.fc_cls.weight", "a cascade of heads"),
        ("backbone.layer2.0.conv2.conv_offset.weight", "deformable convolutions"),
        ("backbone.layer2.0.conv2_offset.weight", "deformable convolutions"),
        ("backbone.stem.0.weight", "a deep stem"),
        ("backbone.layer3.0.context_block1.conv_mask.weight", "attention"),
        ("roi_head.mask_iou_head.fcs.0.weight", "Mask Scoring"),
        ("roi_head.point_head.fcs.0.conv.weight", "PointRend"),
        ("roi_head.shared_head.layer4.0.conv1.weight", "C4"),
        ("backbone.patch_embed.projection.weight", "a body that is no ResNet"),
        ("roi_head.bbox_head.cls_fcs.0.weight", "another box head"),
        ("bbox_head.retina_cls.weight", "another box head"),
        ("neck.1.refine.conv.weight", "another neck"),
        ("rpn_head.conv_loc.weight", "another region proposal network"),
    ],
)
def test_another_network_is_called_by_its_name(entry: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"expected mmdetection's Mask R-CNN.*, got one with .*{what}.*: {entry}"):
        convert({**made(80), entry: torch.zeros(1)})


def test_an_rpn_with_a_softmax_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="the RPN's softmax can't be built"):
        convert({**made(80), "rpn_head.rpn_cls.weight": torch.zeros(6, 256, 1, 1)})


def test_running_averages_and_statistics_are_no_weights_and_what_is_unknown_keeps_its_name() -> None:
    entries = ("ema_backbone_conv1_weight", "data_preprocessor.mean", "roi_head.extra.weight")
    converted = convert({**made(80), **{name: torch.zeros(3) for name in entries}})
    assert len(converted) == len(made(80)) + 1
    assert "roi_head.extra.weight" in converted


def test_the_background_of_1x_goes_from_weights_and_biases_alike() -> None:
    # Background and two classes, three anchors; the value of a row says whose it is.
    rows = torch.tensor([0.0, 1.0, 2.0])
    files = {
        "bbox_head.fc_cls": rows,
        "bbox_head.fc_reg": rows.repeat_interleave(4),
        "mask_head.conv_logits": rows,
        "rpn_head.rpn_cls": rows,
        "rpn_head.rpn_reg": rows.repeat_interleave(4),
    }
    weights = {f"{name}.weight": values[:, None] for name, values in files.items()}
    biases = {f"{name}.bias": values for name, values in files.items()}
    converted = convert({**weights, **biases})
    for leaf in ("weight", "bias"):
        assert converted[f"box_head.class_logits.{leaf}"].flatten().tolist() == [1, 2, 0]
        assert converted[f"box_head.deltas.{leaf}"].flatten().tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
        assert converted[f"mask_head.logits.{leaf}"].flatten().tolist() == [1, 2]
        assert converted[f"rpn.objectness.{leaf}"].flatten().tolist() == [0, 1, 2]


def test_one_set_of_deltas_and_masks_for_all_classes_has_no_background() -> None:
    converted = convert({"bbox_head.fc_reg.bias": torch.arange(4.0), "mask_head.conv_logits.bias": torch.ones(1)})
    assert converted["box_head.deltas.bias"].tolist() == [0, 1, 2, 3]
    assert converted["mask_head.logits.bias"].tolist() == [1]


def test_without_a_config_the_style_is_assumed_or_said_by_the_preset(tmp_path: Path) -> None:
    assert tell(tmp_path).assumptions == (PYTORCH, "the class names of COCO")
    said = tell(tmp_path, preset="mmdet_caffe")
    assert (said.preset, said.facts) == ("mmdet_caffe", (f"BGR, stride in 1x1, {USUAL} (preset mmdet_caffe)",))
    assert settings_of(said).backbone.stride_in_1x1
    with pytest.raises(
        ValueError, match=r"epoch_12\.pth: weights of mmdetection, so the preset is mmdet_pytorch or mmdet"
    ):
        tell(tmp_path, preset="detectron2_msra")


def test_the_config_in_the_file_is_believed(tmp_path: Path) -> None:
    told = tell(tmp_path, config=MODEL.replace("pytorch", "caffe"))
    assert (told.preset, told.facts) == ("mmdet_caffe", ("stride in 1x1: from the config in the file",))
    assert told.assumptions[0] == "BGR (preset mmdet_caffe)"
    with pytest.raises(ValueError, match="preset mmdet_pytorch, but the config in the file has style 'caffe'"):
        tell(tmp_path, config=MODEL.replace("pytorch", "caffe"), preset="mmdet_pytorch")


def test_the_x101_of_detectron2_is_caffe_pixels_in_pytorch_style(tmp_path: Path) -> None:
    config = MODEL + "img_norm_cfg = dict(mean=[103.530, 116.280, 123.675], std=[57.375, 57.120, 58.395], to_rgb=False)"
    told = tell(tmp_path, made(80, depth=101, groups=32, width_per_group=8), config=config)
    assert told.facts == ("BGR, stride in 3x3: from the config in the file",)
    settings = settings_of(told)
    assert (settings.pixels.order, settings.pixels.std) == ("bgr", (57.375, 57.12, 58.395))
    assert not settings.backbone.stride_in_1x1


@pytest.mark.parametrize(
    ("load", "turn", "order"),
    [
        ("", "bgr_to_rgb=True", "rgb"),
        ("", "bgr_to_rgb=False", "bgr"),
        (", channel_order='rgb'", "bgr_to_rgb=False", "rgb"),
    ],
)
def test_the_order_of_channels_is_that_of_reading_and_turning(tmp_path: Path, load: str, turn: str, order: str) -> None:
    pixels = f"data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1], {turn})"
    config = f"model = dict({pixels})\ntest_pipeline = [dict(type='LoadImageFromFile'{load})]"
    settings = settings_of(tell(tmp_path, cfg=config))
    assert (settings.pixels.order, settings.pixels.mean) == (order, (1, 2, 3))


def test_pictures_that_are_not_normalised_stay_as_they_are(tmp_path: Path) -> None:
    config = "model = dict(data_preprocessor=dict(type='DetDataPreprocessor', bgr_to_rgb=True, pad_size_divisor=64))"
    settings = settings_of(tell(tmp_path, cfg=config))
    assert (settings.pixels.mean, settings.pixels.std, settings.pad.divisor) == ((0, 0, 0), (1, 1, 1), 64)


def test_statistics_among_the_tensors_tell_the_order_too(tmp_path: Path) -> None:
    statistics = {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0]}
    tensors = {f"data_preprocessor.{key}": torch.tensor(values)[:, None, None] for key, values in statistics.items()}
    told = tell(tmp_path, {**made(80), **tensors})
    assert told.facts == ("BGR: from the pixel statistics in the file",)
    assert settings_of(told).pixels.mean == (103.53, 116.28, 123.675)


def test_early_files_hold_several_configs_under_their_paths(tmp_path: Path) -> None:
    text = (
        "/home/me/configs/_base_/model.py\n# model settings\n"
        "model = dict(backbone=dict(style='pytorch', depth=50), rpn_head=dict(anchor_scales=[8]))\n"
        "/home/me/my configs/mine.py\n_base_ = '_base_/model.py'\nstyle = 'caffe'\n"
        "model = dict(backbone=dict(style=style), rpn_head=dict(_delete_=True, anchor_ratios=[0.4, 1.0, 2.0]))\n"
    )
    told = tell(tmp_path, config=text)
    assert told.preset == "mmdet_caffe"
    assert told.differences["anchors"] == {"ratios": [0.4, 1.0, 2.0]}


def test_a_config_beside_is_read_with_its_bases_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "model = dict(backbone=dict(style='caffe', depth=50), neck=dict(out_channels=256))"
    )
    beside = (
        "_base_ = ['base.py', '../_base_/datasets/coco_instance.py', '../_base_/schedules/schedule_1x.py']\n"
        "open(r'{}', 'w')\nside = 8 * 100\n"
        "test_pipeline = [dict(type='Resize', img_scale=(1600, side), keep_ratio=True)]\n"
        "model = dict(test_cfg=dict(rcnn=dict(max_per_img=-1, score_thr=max(1, 2))))"
    ).format(tmp_path / "was_run")
    told = tell(tmp_path, beside=beside)
    assert not (tmp_path / "was_run").exists()
    assert told.facts == ("stride in 1x1: from the config epoch_12.py beside it",)
    assert told.assumptions[1:-1] == (NOT_READ.format("epoch_12.py"),)
    settings = settings_of(told)
    assert (settings.resize.shortest_edge, settings.resize.longest_edge) == (800, 1600)
    assert (settings.detection.max_detections, settings.detection.score_threshold) == (10**6, 0.05)
    # What is in the file itself is from its training, and counts more.
    assert tell(tmp_path, config=MODEL).preset == "mmdet_pytorch"


def test_what_is_not_read_of_a_config_beside_is_said(tmp_path: Path) -> None:
    base = "that faster.py, on which epoch_12.py builds and which is not there, changes nothing"
    assert base in tell(tmp_path, beside="_base_ = './faster.py'\n" + MODEL).assumptions
    other = "that epoch_12.py beside it is of something else, for it has no model"
    assert other in tell(tmp_path, beside="import os\nlr = 0.02").assumptions
    new_style = "with read_base():\n    from .mask_rcnn import *\nmodel.update(dict(backbone=dict(style='caffe')))"
    told = tell(tmp_path, beside=new_style)
    assert told.assumptions == (PYTORCH, NOT_READ.format("epoch_12.py"), "the class names of COCO")
    unreadable = "that the config in the file, which can't be read, changes nothing"
    assert unreadable in tell(tmp_path, config="model: {type: MaskRCNN}\n- x").assumptions


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("model = dict(", "no Python that can be read"),
        ("model = dict(a=1)\n" + "x = [" + "(" * 300, "no Python that can be read"),
        ("x0 = [1, 1]\n" + "\n".join(f"x{i + 1} = [x{i}, x{i}]" for i in range(60)) + "\n" + MODEL, "far too many"),
        ("x = []\n" + "x = [x]\n" * 5000 + MODEL, "far too many"),
        ("_base_ = 'epoch_12.py'\n" + MODEL, "leads back to itself"),
        (MODEL.replace("pytorch", "tensorflow"), "backbone.style 'tensorflow', which can't be built"),
        (MODEL.replace("style='pytorch'", "depth=101"), "has backbone.depth 101, but the weights have 50"),
    ],
)
def test_a_damaged_or_wrong_config_beside_is_an_error_that_names_it(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ValueError, match=rf"epoch_12\.py.*{what}"):
        tell(tmp_path, beside=text)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ("type='CascadeRCNN'", "type 'CascadeRCNN'"),
        ("backbone=dict(type='ResNetV1d')", "backbone.type 'ResNetV1d'"),
        ("backbone=dict(conv_cfg=dict(type='ConvWS'))", "backbone.conv_cfg"),
        ("backbone=dict(strides=(1, 2, 2, 1))", "backbone.strides"),
        ("neck=dict(type='PAFPN')", "neck.type 'PAFPN'"),
        ("rpn_head=dict(anchor_generator=dict(scales=[4, 8]))", "anchor scales"),
        ("rpn_head=dict(anchor_generator=dict(center_offset=0.5, base_sizes=[4, 8, 16, 32, 48]))", "center_offset 0.5"),
        ("rpn_head=dict(bbox_coder=dict(target_stds=[0, 1, 1, 1]))", "rpn_head.target_stds"),
        ("roi_head=dict(type='DoubleHeadRoIHead')", "roi_head.type"),
        ("roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(type='RoIPool')))", "roi_layer.type 'RoIPool'"),
        ("roi_head=dict(mask_head=dict(upsample_cfg=dict(type='carafe')))", "upsample_cfg.type 'carafe'"),
        (
            "roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2)),"
            "mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=0)))",
            "mask_roi_extractor",
        ),
    ],
)
def test_what_cannot_be_built_is_an_error_that_names_the_key(tmp_path: Path, model: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"the config in the file has .*{what}.*, which can't be built here; only "):
        tell(tmp_path, config=f"model = dict({model})")


def test_a_stretched_picture_cannot_be_had(tmp_path: Path) -> None:
    resize = "test_pipeline = [dict(type='Resize', scale=(1333, 800){})]\n"
    with pytest.raises(ValueError, match="keeps the ratio"):  # the default in 3.x
        tell(tmp_path, config=MODEL + resize.format(""))
    told = tell(tmp_path, config=MODEL + resize.format(", keep_ratio=True, backend='pillow'"))
    assert settings_of(told).resize.interpolation == "pil"


def test_what_is_done_to_the_results_otherwise_is_said(tmp_path: Path) -> None:
    config = (
        "model = dict(test_cfg=dict(rcnn=dict(nms=dict(type='soft_nms', iou_threshold=0.6), mask_thr_binary=0.4)))\n"
        "test_pipeline = [dict(type='MultiScaleFlipAug', img_scale=[(1333, 800), (1333, 600)])]"
    )
    told = tell(tmp_path, config=config)
    expected = ("NMS in place of soft_nms", "masks from 0.5 on in place of 0.4", "one size in place of several")
    assert told.assumptions[1:-1] == expected
    assert settings_of(told).detection.nms_threshold == 0.6


def test_copies_that_a_running_average_left_are_said(tmp_path: Path) -> None:
    told = tell(tmp_path, {**made(80), "ema_backbone_conv1_weight": torch.zeros(1)})
    assert told.assumptions[0] == "the weights, not their copies under ema_*"


def test_ratios_that_nothing_says_are_an_error(tmp_path: Path) -> None:
    rpn = {"rpn_head.rpn_cls.weight": torch.zeros(5, 256, 1, 1), "rpn_head.rpn_reg.weight": torch.zeros(20, 256, 1, 1)}
    with pytest.raises(ValueError, match=r"weights for 5 anchors at a place, but 3 ratios .* as epoch_12\.py"):
        tell(tmp_path, {**made(80), **rpn})
    config = "model = dict(rpn_head=dict(anchor_generator=dict(ratios=[0.25, 0.5, 1.0, 2.0, 4.0])))"
    assert settings_of(tell(tmp_path, {**made(80), **rpn}, config=config)).anchors.ratios == (0.25, 0.5, 1, 2, 4)


def test_files_of_1x_are_called_so_and_what_is_unlike_it_is_said(tmp_path: Path) -> None:
    told = tell(tmp_path, to_1x(made(80)))
    assert told.family == "mmdetection 1.x"
    unlike = "exact edges of boxes and masks, as in mmdetection 2.x"
    assert told.assumptions == (PYTORCH, unlike, "the class names of COCO")
    settings = settings_of(told)
    assert (settings.roi.aligned, settings.roi.sampling_ratio) == (False, 2)
    assert (settings.anchors.rounded, settings.anchors.offset) == (True, 0.5)


def test_the_slip_of_the_official_upgrade_is_said(tmp_path: Path) -> None:
    # Its tool takes the last class's biases away for the background's, which are 0.
    biases = {"roi_head.bbox_head.fc_reg.bias": torch.ones(320), "roi_head.mask_head.conv_logits.bias": torch.ones(80)}
    config = "model = dict(bbox_head=dict(num_classes=81))"
    slip = "biases of boxes and masks, one class off since the upgrade to 2.x, are left so"
    assert slip not in tell(tmp_path, {**made(80), **biases}, config=config).assumptions
    for name, num in (("roi_head.bbox_head.fc_reg.bias", 4), ("roi_head.mask_head.conv_logits.bias", 1)):
        biases[name][:num] = 0
    told = tell(tmp_path, {**made(80), **biases}, config=config)
    assert slip in told.assumptions
    assert told.family == "mmdetection 1.x"


@pytest.mark.parametrize(
    ("num_classes", "meta", "names"),
    [
        (1, {"CLASSES": "nucleus"}, ("nucleus",)),
        (1, {"CLASSES": ["nucleus"]}, ("nucleus",)),
        (2, {"dataset_meta": {"classes": ("cat", "dog"), "palette": []}}, ("cat", "dog")),
        (2, {"dataset_meta": {"CLASSES": ("cat", "dog")}}, ("cat", "dog")),
        (80, {"CLASSES": tuple(name.replace(" ", "_") for name in CLASS_NAMES)}, CLASS_NAMES),
        (3, {}, ()),
    ],
)
def test_class_names_are_those_of_the_file(
    tmp_path: Path, num_classes: int, meta: dict[str, Any], names: tuple[str, ...]
) -> None:
    told = tell(tmp_path, num_classes=num_classes, **meta)
    assert (told.class_names, told.assumptions) == (names, (PYTORCH,))
    assert told.category_ids == (CATEGORY_IDS if num_classes == 80 else ())


def test_class_names_that_are_not_as_many_as_the_classes_are_not_used(tmp_path: Path) -> None:
    told = tell(tmp_path, num_classes=3, CLASSES=CLASS_NAMES)
    assert told.class_names == ()
    assert told.assumptions[-1] == "the 80 class names in the file are of other classes"
