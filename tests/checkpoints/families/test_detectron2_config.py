"""What the YAML beside a file of detectron2 says about how it must be used."""

from pathlib import Path

import pytest
import torch
import yaml

from maskrcnn.config import model_settings, overlay
from maskrcnn.model.preprocess import Resize
from tests.checkpoints.families.detectron2_told import MSRA, RGB_MEAN, RGB_STD, X101, settings_of, tell, weights_of

# What `detectron2.config.get_cfg().dump()` gives of the keys that are looked at, for a Mask R-CNN R50-FPN.
DUMPED = """
DATASETS: {TEST: [], TRAIN: [coco_2017_train]}
INPUT: {FORMAT: BGR, MAX_SIZE_TEST: 1333, MIN_SIZE_TEST: 800, MIN_SIZE_TRAIN: [640, 800]}
MODEL:
  ANCHOR_GENERATOR:
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
    NAME: DefaultAnchorGenerator
    OFFSET: 0.0
    SIZES: [[32], [64], [128], [256], [512]]
  BACKBONE: {FREEZE_AT: 2, NAME: build_resnet_fpn_backbone}
  FPN: {FUSE_TYPE: sum, IN_FEATURES: [res2, res3, res4, res5], NORM: '', OUT_CHANNELS: 256}
  KEYPOINT_ON: false
  LOAD_PROPOSALS: false
  MASK_ON: true
  META_ARCHITECTURE: GeneralizedRCNN
  PIXEL_MEAN: [103.53, 116.28, 123.675]
  PIXEL_STD: [1.0, 1.0, 1.0]
  PROPOSAL_GENERATOR: {MIN_SIZE: 0, NAME: RPN}
  RESNETS:
    DEFORM_ON_PER_STAGE: [false, false, false, false]
    DEPTH: 50
    NORM: FrozenBN
    NUM_GROUPS: 1
    RES5_DILATION: 1
    STEM_OUT_CHANNELS: 64
    STRIDE_IN_1X1: true
    WIDTH_PER_GROUP: 64
  ROI_BOX_HEAD:
    BBOX_REG_WEIGHTS: [10.0, 10.0, 5.0, 5.0]
    CLS_AGNOSTIC_BBOX_REG: false
    CONV_DIM: 256
    FC_DIM: 1024
    NAME: FastRCNNConvFCHead
    NORM: ''
    NUM_CONV: 0
    NUM_FC: 2
    POOLER_RESOLUTION: 7
    POOLER_SAMPLING_RATIO: 0
    POOLER_TYPE: ROIAlignV2
  ROI_HEADS:
    IN_FEATURES: [p2, p3, p4, p5]
    NAME: StandardROIHeads
    NMS_THRESH_TEST: 0.5
    NUM_CLASSES: 80
    SCORE_THRESH_TEST: 0.05
  ROI_MASK_HEAD:
    CLS_AGNOSTIC_MASK: false
    CONV_DIM: 256
    NAME: MaskRCNNConvUpsampleHead
    NORM: ''
    NUM_CONV: 4
    POOLER_RESOLUTION: 14
    POOLER_SAMPLING_RATIO: 0
    POOLER_TYPE: ROIAlignV2
  RPN:
    BBOX_REG_WEIGHTS: [1.0, 1.0, 1.0, 1.0]
    HEAD_NAME: StandardRPNHead
    IN_FEATURES: [p2, p3, p4, p5, p6]
    NMS_THRESH: 0.7
    POST_NMS_TOPK_TEST: 1000
    PRE_NMS_TOPK_TEST: 1000
TEST: {DETECTIONS_PER_IMAGE: 100}
VERSION: 2
"""


