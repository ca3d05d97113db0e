"""From settings to a model: every preset, the published sizes, and that settings arrive."""

import dataclasses

import pytest
import torch

from maskrcnn.config import PRESETS, model_settings
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.roi_pooler import RoIPooler

HIDDEN = 1024  # width of the box head's last layer
MASK_CHANNELS = 256


def names(num: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(num))


def build_on_meta(preset: str, num_classes: int, **differences: dict) -> MaskRCNN:
    """A model without memory or values, only shapes."""
    with torch.device("meta"):
        return build_model(model_settings(preset, class_names=names(num_classes), **differences))


def num_parameters(model: MaskRCNN) -> int:
    return sum(p.numel() for p in model.parameters())


class TestPublishedSizes:
    """Totals that the families publish, or that follow from their layer shapes."""

    @pytest.mark.parametrize(("depth", "total"), [(50, 44_343_216), (101, 63_283_120)])
    def test_detectron2_and_mmdetection(self, depth: int, total: int):
        # Background last and without deltas or masks of its own, as here. Batch norms are frozen: no parameters.
        model = build_on_meta("detectron2_msra", 80, backbone={"depth": depth})
        assert num_parameters(model) == total

    @pytest.mark.parametrize(("preset", "total"), [("torchvision_v1", 44_401_393), ("torchvision_v2", 46_359_409)])
    def test_torchvision(self, preset: str, total: int):
        # 91 classes there are 90 and the background, which has four rows of deltas and a mask there that nothing reads.
        background = 4 * (HIDDEN + 1) + (MASK_CHANNELS + 1)
        assert num_parameters(build_on_meta(preset, 90)) == total - background

    def test_torchvision_with_101_layers(self):
        background = 4 * (HIDDEN + 1) + (MASK_CHANNELS + 1)
        model = build_on_meta("torchvision_v1", 90, backbone={"depth": 101})
        assert num_parameters(model) == 63_341_297 - background

    @pytest.mark.parametrize(("depth", "total"), [(101, 64_158_584), (50, 45_088_120)])
    def test_matterport(self, depth: int, total: int):
        # All stored values, statistics of batch norms too. What we have no place for: deltas and mask of the
        # background, one of two objectness channels for each of 3 anchors (softmax becomes sigmoid), and the biases
        # of the four mask convolutions, which go into their norms.
        model = build_on_meta("matterport", 80, backbone={"depth": depth})
        stored = sum(v.numel() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked"))
        background = 4 * (HIDDEN + 1) + (MASK_CHANNELS + 1)
        assert stored == total - background - 3 * (512 + 1) - 4 * MASK_CHANNELS

    @pytest.mark.parametrize("num_classes", [1, 7])
    def test_a_class_costs_a_logit_four_deltas_and_a_mask(self, num_classes: int):
        for agnostic in (False, True):
            heads = {"box_head": {"class_agnostic": agnostic}, "mask_head": {"class_agnostic": agnostic}}
            grown = num_parameters(build_on_meta("maskrcnn", num_classes + 1, **heads))
            grown -= num_parameters(build_on_meta("maskrcnn", num_classes, **heads))
            own = 0 if agnostic else 4 * (HIDDEN + 1) + (MASK_CHANNELS + 1)
            assert grown == (HIDDEN + 1) + own


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_arrive(preset: str):
    settings = model_settings(preset, class_names=names(3), backbone={"depth": 50, "frozen_stages": 1})
    with torch.device("meta"):
        model = build_model(settings)
    assert model.training
    assert model.class_names == names(3)
    assert dataclasses.asdict(model.resize) == settings.resize.model_dump()
    assert dataclasses.asdict(model.rpn.anchors) == settings.anchors.model_dump() | {"strides": model.fpn.strides}
    pixels, pad = settings.pixels, settings.pad
    expected = (pixels.order, pixels.mean, pixels.std, pad.position, pad.divisor, pad.value)
    assert dataclasses.astuple(model.normalise) == expected
    rules = dataclasses.asdict(model.rpn.rules)
    assert rules == {key: value for key, value in settings.rpn.model_dump().items() if key in rules}
    training = dataclasses.asdict(model.rpn.train_rules)
    limits = {"pre_nms_top_n": settings.rpn.train_pre_nms_top_n, "post_nms_top_n": settings.rpn.train_post_nms_top_n}
    assert training == rules | limits | {"zero_padded": False}
    detection = settings.detection.model_dump()
    edge = 1.0 if detection.pop("box_edges") == "inclusive" else 0.0
    assert [part.edge for part in (model.rpn, model.box_head, model.mask_head)] == [edge] * 3
    assert detection.pop("exclusive_classes") == ()
    assert dataclasses.asdict(model.box_head.rules) == detection | {"nms_groups": None}
    roi = settings.roi.model_dump()
    assert model.box_head.pooler is model.mask_head.pooler
    pooler = {field.name: getattr(model.box_head.pooler, field.name) for field in dataclasses.fields(RoIPooler)}
    assert {key: value for key, value in pooler.items() if key in roi} == {k: roi[k] for k in pooler if k in roi}
    assert pooler["strides"] == model.fpn.roi_strides
    assert (model.box_head.resolution, model.mask_head.resolution) == (roi["box_resolution"], roi["mask_resolution"])
    for part, group in ((model.rpn, settings.rpn), (model.box_head, settings.box_head)):
        assert (part.delta_weights, part.delta_clamp) == (group.delta_weights, group.delta_clamp)
    assert model.mask_head.paste_mode == settings.mask_head.paste
    assert model.box_head.rounds_boxes == (settings.mask_head.paste == "integer")
    assert not any(p.requires_grad for p in model.backbone.stem.parameters())
    rpn = settings.rpn
    expected = (rpn.foreground_iou, rpn.background_iou, rpn.anchors_per_image, rpn.positive_fraction)
    assert dataclasses.astuple(model.rpn.anchor_rules) == (*expected, rpn.smooth_l1_beta)
    expected = (settings.roi.foreground_iou, settings.roi.proposals_per_image, settings.roi.positive_fraction)
    assert dataclasses.astuple(model.box_head.sampling) == expected
    assert model.box_head.smooth_l1_beta == settings.box_head.smooth_l1_beta


@pytest.mark.parametrize("preset", PRESETS)
def test_batch_norms_have_the_eps_of_the_family(preset: str):
    settings = model_settings(preset, class_names=names(2), backbone={"depth": 50})
    with torch.device("meta"):
        model = build_model(settings)
    eps = {module.eps for module in model.modules() if hasattr(module, "running_var")}
    expected = {"torchvision_v1": 0.0, "matterport": 1e-3}.get(preset, 1e-5)
    assert eps == {expected}


def test_a_seed_decides_the_initial_weights():
    settings = model_settings(backbone={"depth": 18, "stem_channels": 32}, fpn={"channels": 32})
    models = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        models.append(build_model(settings).state_dict())
    first, second, other = models
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["rpn.objectness.weight"], other["rpn.objectness.weight"])


def test_groups_of_exclusive_classes_are_told_by_name():
    names = ["cat", "dog", "car", "truck"]

    def groups(exclusive: object) -> tuple[int, ...] | None:
        settings = model_settings(class_names=names, detection={"exclusive_classes": exclusive})
        with torch.device("meta"):
            return build_model(settings).box_head.rules.nms_groups

    assert groups(()) is None
    assert groups("all") == (0, 0, 0, 0)
    assert groups([["dog", "cat"], ["car", "truck"]]) == (1, 1, 2, 2)
    known = "known: cat, dog, car, truck"
    with pytest.raises(ValueError, match=rf"detection\.exclusive_classes: no class 'zebra'; {known}"):
        groups([["zebra", "cat"]])
    with pytest.raises(ValueError, match=rf"no class 'Trucks'; did you mean truck\?; {known}"):
        groups([["car", "Trucks"]])
