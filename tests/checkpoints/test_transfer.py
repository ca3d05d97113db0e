"""Starting from other weights: rows of classes of the same name go along, all else of the heads is fresh."""

from typing import Any

import pytest
import torch

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.transfer import settings_from, transfer
from maskrcnn.config import PRESETS, Config, ModelSettings, model_settings, validate
from maskrcnn.model.build import build_model
from tests.tiny import tiny_settings


def settings(*class_names: str, **differences: dict[str, Any]) -> ModelSettings:
    return tiny_settings("maskrcnn", **differences).model_copy(update={"class_names": class_names})


def checkpoint(of: ModelSettings) -> Checkpoint:
    """Every entry holds different numbers."""
    torch.manual_seed(7)
    return Checkpoint(of, {name: torch.randn(t.shape) for name, t in build_model(of).state_dict().items()}, {})


def test_the_same_classes_are_loaded_as_they_are():
    source = checkpoint(settings("square", "disc"))
    model = build_model(source.settings)
    done = transfer(model, source.settings, source)
    assert done.fitted == done.reinitialised == done.unused == done.new_classes == ()
    assert all(torch.equal(tensor, source.tensors[name]) for name, tensor in model.state_dict().items())


def test_rows_follow_the_names_of_the_classes():
    # Old labels: square 0, disc 1, background 2. New: star 0, DISC 1, background 2.
    source = checkpoint(settings("square", "disc"))
    target = settings("star", "DISC ")
    model = build_model(target)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = transfer(model, target, source)
    old, new = source.tensors, model.state_dict()
    for leaf in ("weight", "bias"):
        logits, deltas, masks = (
            f"{m}.{leaf}" for m in ("box_head.class_logits", "box_head.deltas", "mask_head.logits")
        )
        assert torch.equal(new[logits][1:], old[logits][1:])  # disc and the background
        assert torch.equal(new[logits][0], fresh[logits][0])
        assert torch.equal(new[deltas][4:], old[deltas][4:])
        assert torch.equal(new[deltas][:4], fresh[deltas][:4])
        assert torch.equal(new[masks][1], old[masks][1])
        assert torch.equal(new[masks][0], fresh[masks][0])
    assert len(done.fitted) == 6
    assert (done.kept_classes, done.new_classes) == (("DISC ",), ("star",))
    assert "classes kept: DISC ; new: star" in done.table()


def test_new_names_keep_only_the_background():
    source, target = checkpoint(settings("square", "disc")), settings("star")
    model = build_model(target)
    done = transfer(model, target, source)
    assert torch.equal(
        model.state_dict()["box_head.class_logits.bias"][1:], source.tensors["box_head.class_logits.bias"][2:]
    )
    assert {name.rpartition(".")[0] for name in done.reinitialised} == {"box_head.deltas", "mask_head.logits"}


def test_heads_for_all_classes_together_are_loaded_whatever_the_classes_are():
    agnostic = {"box_head": {"class_agnostic": True}, "mask_head": {"class_agnostic": True}}
    source, target = checkpoint(settings("square", "disc", **agnostic)), settings("star", **agnostic)
    model = build_model(target)
    transfer(model, target, source)
    for name in ("box_head.deltas.weight", "mask_head.logits.bias"):
        assert torch.equal(model.state_dict()[name], source.tensors[name])


def test_classes_whose_rows_do_not_fit_are_not_called_kept():
    source = checkpoint(settings("square", "disc"))
    target = settings("star", "disc", box_head={"fc_channels": 32})  # the mask head's rows fit
    done = transfer(build_model(target), target, source)
    assert (done.kept_classes, done.unkept_classes, done.new_classes) == ((), ("disc",), ("star",))
    assert done.table().endswith(
        "classes kept: none; new: star; of the same name, but with fresh rows in box_head.class_logits, "
        "box_head.deltas: disc"
    )
    whole = checkpoint(settings("square", "disc"))
    untrained = Checkpoint(whole.settings, whole.tensors, {}, untrained=("mask_head.logits.weight",))
    assert transfer(build_model(whole.settings), whole.settings, untrained).unkept_classes == ("square", "disc")


