"""What a network is, told from its tensors alone."""

from typing import Any

import pytest
import torch

from maskrcnn.checkpoints.structure import NEEDED, EntryError, body_name, missing_parts, num_classes_of, structure_of
from maskrcnn.config import ModelSettings, model_settings
from maskrcnn.model.build import build_model

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("torchvision_v1", {}),
    ("torchvision_v2", {}),
    ("detectron2_lsj", {}),
    ("matterport", {}),
    ("maskrcnn", {"backbone": {"depth": 18, "stem_channels": 32, "norm": "gn"}, "fpn": {"channels": 64, "norm": "gn"}}),
    ("detectron2_msra", {"backbone": {"depth": 101, "groups": 32, "width_per_group": 8, "stride_in_1x1": False}}),
    ("mmdet_pytorch", {"backbone": {"depth": 34}, "rpn": {"channels": 64, "convs": 3}, "roi": {"box_resolution": 5}}),
    ("maskrcnn", {"box_head": {"class_agnostic": True, "fcs": 3}, "mask_head": {"class_agnostic": True, "convs": 2}}),
]


def state_of(settings: ModelSettings) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build_model(settings).state_dict()


@pytest.mark.parametrize(("preset", "differences"), NETWORKS, ids=str)
def test_the_network_can_be_rebuilt_from_its_tensors(preset: str, differences: dict[str, Any]):
    settings = model_settings(preset, class_names=["a", "b", "c"], **differences)
    state = state_of(settings)
    structure = structure_of(state, "frozen_bn" if settings.backbone.norm == "frozen_bn" else "bn")
    assert tuple(structure) == ("backbone", "fpn", "rpn", "box_head", "roi", "mask_head")
    assert num_classes_of(state) == 3
    rebuilt = model_settings("maskrcnn", class_names=["a", "b", "c"], **structure)
    assert {name: t.shape for name, t in state_of(rebuilt).items()} == {name: t.shape for name, t in state.items()}


def test_parts_that_lack_are_named_and_left_out():
    state = {name: t for name, t in state_of(model_settings()).items() if name.startswith(("backbone.", "fpn."))}
    assert set(structure_of(state)) == {"backbone", "fpn"}
    assert num_classes_of(state) is None
    assert missing_parts(state) == ["rpn", "box_head", "mask_head"]


def test_one_entry_that_lacks_does_not_make_it_another_network():
    state = state_of(model_settings("matterport", class_names=["a", "b"], backbone={"depth": 50}))
    whole = structure_of(state, "frozen_bn")
    for name in state:
        if name not in NEEDED and not name.startswith(("backbone.stages.1", "backbone.stages.2", "backbone.stages.3")):
            assert structure_of({n: t for n, t in state.items() if n != name}, "frozen_bn") == whole, name


def test_an_entry_of_another_shape_is_named():
    state = state_of(model_settings(class_names=["a", "b"]))
    for name in NEEDED:
        axes = state[name].ndim
        for shape in ((), (7,), (0,), (0, *state[name].shape[1:])):
            if name == "mask_head.logits.weight":  # nothing follows from it but whether it is one for all classes
                assert structure_of({**state, name: torch.zeros(shape)}) == structure_of(state)
                continue
            with pytest.raises(EntryError) as error:
                structure_of({**state, name: torch.zeros(shape)})
            assert error.value.entry == name
            assert error.value.problem == f"has the shape {shape}, expected {axes} axes, none of them empty"
    with pytest.raises(
        EntryError, match=r"class_logits\.weight has 1 row, expected one for every class and one for the"
    ):
        num_classes_of({"box_head.class_logits.weight": torch.zeros(1, 8)})


def test_a_body_that_cannot_be_built_is_refused():
    state = state_of(model_settings(backbone={"depth": 50}))
    cut = {name: t for name, t in state.items() if not name.startswith("backbone.stages.2.5.")}
    with pytest.raises(ValueError, match=r"a body of \(3, 4, 5, 3\) bottleneck blocks; known: R18"):
        structure_of(cut)


def test_bodies_have_the_names_of_the_literature():
    assert body_name({"depth": 101}) == "R101-FPN"
    assert body_name({"depth": 101, "groups": 32, "width_per_group": 8}) == "X101-32x8d-FPN"
