"""Which tensors fit a model."""

import pytest
import torch

from maskrcnn.model.state import MOST_NAMED, compare_state, load_state, part_of
from tests.tiny import tiny_model


def spoilt() -> dict[str, torch.Tensor]:
    tensors = {name: tensor + 1 for name, tensor in tiny_model().state_dict().items()}
    tensors["rpn.objectness.more"] = tensors.pop("rpn.objectness.bias")
    tensors["box_head.deltas.bias"] = torch.zeros(5)
    return tensors


def test_every_misfit_is_listed_and_nothing_is_loaded():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="the weights do not fit the model\n") as error:
        load_state(model, spoilt())
    for line in (
        "missing: rpn.objectness.bias",
        "unexpected: rpn.objectness.more",
        "shape: box_head.deltas.bias is (5,), the model has (8,)",
    ):
        assert line in str(error.value).splitlines()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_table_counts_by_part():
    # Objectness: its weight fits, its bias lacks, and one entry is unknown.
    header, *rows = compare_state(tiny_model(), spoilt()).table().splitlines()
    assert header.split() == ["part", "matched", "missing", "unexpected", "other", "shape"]
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert table["rpn.objectness"] == ["1", "1", "1", "0"]
    assert table["box_head.deltas"] == ["1", "0", "0", "1"]
    assert table["backbone"][1:] == ["0", "0", "0"]


def test_what_fits_is_loaded_on_request():
    model, before = tiny_model(), tiny_model().state_dict()
    fit = load_state(model, spoilt(), is_partial=True)
    after = model.state_dict()
    assert len(fit.matched) == len(before) - 2
    for name in before:
        expected = before[name] + 1 if name in fit.matched else before[name]
        assert torch.equal(after[name], expected), name


def test_a_long_list_is_cut():
    lines = compare_state(tiny_model(), {}).table().splitlines()
    named = [line for line in lines if line.startswith("missing: ")]
    assert len(named) == MOST_NAMED + 1
    assert named[-1].endswith(" more")


def test_the_same_state_is_exact():
    assert compare_state(tiny_model(), tiny_model().state_dict()).is_exact


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("backbone.stages.0.1.conv1.conv.weight", "backbone"),
        ("backbone.stem.weight is (3,), the model has (4,)", "backbone"),
        ("box_head.fcs.0.weight", "box_head.fcs"),
        ("fpn.lateral.0.conv.weight", "fpn.lateral"),
        ("scale.weight", "scale"),
        ("scale", "scale"),
    ],
)
def test_parts_on_paper(entry: str, part: str):
    assert part_of(entry) == part
