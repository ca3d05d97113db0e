"""Panoptic FPN in detectron2's layout, read back: semantic logits, labels and segments as its definition gives them.

Shown with `pytest -s`: the largest differences.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES, STUFF_IDS, STUFF_NAMES
from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.checkpoints.manifest import find
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.model.semantic_head import SemanticHead
from maskrcnn.prediction.predictor import Predictor
from tests.checkpoints.families.test_detectron2 import SLIM, draw_shapes
from tests.conditioning import condition
from tests.oracles import detectron2_model as oracle
from tests.oracles import panoptic_merge
from tests.oracles.detectron2_layout import to_detectron2, write_pkl
from tests.oracles.detectron2_model import Options
from tests.tiny import batch

SIZE = (190, 251)
LOGITS = 1e-3  # allowed difference; they have a standard deviation of 2
COMBINE = {"INSTANCES_CONFIDENCE_THRESH": 0.2, "OVERLAP_THRESH": 0.4, "STUFF_AREA_LIMIT": 500}
CONFIG = {
    "INPUT": {"MIN_SIZE_TEST": 240, "MAX_SIZE_TEST": 280},
    "DATASETS": {"TRAIN": ["coco_2017_train_panoptic_separated"]},
    "MODEL": {
        "META_ARCHITECTURE": "PanopticFPN",
        "MASK_ON": True,
        "SEM_SEG_HEAD": {
            "NAME": "SemSegFPNHead",
            "LOSS_WEIGHT": 0.25,
            "NORM": "GN",
            "NUM_CLASSES": 54,
            "CONVS_DIM": 32,
        },
        "PANOPTIC_FPN": {"COMBINE": COMBINE},
    },
}


def slim(norm: str, num_stuff: int) -> dict[str, Any]:
    branch = {"class_names": ("things", *map(str, range(num_stuff))), "channels": 32, "norm": norm}
    return overlay(SLIM, {"semantic_head": branch})


@cache
def weights_of(norm: str = "gn", num_stuff: int = 53, num_classes: int = 80) -> dict[str, Tensor]:
    """Slim random weights under detectron2's names, which find much in the pictures."""
    torch.manual_seed(3)
    names = [f"class {i}" for i in range(num_classes)]
    resize = {"shortest_edge": 240, "longest_edge": 280}
    model = build_model(model_settings("detectron2_msra", resize=resize, class_names=names, **slim(norm, num_stuff)))
    for layer in [*model.rpn.convs.modules(), *model.mask_head.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in" if isinstance(layer, nn.Conv2d) else "fan_out")
    condition(model, [draw_shapes((224, 288), seed=1)], background_logit=4.0)
    return to_detectron2(model.state_dict())


@pytest.mark.parametrize("norm", ["gn", "none"])
def test_logits_labels_and_segments_are_detectron2s(norm: str, tmp_path: Path):
    weights = weights_of(norm)
    write_pkl(tmp_path / "model.pkl", weights)
    config = overlay(CONFIG, {"MODEL": {"SEM_SEG_HEAD": {"NORM": "GN" if norm == "gn" else ""}}})
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"_BASE_": "Base-RCNN-FPN.yaml", **config}))
    predictor = Predictor(tmp_path / "model.pkl", device="cpu")
    picture = draw_shapes(SIZE, seed=2)
    found = predictor(picture)
    options = Options(min_size_test=240, max_size_test=280)
    logits = oracle.semantic_logits(weights, picture, options)
    labels = found.maps["semantic"].long()
    images = batch(predictor.model, [picture])
    head = predictor.model.get_submodule("semantic_head")
    assert isinstance(head, SemanticHead)
    with torch.inference_mode():
        mine = head.at_original(head(predictor.model.dense(images.pixels).levels)[0], images, 0)
    print(f"detectron2 panoptic {norm}: logits {float((mine - logits).abs().max()):.1e}")
    assert float((mine - logits).abs().max()) <= LOGITS
    # Where the two best logits are nearly the same, either may win.
    shortfall = logits.amax(dim=0) - logits.gather(0, labels[None])[0]
    print(f"detectron2 panoptic {norm}: {float((shortfall > 0).float().mean()):.1e} of the pixels have another label")
    assert float(shortfall.max()) <= LOGITS
    assert len(labels.unique()) > 10
    theirs = oracle.detect(weights, picture, options)
    assert len(found) == len(theirs.boxes) > 20
    ids, segments = panoptic_merge.merge(
        found.bitmaps(), found.labels.tolist(), found.scores.tolist(), labels.numpy(), 0.2, 0.4, 500
    )
    scene = predictor.panoptic(picture)
    assert np.array_equal(scene.ids, ids)
    assert [(s.id, s.label, s.is_thing, s.area) for s in scene.segments] == segments
    things = [s for s in scene.segments if s.is_thing]
    assert 2 <= len(things) < len(scene.segments)
    assert {float(found.scores[s.instance]) for s in things if s.instance is not None} == {s.score for s in things}


