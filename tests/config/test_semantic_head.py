"""The settings of the semantic branch."""

import pytest

from maskrcnn.config import model_settings


def test_it_is_off_unless_it_is_asked_for():
    assert model_settings().semantic_head is None
    branch = model_settings(semantic_head={}).semantic_head
    assert branch is not None
    assert (branch.min_score, branch.max_overlap, branch.min_stuff_area) == (0.5, 0.5, 4096)  # detectron2's
    assert branch.stuff_names == ("stuff",)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"class_names": ["things"]}, "semantic_head.class_names: expected at least 2 values"),
        ({"class_names": ["things", "sky", "sky"]}, "different names"),
        ({"class_names": ["things", "sky"], "category_ids": [1, 2]}, "2 category_ids for 1 kinds of stuff"),
        ({"min_stuf_area": 3}, "min_stuff_area"),
    ],
)
def test_mistakes(group: dict, message: str):
    with pytest.raises(ValueError, match=message):
        model_settings(semantic_head=group)


def test_it_needs_a_pyramid():
    with pytest.raises(ValueError, match="semantic_head reads a feature pyramid, neck c4 has none"):
        model_settings("detectron2_c4", semantic_head={})
