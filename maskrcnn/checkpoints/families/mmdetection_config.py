"""The config of mmdetection, in a checkpoint or a Python file beside it: read as data and never executed."""

import ast
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn.checkpoints.source import Source
from maskrcnn.untrusted.excerpt import excerpt

_MOST_VALUES, _MOST_TEXT = 200_000, 2_000_000  # far above real ones; names that repeat names could make it endless
MOST_BASES = 20
"""Configs of which each builds on the next; mmdetection has three."""
_MOST_NUMBER = 1e12
_KNOWN_BASE = re.compile(r"mask[_-]rcnn_r50[_-]fpn(_1x_coco)?|coco_(instance|detection)|schedule_\w+|default_runtime")
"""Files of mmdetection on which configs build: the presets are their values."""
_HEADLINE = re.compile(r"^[^\s#].*\.py[ \t\r]*$", re.MULTILINE)
"""Early files hold several configs in one text, the ones that are built on first, each below its path."""
_UNREAD: Any = object()
_CALCULATION = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


@dataclass(frozen=True)
class MMDetectionConfig:
    """What a config says."""

    name: str
    """As in a sentence: the config in the file."""
    values: dict[str, Any]
    """Nested; lists for tuples; without what is computed in a way that is not read."""
    is_in_file: bool

    def at(self, place: str) -> Any:
        """The value at a dotted place; None where there is none."""
        return at(self.values, place)


def config_of(source: Source) -> tuple[MMDetectionConfig | None, tuple[str, ...]]:
    """The config in the checkpoint (2.x: `meta.config`, 3.x: `meta.cfg`), or else the .py of its name beside it.

    Returns:
        The config, if there is one, and what was not read, in words that follow "assumed:".

    Raises:
        ValueError: the .py beside it is damaged; names it.
    """
    meta = source.meta.get("meta", source.meta)
    held = next((meta[key] for key in ("cfg", "config") if meta.get(key)), None) if isinstance(meta, Mapping) else None
    notes: list[str] = []
    if held is not None:
        values, unread = _held(held)
        if values is not None:
            return MMDetectionConfig("the config in the file", values, True), tuple(unread)
        notes.append("that the config in the file, which can't be read, changes nothing")
    path = source.path.with_suffix(".py")
    if not path.is_file():
        return None, tuple(notes)
    try:
        values, unread = _with_bases(path)
    except ValueError as error:
        usual = f"without {path.name} beside it {source.path.name} loads with what is usual"
        raise ValueError(f"{error}; {usual}: move or remove it, or mend it") from None
    if not isinstance(values.get("model"), Mapping):
        return None, (*notes, *(unread or [f"that {path.name} beside it is of something else, for it has no model"]))
    return MMDetectionConfig(f"the config {path.name} beside it", values, False), (*notes, *unread)


def at(group: Any, place: str, default: Any = None) -> Any:
    """What is at a dotted place."""
    for key in place.split("."):
        if not isinstance(group, Mapping) or key not in group:
            return default
        group = group[key]
    return group


def first(group: Any, *places: str) -> Any:
    """The first of several spellings that is there."""
    return next((value for place in places if (value := at(group, place)) is not None), None)


def given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def numbers(config: MMDetectionConfig, place: str, value: Any) -> list[float] | None:
    """`value` if it is positive numbers, or None.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(v, int | float) and v > 0 for v in value):
        raise cannot_be_built(config, place, value, "positive numbers")
    return value


def cannot_be_built(config: MMDetectionConfig, place: str, value: object, only: str) -> ValueError:
    return ValueError(
        f"{config.name} has {place.lstrip('.')} {excerpt(value)}, which can't be built here; only {only} can"
    )


def _held(text: object) -> tuple[dict[str, Any] | None, list[str]]:
    """The values of a config in a checkpoint, None where they can't be read; what was left out, in words.

    The text may be several configs, each laid over those before it.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for part in _HEADLINE.split(text) if isinstance(text, str) else ():
        try:
            own, is_whole = _assigned(part)
        except ValueError:
            return None, []
        values = _over(values, own)
        notes = notes if is_whole else [_unread_line("the config in the file")]
    return (values, notes) if isinstance(values.get("model"), Mapping) else (None, [])


def _unread_line(name: str) -> str:
    return f"that a line of {name} that is no plain assignment changes nothing"