class TestTheConfig:
    def test_a_dumped_one_of_the_published_model_gives_the_preset(self, tmp_path: Path) -> None:
        told = tell(tmp_path, config=DUMPED)
        assert told.facts == (
            "BGR, stride in 1x1: from the config config.yaml beside it",
            "the class names of COCO",
        )
        assert told.assumptions == ()
        assert settings_of(told) == model_settings("detectron2_msra")

    def test_it_beats_the_file_and_the_preset(self, tmp_path: Path) -> None:
        weights = weights_of() | {"pixel_mean": torch.tensor([103.53, 116.28, 123.675]), "pixel_std": torch.ones(3)}
        config = {
            "INPUT": {"FORMAT": "RGB"},
            "MODEL": {"PIXEL_MEAN": RGB_MEAN, "PIXEL_STD": RGB_STD, "RESNETS": {"STRIDE_IN_1X1": False}},
        }
        told = tell(tmp_path, weights, config, preset="detectron2_msra", name="model_final.yml")
        sentence = "RGB, divided by a std, stride in 3x3: from the config model_final.yml beside it"
        assert (told.facts, told.assumptions) == ((sentence,), ("the class names of COCO",))
        settings = settings_of(told)
        assert (settings.pixels.order, settings.pixels.mean) == ("rgb", tuple(RGB_MEAN))
        assert not settings.backbone.stride_in_1x1

    def test_the_one_of_the_same_name_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text(DUMPED)
        told = tell(tmp_path, config={"MODEL": {"RPN": {"NMS_THRESH": 0.6}}}, name="model_final.yaml")
        assert settings_of(told).rpn.nms_threshold == 0.6

    def test_keys_that_it_lacks_have_detectron2s_defaults(self, tmp_path: Path) -> None:
        # As detectron2 would read it: also for a body that it publishes otherwise.
        told = tell(
            tmp_path, weights_of(backbone=X101), {"_BASE_": "../Base-RCNN-FPN.yaml", "MODEL": {"MASK_ON": True}}
        )
        assert told.facts == ("BGR, stride in 1x1: from the config config.yaml beside it",)
        assert settings_of(told).pixels.std == (1, 1, 1)

    def test_a_base_that_is_there_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text("MODEL: {RPN: {NMS_THRESH: 0.6, POST_NMS_TOPK_TEST: 300}}")
        told = tell(tmp_path, config={"_BASE_": "base.yaml", "MODEL": {"RPN": {"NMS_THRESH": 0.65}}})
        assert (settings_of(told).rpn.nms_threshold, settings_of(told).rpn.post_nms_top_n) == (0.65, 300)
        (tmp_path / "base.yaml").write_text("_BASE_: config.yaml")
        with pytest.raises(ValueError, match=r"base\.yaml: its _BASE_ config\.yaml leads back to itself"):
            tell(tmp_path)

    def test_of_a_base_that_is_not_there_nothing_is_known(self, tmp_path: Path) -> None:
        config = {"_BASE_": "ours/x101.yaml", "MODEL": {"RPN": {"NMS_THRESH": 0.6}}, "INPUT": {"FORMAT": "RGB"}}
        told = tell(tmp_path, weights_of(backbone=X101), config)
        assert told.facts == ("RGB: from the config config.yaml beside it",)
        assert told.assumptions == (
            "divided by a std, stride in 3x3 (as in the published X101)",
            "the class names of COCO",
            "that x101.yaml, on which config.yaml builds and which is not there, changes nothing",
        )

    def test_training_sizes_do_not_matter_and_a_test_size_of_0_is_no_resizing(self, tmp_path: Path) -> None:
        config = {"INPUT": {"MIN_SIZE_TRAIN": [640], "MIN_SIZE_TEST": 1024, "MAX_SIZE_TEST": 2048}}
        resize = settings_of(tell(tmp_path, config=config | {"MODEL": {}})).resize
        assert (resize.shortest_edge, resize.longest_edge) == (1024, 2048)
        told = tell(tmp_path, config={"INPUT": {"MIN_SIZE_TEST": 0, "MAX_SIZE_TEST": 1333}, "MODEL": {}})
        assert Resize(**settings_of(told).resize.model_dump()).output_size((1500, 4000)) == (1500, 4000)

    def test_no_limit_of_the_detections(self, tmp_path: Path) -> None:
        told = tell(tmp_path, config={"TEST": {"DETECTIONS_PER_IMAGE": -1}, "MODEL": {}})
        assert settings_of(told).detection.max_detections > 10_000

    def test_other_data_than_coco_have_no_class_names(self, tmp_path: Path) -> None:
        told = tell(tmp_path, config={"DATASETS": {"TRAIN": '("eighty_things",)'}, "MODEL": {}})
        assert (told.class_names, told.category_ids) == ((), ())

    @pytest.mark.parametrize(("norm", "ours"), [("FrozenBN", "frozen_bn"), ("SyncBN", "bn"), ("BN", "bn")])
    def test_whether_norms_are_fixed(self, norm: str, ours: str, tmp_path: Path) -> None:
        told = tell(tmp_path, config={"MODEL": {"RESNETS": {"NORM": norm}}})
        assert settings_of(told).backbone.norm == ours

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ("MODEL.RESNETS.DEPTH: 101", "DEPTH is 101, but the weights in model_final.pth say 50"),
            ("MODEL.ROI_HEADS.NUM_CLASSES: 20", "NUM_CLASSES is 20, but the weights in model_final.pth say 80"),
            ("MODEL.MASK_ON: false", "MASK_ON is False, but the weights in model_final.pth say True"),
            ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG: true", "CLS_AGNOSTIC_BBOX_REG is True, but the weights"),
            ("MODEL.RESNETS.NORM: GN", "NORM is 'GN', but the weights in model_final.pth have batch norms"),
            ("MODEL.FPN.NORM: SyncBN", "NORM is 'SyncBN', but the weights in model_final.pth have no norm there"),
            (
                "MODEL.RESNETS.DEFORM_ON_PER_STAGE: [false, true, true, true]",
                "DEFORM_ON_PER_STAGE is .*cannot be built",
            ),
            ("MODEL.ROI_HEADS.NAME: CascadeROIHeads", "'CascadeROIHeads', which cannot be built here; only 'Standard"),
            ("MODEL.KEYPOINT_ON: true", "KEYPOINT_ON is True, which cannot be built here"),
            ("MODEL.BACKBONE.NAME: build_resnet_backbone", "'build_resnet_backbone', which cannot be built here"),
            ("MODEL.ANCHOR_GENERATOR.OFFSET: 0.5", "OFFSET is 0.5, which cannot be built here"),
            ("MODEL.ANCHOR_GENERATOR.SIZES: [[32, 64, 128]]", "several sizes on a level"),
            ("MODEL.ANCHOR_GENERATOR.SIZES: [[32], [64]]", "expected a list of numbers for each level"),
            ("MODEL.ANCHOR_GENERATOR.SIZES: 32", "expected a list of numbers for each level"),
            (
                "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS: [[1], [2], [1], [1], [1]]",
                "other ratios on another level, which cannot be built here",
            ),
            ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO: 2", "only the same for both heads can be built here"),
            ("INPUT.FORMAT: YUV-BT.601", "FORMAT is 'YUV-BT.601'; only 'BGR' and 'RGB'"),
            ("INPUT.MIN_SIZE_TEST: small", "resize.shortest_edge: .* got 'small'"),
            ("MODEL.PIXEL_MEAN: [1, 2]", "pixels.mean"),
        ],
    )
    def test_what_cannot_be_so_is_an_error_that_names_the_config(
        self, config: str, sentence: str, tmp_path: Path
    ) -> None:
        keys, value = config.split(": ", 1)
        nested = yaml.safe_load(value)
        for key in reversed(keys.split(".")):
            nested = {key: nested}
        with pytest.raises(ValueError, match=sentence) as error:
            tell(tmp_path, config=overlay({"MODEL": {}}, nested))
        assert str(error.value).startswith(str(tmp_path / "config.yaml"))

    def test_both_heads_may_read_regions_as_detectron1(self, tmp_path: Path) -> None:
        head = {"POOLER_TYPE": "ROIAlign", "POOLER_SAMPLING_RATIO": 2}
        told = tell(tmp_path, config={"MODEL": {"ROI_BOX_HEAD": head, "ROI_MASK_HEAD": head}})
        assert (settings_of(told).roi.aligned, settings_of(told).roi.sampling_ratio) == (False, 2)
        pool = {"POOLER_TYPE": "ROIPool"}
        with pytest.raises(ValueError, match="'ROIPool', which cannot be built here; only ROIAlignV2 and ROIAlign can"):
            tell(tmp_path, config={"MODEL": {"ROI_BOX_HEAD": pool, "ROI_MASK_HEAD": pool}})

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"MODEL: {RPN: [", "not valid YAML"),
            (b"\x80\xff\x00", "no text"),
            (b"- a\n- b", "got list"),
            (b"", "got NoneType"),
            (b"MODEL: {DATE: 2020-13-13}", "not valid YAML: month must be in 1..12"),
        ],
    )
    def test_a_damaged_one_is_named(self, content: bytes, sentence: str, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_bytes(content)
        with pytest.raises(ValueError, match=rf"config\.yaml: .*{sentence}") as error:
            tell(tmp_path)
        assert str(error.value).endswith(
            "; without config.yaml beside it model_final.pth loads with what is usual: move or remove it, or mend it"
        )

    @pytest.mark.parametrize(
        ("config", "note"),
        [
            (
                "model:\n  _target_: detectron2.modeling.GeneralizedRCNN\n  x: !!python/name:a.b\n",
                "that config.yaml beside it agrees, a LazyConfig, which is not read",
            ),
            ("model: {depth: 50}\n", "that config.yaml beside it is of something else, for it has no MODEL"),
        ],
    )
    def test_other_layouts_are_left_alone_and_said(self, config: str, note: str, tmp_path: Path) -> None:
        assert tell(tmp_path, config=config).assumptions == (MSRA, "the class names of COCO", note)
