"""Every number among the settings has two limits, and what lies beyond them is refused with its full path."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from maskrcnn.config import PRESETS, Config, ModelSettings, model_settings, validate
from maskrcnn.config.base import Settings


def numbers_in(annotation: Any, limits: tuple[Any, ...], path: str) -> Iterator[tuple[str, type, tuple[Any, ...]]]:
    """Path, type and what limits it, of every number inside an annotation: of groups, tuples, unions and choices."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        flat = [part for item in more for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
        yield from numbers_in(inner, (*limits, *flat), path)
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        for name, field in annotation.model_fields.items():
            yield from numbers_in(field.annotation, tuple(field.metadata), f"{path}.{name}" if path else name)
    elif annotation in (int, float):
        yield path, annotation, limits
    else:  # a tuple or a union; the choices of a Literal are values, not types
        for part in get_args(annotation):
            yield from numbers_in(part, limits if get_origin(annotation) is not tuple else (), path)


NUMBERS = list(numbers_in(Config, (), ""))


def test_all_numbers_are_looked_at():
    paths = {path for path, _, _ in NUMBERS}
    assert len(paths) > 70
    assert {
        "model.pixels.std",  # in a tuple
        "model.category_ids",  # in a tuple of any length
        "model.rpn.channels",  # where there may be none
        "train.augment.jitter",  # in a tuple, where there may be none
    } <= paths


@pytest.mark.parametrize(("path", "limits"), [pytest.param(p, limits, id=p) for p, _, limits in NUMBERS])
def test_every_number_has_two_finite_limits(path: str, limits: tuple[Any, ...]):
    low = [getattr(limit, name) for limit in limits for name in ("ge", "gt") if hasattr(limit, name)]
    high = [getattr(limit, name) for limit in limits for name in ("le", "lt") if hasattr(limit, name)]
    assert len(low) == len(high) == 1, path
    assert math.isfinite(low[0])
    assert math.isfinite(high[0])
    assert low[0] < high[0]


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("pixels", "std", (0, 1, 1)),  # nothing would be found
        ("pixels", "mean", (float("nan"), 0, 0)),
        ("box_head", "fcs", 10**9),
        ("box_head", "fcs", 1e9),
        ("resize", "longest_edge", 10**9),
        ("resize", "scale", 1e9),
        ("rpn", "pre_nms_top_n", 1e30),
        ("rpn", "pre_nms_top_n", 10**30),
        ("rpn", "delta_weights", (1, 1, 0, 1)),
        ("roi", "box_resolution", 10**6),
        ("mask_head", "convs", 10**6),
        ("backbone", "groups", 0),
        ("anchors", "sizes", (1e-30, 1, 1, 1, 1)),
        ("anchors", "ratios", ()),
        ("detection", "max_detections", 10**12),
    ],
)
def test_what_no_network_has_is_refused(group: str, key: str, value: Any):
    with pytest.raises(ValueError, match=rf"^a\.safetensors: {group}\.{key}(\.\d)?: "):
        model_settings("maskrcnn", "a.safetensors", **{group: {key: value}})


def test_a_square_is_padded_to_and_has_a_limit_of_its_own():
    model_settings(resize={"longest_edge": 1_000_000})
    with pytest.raises(ValueError, match="resize: longest_edge is at most 8192 in mode square, got 1000000"):
        model_settings(resize={"mode": "square", "longest_edge": 1_000_000})


def test_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="class_names"):
        validate(ModelSettings, {"class_names": [str(i) for i in range(10_001)]}, "a")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_well_inside(preset: str):
    """No published number is near a limit: twice as much is allowed."""
    settings = model_settings(preset)
    rpn = {key: value * 2 for key, value in settings.rpn.model_dump().items() if key.endswith("top_n")}
    shape = {"fc_channels": settings.box_head.fc_channels * 2, "fcs": settings.box_head.fcs * 2}
    model_settings(preset, rpn=rpn, box_head=shape)