@torch.inference_mode()
def test_the_branch_alone_is_theirs_to_rounding(tmp_path: Path):
    write_pkl(tmp_path / "model.pkl", weights_of())
    model = load_weights(tmp_path / "model.pkl").build()
    pixels = torch.randn(1, 3, 96, 128)
    levels = oracle.pyramid(weights_of(), pixels, Options())
    total = torch.zeros(())
    for i, x in enumerate(levels[:4]):
        for k in range(max(1, i)):
            x = oracle.conv(weights_of(), f"sem_seg_head.p{i + 2}.{2 * k}", x).relu()
            x = x if i == 0 else oracle.enlarged(x, (2 * x.shape[2], 2 * x.shape[3]))
        total = total + x
    expected = oracle.conv(weights_of(), "sem_seg_head.predictor", total)
    mine = model.get_submodule("semantic_head")(model.dense(pixels).levels)
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_a_file_of_the_model_zoo_is_used_as_published(tmp_path: Path):
    write_pkl(tmp_path / "model_final_c10459.pkl", weights_of())
    imported = import_checkpoint(tmp_path / "model_final_c10459.pkl")
    settings, branch = imported.settings, imported.settings.semantic_head
    assert branch is not None
    assert branch.class_names == ("things", *STUFF_NAMES)
    assert branch.category_ids == STUFF_IDS
    assert (branch.min_score, branch.max_overlap, branch.min_stuff_area) == (0.5, 0.5, 4096)
    assert (settings.class_names, settings.category_ids) == (CLASS_NAMES, CATEGORY_IDS)
    assert settings.detection.score_threshold == 0.05
    assert settings.detection.max_detections == 100
    assert "80 classes and 53 of stuff" in imported.sentence


def test_the_yaml_beside_it_says_how_scenes_are_made(tmp_path: Path):
    write_pkl(tmp_path / "model.pkl", weights_of())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"_BASE_": "../Base-RCNN-FPN.yaml", **CONFIG}))
    branch = import_checkpoint(tmp_path / "model.pkl").settings.semantic_head
    assert branch is not None
    assert (branch.min_score, branch.max_overlap, branch.min_stuff_area, branch.loss_weight) == (0.2, 0.4, 500, 0.25)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"META_ARCHITECTURE": "GeneralizedRCNN"}, "META_ARCHITECTURE .* only 'PanopticFPN' can"),
        ({"SEM_SEG_HEAD": {"NUM_CLASSES": 19}}, "SEM_SEG_HEAD.NUM_CLASSES is 19, but .* say 54"),
        ({"SEM_SEG_HEAD": {"NORM": ""}}, "SEM_SEG_HEAD.NORM is '', but .* have group norms"),
        ({"SEM_SEG_HEAD": {"IN_FEATURES": ["p3", "p4"]}}, "SEM_SEG_HEAD.IN_FEATURES"),
        ({"PANOPTIC_FPN": {"COMBINE": {"OVERLAP_THRESH": 2}}}, "semantic_head.max_overlap"),
    ],
)
def test_a_yaml_of_something_else_is_refused(group: dict[str, Any], message: str, tmp_path: Path):
    write_pkl(tmp_path / "model.pkl", weights_of())
    config = overlay(CONFIG, {"MODEL": group})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"_BASE_": "../Base-RCNN-FPN.yaml", **config}))
    with pytest.raises(ValueError, match=message):
        import_checkpoint(tmp_path / "model.pkl")


def test_other_numbers_of_classes_have_numbers_for_names(tmp_path: Path):
    write_pkl(tmp_path / "model.pkl", weights_of("gn", 2, 3))
    imported = import_checkpoint(tmp_path / "model.pkl")
    assert imported.settings.semantic_head is not None
    assert imported.settings.semantic_head.class_names == ("things", "stuff 1", "stuff 2")
    assert "kinds of stuff called stuff 1 to stuff 2" in imported.sentence


@pytest.mark.parametrize(("depth", "num_values"), [(50, 44_449_456), (101, 63_493_808)])
def test_the_real_architecture_has_our_names_and_shapes(depth: int, num_values: int):
    branch = {"class_names": ("things", *STUFF_NAMES)}
    settings = model_settings(
        "detectron2_msra", backbone={"depth": depth}, class_names=CLASS_NAMES, semantic_head=branch
    )
    with torch.device("meta"):
        weights = to_detectron2(build_model(settings).state_dict())
    own = {name: tuple(t.shape) for name, t in weights.items() if name.startswith("sem_seg_head.")}
    convs = ["p2.0", "p3.0", "p4.0", "p4.2", "p5.0", "p5.2", "p5.4"]
    expected: dict[str, tuple[int, ...]] = {"predictor.weight": (54, 128, 1, 1), "predictor.bias": (54,)}
    for conv in convs:
        expected[f"{conv}.weight"] = (128, 256 if conv.endswith(".0") else 128, 3, 3)
        expected |= {f"{conv}.norm.{leaf}": (128,) for leaf in ("weight", "bias")}
    assert own == {f"sem_seg_head.{name}": shape for name, shape in expected.items()}
    rest = sum(t.numel() for name, t in weights.items() if name not in own)
    assert rest == num_values  # as the instance files of the same body


def test_the_zoo_has_the_published_files():
    figures = {name: (find(name).box_ap, find(name).mask_ap, find(name).pq) for name in (  # pyright: ignore
        "panoptic_fpn_R_50_1x", "panoptic_fpn_R_50_3x", "panoptic_fpn_R_101_3x")}  # fmt: skip
    assert figures == {
        "panoptic_fpn_R_50_1x": (37.6, 34.7, 39.4),
        "panoptic_fpn_R_50_3x": (40.0, 36.5, 41.5),
        "panoptic_fpn_R_101_3x": (42.4, 38.5, 43.0),
    }
    assert len(STUFF_NAMES) == len(set(STUFF_NAMES)) == len(STUFF_IDS) == 53
    assert not set(STUFF_NAMES) & set(CLASS_NAMES)