def test_parts_of_another_size_are_fresh_and_named():
    source = checkpoint(settings("square", "disc"))
    target = settings("square", "disc", box_head={"fc_channels": 32})
    done = transfer(build_model(target), target, source)
    assert {name.rpartition(".")[0] for name in done.reinitialised} == {
        "box_head.fcs.0",
        "box_head.fcs.2",
        "box_head.class_logits",
        "box_head.deltas",
    } - {"box_head.class_logits.bias"}


def test_what_was_never_trained_is_not_taken_over():
    source = checkpoint(settings("square", "disc"))
    source = Checkpoint(source.settings, source.tensors, {}, untrained=("rpn.objectness.weight",))
    done = transfer(build_model(source.settings), source.settings, source)
    assert done.reinitialised == ("rpn.objectness.weight",)


def test_another_body_is_refused():
    source = checkpoint(settings("square", "disc"))
    target = settings("square", "disc", backbone={"stem_channels": 64})
    with pytest.raises(ValueError, match="nothing of the backbone fits"):
        transfer(build_model(target), target, source)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"backbone": {"depth": 50}}, "model.backbone.depth is 50, not 101"),
        (
            {"backbone": {"depth": 50, "stem_channels": 32}},
            "model.backbone.depth is 50, not 101, model.backbone.stem_channels is 32, not 64",
        ),
        ({"backbone": {"conv_bias": True}}, "model.backbone.conv_bias is True, not False"),
    ],
)
def test_a_configuration_that_asks_for_another_body_is_refused(model: dict[str, Any], said: str):
    source = Checkpoint(model_settings("detectron2_msra", class_names=["cat"]), {}, {})
    with pytest.raises(ValueError, match=rf"another body than that of the weights to start from: {said}; leave that"):
        settings_from(validate(Config, {"model": model}, "test"), source)


def test_a_preset_with_other_conventions_is_said_setting_by_setting():
    source = Checkpoint(model_settings("torchvision_own", class_names=["cat"]), {}, {})
    config = validate(Config, {"model": PRESETS["matterport"] | {"backbone": {"stem_pool": "same"}}}, "test")
    merged, changes = settings_from(config, source)
    assert merged.model.family == "matterport"
    assert {
        "model.resize.mode is square, shortest_edge in the weights to start from",
        "model.backbone.stem_pool is same, symmetric in the weights to start from",
    } <= set(changes)


def test_what_belongs_to_the_old_classes_stays_behind():
    exclusive = {"exclusive_classes": (("cat", "dog"),), "score_threshold": 0.9}
    theirs = model_settings("maskrcnn", class_names=["cat", "dog"], detection=exclusive)
    merged, changes = settings_from(validate(Config, {}, "test"), Checkpoint(theirs, {}, {}))
    assert merged.model.detection.exclusive_classes == ()  # of classes that the new model may not have
    assert changes == ()
    build_model(merged.model.model_copy(update={"class_names": ("eel",)}))


def test_the_conventions_come_along_unless_the_configuration_says_otherwise():
    theirs = model_settings("detectron2_msra", class_names=["cat"], detection={"score_threshold": 0.05})
    config = validate(Config, {"model": {"resize": {"shortest_edge": 480}}, "train": {"steps": 5}}, "test")
    merged, changes = settings_from(config, Checkpoint(theirs, {}, {}))
    assert merged.model.pixels == theirs.pixels
    assert merged.model.backbone == theirs.backbone
    assert merged.model.resize == theirs.resize.model_copy(update={"shortest_edge": 480})
    assert merged.model.family == "detectron2_msra"
    assert merged.train.steps == 5
    assert changes == ("model.resize.shortest_edge is 480, 800 in the weights to start from",)
    # A threshold that was recommended for other classes says nothing about the new ones.
    assert merged.model.detection.score_threshold == ModelSettings().detection.score_threshold
