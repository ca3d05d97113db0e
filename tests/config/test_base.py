"""What is wrong with a setting is said in words, whatever it is."""

from typing import Any

import pytest

from maskrcnn.config import Config, validate
from maskrcnn.config.base import Settings

WRONG: list[Any] = [-1, -0.5, 1.5, 10**400, float("nan"), float("inf"), "x", True, None, [], [1], ["a", 2, None], {}]
WRONG += [{"a": 1}, [1, 2, 3, 4, 5, 6], b"\xff"]
JARGON = (
    "Input should",
    "valid",
    "input",
    "literal",
    "tuple",
    "dictionary",
    "instance",
    "parse",
    "another value",
    "int[",
)


def fields(group: type[Settings], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, field in group.model_fields.items():
        found.append((*path, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found += fields(field.annotation, (*path, name))
    return found


@pytest.mark.parametrize("path", fields(Config), ids=".".join)
def test_no_mistake_is_answered_in_the_librarys_words(path: tuple[str, ...]) -> None:
    for wrong in WRONG:
        values = wrong
        for name in reversed(path):
            values = {name: values}
        try:
            validate(Config, values, "my.yaml")
        except ValueError as error:
            sentence = str(error)
            assert sentence.startswith(("my.yaml: " + ".".join(path[:1]), "my.yaml: unknown key")), sentence
            assert ".".join(path[:-1]) in sentence, sentence
            assert not [word for word in JARGON if word in sentence.replace("valid_", "").split(", got ")[0]], sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"model": {"roi": {"sampling_ratio": -1}}},
            "model.roi.sampling_ratio: expected a whole number of at least 0, got -1",
        ),
        ({"train": {"learning_rate": -1}}, "train.learning_rate: expected a number above 0, got -1"),
        ({"train": {"seed": 1.5}}, "train.seed: expected a whole number, got 1.5"),
        ({"train": {"seed": "many"}}, "train.seed: expected a whole number, got 'many'"),
        ({"train": {"optimizer": "adam"}}, "train.optimizer: expected one of 'sgd' or 'adamw', got 'adam'"),
        ({"model": {"resize": {"upscale_only": 3}}}, "model.resize.upscale_only: expected true or false, got 3"),
        ({"model": {"fpn": 3}}, "model.fpn: expected a group of settings, got 3"),
        ({"model": {"anchors": {"ratios": "x"}}}, "model.anchors.ratios: expected a list, got 'x'"),
        ({"model": {"pixels": {"mean": [1, "x", 3]}}}, "model.pixels.mean.1: expected a number, got 'x'"),
        ({"model": {"detection": {"exclusive_classes": 3}}}, "exclusive_classes: expected a list or 'all', got 3"),
        ({"data": {"val_fraction": 1}}, "data.val_fraction: expected a number below 1, got 1"),
        ({"model": {"fpm": {}}}, "unknown key model.fpm; did you mean fpn?"),
    ],
)
def test_what_was_expected_and_what_came(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        validate(Config, values, "my.yaml")
    assert sentence in str(error.value)
    assert str(error.value).count("expected") <= 1