def _with_bases(
    path: Path, above: tuple[Path, ...] = (), known: dict[Path, tuple[dict[str, Any], list[str]]] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The values of a file laid over those of its bases, and what was left out, in words.

    Each file is read once (`known`), or ten that each name the next ten times would be read ten billion times.
    """
    known = {} if known is None else known
    if len(above) > MOST_BASES:
        raise ValueError(f"{path}: expected no more than {MOST_BASES} configs on one another")
    try:
        with path.open(encoding="utf-8") as file:
            own, is_whole = _assigned(file.read(_MOST_TEXT + 1))
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(f"{path}: expected the config of the weights beside it, got {error}") from None
    unread = [] if is_whole else [_unread_line(path.name)]
    values: dict[str, Any] = {}
    bases = own.pop("_base_", [])
    for base in bases if isinstance(bases, list) else [bases]:
        base_path = (path.parent / str(base)).resolve()
        if base_path in above:
            raise ValueError(f"{path}: its _base_ {base} leads back to itself")
        if base_path.is_file() and base_path.suffix == ".py":
            if base_path not in known:
                known[base_path] = _with_bases(base_path, (*above, path.resolve()), known)
            below, more = known[base_path]
            values, unread = _over(values, below), list(dict.fromkeys([*unread, *more]))
        elif not _KNOWN_BASE.fullmatch(base_path.stem):
            unread.append(f"that {base_path.name}, on which {path.name} builds and which is not there, changes nothing")
    return _over(values, own), unread


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, dict by dict; one with `_delete_` replaces."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping):
            under = {} if value.get("_delete_") or not isinstance(merged.get(key), Mapping) else merged[key]
            value = _over(under, {k: v for k, v in value.items() if k != "_delete_"})
        merged[key] = value
    return merged


def _assigned(text: str) -> tuple[dict[str, Any], bool]:
    """What the plain assignments of a Python text give, by name, and whether it has nothing else of weight.

    Raises:
        ValueError: it is no Python, or too large.
    """
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{len(text)} letters")
    try:
        return _values_of(ast.parse(text).body)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"what is no Python that can be read ({str(error)[:100]})") from None


def _values_of(statements: list[ast.stmt]) -> tuple[dict[str, Any], bool]:
    names: dict[str, Any] = {}
    is_whole, room = True, [_MOST_VALUES]
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=node):
                names[name] = _value(node, names)
                _spend(names[name], room)
            case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.ClassDef():
                pass
            case _:
                is_whole = False
    return {name: value for name, value in names.items() if value is not _UNREAD}, is_whole


def _spend(value: Any, room: list[int]) -> None:
    """Take every value in `value` off `room`; a list of lists of the same list is small only on paper."""
    room[0] -= 1
    if room[0] < 0:
        raise ValueError("far too many values")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _spend(item, room)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Of a literal, `dict(...)`, an earlier name or a sum of numbers; a dict lacks the entries that are not read."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, _UNREAD)
        case ast.List(elts=nodes) | ast.Tuple(elts=nodes):
            items = [_value(item, names) for item in nodes]
            return _UNREAD if any(item is _UNREAD for item in items) else items  # positions have a meaning
        case ast.Dict():
            return dict(_entries(zip(node.keys, node.values, strict=True), names))
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            keywords = ((ast.Constant(k.arg) if k.arg else None, k.value) for k in node.keywords)
            return dict(_entries(keywords, names))
        case ast.UnaryOp(op=ast.USub()):
            return _number(operator.sub, 0, _value(node.operand, names))
        case ast.BinOp() if type(node.op) in _CALCULATION:
            return _number(_CALCULATION[type(node.op)], _value(node.left, names), _value(node.right, names))
    return _UNREAD


def _entries(
    nodes: Iterator[tuple[ast.expr | None, ast.expr]], names: Mapping[str, Any]
) -> Iterator[tuple[str | int, Any]]:
    """Of a dict, those that are read; an entry without a key is a dict of entries (`**img_norm_cfg`)."""
    for key_node, node in nodes:
        value = _value(node, names)
        if key_node is None:
            yield from value.items() if isinstance(value, dict) else ()
            continue
        key = _value(key_node, names)
        if value is not _UNREAD and isinstance(key, str | int):
            yield key, value


def _number(calculate: Any, left: Any, right: Any) -> Any:
    if not all(isinstance(side, int | float) and abs(side) <= _MOST_NUMBER for side in (left, right)):
        return _UNREAD
    try:
        return calculate(left, right)
    except ZeroDivisionError:
        return _UNREAD
