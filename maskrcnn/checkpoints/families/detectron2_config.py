"""The YAML that detectron2 writes beside its checkpoints: found, read, and laid over the one that it builds on."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn.config import overlay
from maskrcnn.untrusted.plain_yaml import MAX_LETTERS, plain_yaml

MOST_BASES = 10
MOST_LITERAL = 10_000
"""Letters of a text that is looked at for a tuple or a number."""
_BASE = "Base-RCNN-FPN.yaml"  # of detectron2; the presets are its values
_WHOLE = {"INPUT.FORMAT": "BGR", "MODEL.RESNETS.STRIDE_IN_1X1": True}
"""What detectron2 itself takes for keys that no YAML gives, where the presets' values depend on the network."""


@dataclass(frozen=True)
class Detectron2Config:
    """A YAML of detectron2."""

    path: Path
    weights: Path
    """The file it lies beside."""
    values: dict[str, Any]
    """By dotted key."""
    missing_base: str | None
    """The YAML it builds on, where that is not there: keys that are not given may be in it."""

    @property
    def is_coco(self) -> bool | None:
        """Whether the data set it was trained on is COCO; None where it does not say."""
        names = self.values.get("DATASETS.TRAIN")
        names = [names] if isinstance(names, str) else names
        return any(isinstance(name, str) and name.startswith("coco_") for name in names) if names else None


def config_beside(weights: Path) -> tuple[Detectron2Config | None, tuple[str, ...]]:
    """The YAML of the same name as `weights`, or else `config.yaml` beside it; and what was not read, in words.

    Raises:
        ValueError: it is damaged; names it, and says what to do.
    """
    notes = []
    for path in (weights.with_suffix(".yaml"), weights.with_suffix(".yml"), weights.with_name("config.yaml")):
        if not path.is_file():
            continue
        try:
            text = _text(path)
            if "_target_:" in text:
                notes.append(f"that {path.name} beside it agrees, a LazyConfig, which is not read")
                continue
            values, missing_base = _with_base(path, text)
        except ValueError as error:
            raise ValueError(f"{error}; {way_out(path, weights)}") from None
        if not isinstance(values.get("MODEL"), Mapping):
            notes.append(f"that {path.name} beside it is of something else, for it has no MODEL")
            continue
        if missing_base:
            notes.append(f"that {missing_base}, on which {path.name} builds and which is not there, changes nothing")
        flat = _flat(values)
        return Detectron2Config(path, weights, flat if missing_base else _WHOLE | flat, missing_base), tuple(notes)
    return None, tuple(notes)


def way_out(config: Path, weights: Path) -> str:
    """What helps where the config is not that of the weights."""
    return f"without {config.name} beside it {weights.name} loads with what is usual: move or remove it, or mend it"


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_LETTERS + 1)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected the YAML of the weights beside it, got a file that is no text") from None


def _with_base(path: Path, text: str, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], str | None]:
    """The YAML laid over its `_BASE_`, and the first of these that is neither there nor known."""
    try:
        values = plain_yaml(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected the YAML of the weights beside it, got {type(values).__name__}")
    base = values.pop("_BASE_", None)
    if base is None:
        return values, None
    if not isinstance(base, str) or len(above) == MOST_BASES:
        raise ValueError(f"{path}: expected the name of a YAML as its _BASE_, no more than {MOST_BASES} on one another")
    base_path = (path.parent / base).resolve()
    if base_path in above:
        raise ValueError(f"{path}: its _BASE_ {base} leads back to itself")
    if not base_path.is_file():
        return values, None if base_path.name == _BASE else base_path.name
    below, missing_base = _with_base(base_path, _text(base_path), (*above, path.resolve()))
    return overlay(below, values), missing_base


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """By dotted key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """detectron2 writes tuples and some numbers as text, "(10.0, 10.0, 5.0, 5.0)"; tuples become lists."""
    if isinstance(value, str) and len(value) <= MOST_LITERAL:
        try:
            value = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # the text is only text
            return value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
