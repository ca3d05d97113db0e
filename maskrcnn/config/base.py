"""What every settings class shares: frozen, strict, and errors that say where and what was probably meant."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.spelling import did_you_mean

MOST_MISTAKES = 10
"""That one message names."""


class Settings(BaseModel):
    """A frozen group of settings. Unknown keys and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", bound=Settings)


def validate(settings: type[SettingsT], values: Mapping[str, Any], source: str) -> SettingsT:
    """Build `settings` from plain `values`.

    Raises:
        ValueError: one sentence a mistake, with `source`, the dotted path of the key, and for an unknown key the
            nearest known one.
    """
    try:
        return settings.model_validate(dict(values))
    except ValidationError as error:
        mistakes = error.errors()
        sentences = _sentences(settings, mistakes)
        if len(sentences) > MOST_MISTAKES:
            sentences[MOST_MISTAKES:] = [f"and {len(sentences) - MOST_MISTAKES} more"]
        raise ValueError(f"{source}: " + "; ".join(sentences)) from None


def _sentences(settings: type[Settings], mistakes: list[Any]) -> list[str]:
    """One sentence for each value: the alternatives of a union, which pydantic lists one by one, become one."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for item in mistakes:
        if item["type"] in ("value_error", "extra_forbidden"):
            wanted[_sentence(settings, item), ""] = []
            continue
        path, is_whole = _place(settings, item["loc"])
        got = "nothing" if item["type"] == "missing" else excerpt(item["input"])
        expected = wanted.setdefault((path, got), [])
        words = _expected(item, is_whole)
        if words not in expected:
            expected.append(words)
    return [
        f"{path or 'settings'}: expected {' or '.join(words)}, got {got}" if words else path
        for (path, got), words in wanted.items()
    ]


def _sentence(settings: type[Settings], item: Any) -> str:
    # A choice between groups has a part for what was chosen, <so>, which no file has.
    path = ".".join(str(part)[:100] for part in item["loc"] if not str(part).startswith("<"))
    if item["type"] == "value_error":  # of our own validators, whose sentences say what came
        return f"{path or 'settings'}: {item['ctx']['error']}"
    known = _fields_at(settings, item["loc"][:-1])
    hint = did_you_mean(str(item["loc"][-1]), known) or f"; known here: {', '.join(known)}"
    return f"unknown key {path}{hint}"


def _place(settings: type[Settings], loc: tuple[int | str, ...]) -> tuple[str, bool]:
    """The dotted path that a user wrote, without the members of unions, which pydantic puts behind it; and whether the
    numbers there are whole."""
    parts: list[str] = []
    annotation: Any = None
    group: type[Settings] | None = settings
    groups: list[type[Settings]] = []
    for part in loc:
        if str(part).startswith("<"):  # which of several groups was chosen, see `_fields_at`
            group = next((one for one in groups if f"<{one.model_fields['kind'].default}>" == part), None)
            continue
        if isinstance(part, str) and group is None:
            continue  # a member of a union, such as "literal['all']"; what is inside plain values has numbers
        parts.append(str(part)[:100])
        if isinstance(part, str) and group is not None:
            field = group.model_fields.get(part)
            annotation = field.annotation if field else None
            groups = _groups_in(annotation)
            group = groups[0] if groups else None
    spelt = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return ".".join(parts), "int" in spelt and "float" not in spelt


def _expected(item: Any, is_whole: bool) -> str:
    """What should have come, in words."""
    kind, ctx = item["type"], item.get("ctx", {})
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        bound = int(ctx[key]) if float(ctx[key]).is_integer() else ctx[key]
        return f"{'a whole number' if is_whole else 'a number'} {word} {bound}"
    if kind in ("too_short", "too_long"):
        least_or_most = "at least" if kind == "too_short" else "at most"
        num = ctx.get("min_length", ctx.get("max_length"))
        return f"{least_or_most} {num} value{'s' * (num != 1)}"
    if kind == "literal_error":
        return f"one of {ctx['expected']}" if "," in ctx["expected"] or " or " in ctx["expected"] else ctx["expected"]
    if kind in ("kind_of_body", "kind_of_network"):
        return item["msg"].removeprefix("expected ")
    return _KINDS.get(kind) or f"another value ({item['msg']})"


_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
    "multiple_of": ("that is a multiple of", "multiple_of"),
}
_KINDS = (
    dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number")
    | dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number")
    | dict.fromkeys(("bool_type", "bool_parsing"), "true or false")
    | dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "text")
    | dict.fromkeys(("tuple_type", "list_type"), "a list")
    | dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "a group of settings")
    | {"none_required": "nothing", "missing": "a value"}
)


def _fields_at(settings: type[Settings], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the group that `path` leads to: plain, `Group | None`, or one of several by its `kind`."""
    groups = [settings]
    for part in path:
        if str(part).startswith("<"):
            groups = [group for group in groups if f"<{group.model_fields['kind'].default}>" == part]
        else:
            field = groups[0].model_fields.get(str(part)) if groups else None
            groups = _groups_in(field.annotation) if field is not None else []
    return sorted(groups[0].model_fields) if groups else []


def _groups_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [group for part in get_args(annotation) for group in _groups_in(part)]
