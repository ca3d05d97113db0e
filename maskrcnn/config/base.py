"""What every settings class shares: frozen, strict, and errors that say where and what was probably meant."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from maskrcnn.untrusted.excerpt import excerpt

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
        sentences = [_sentence(settings, item) for item in mistakes[:MOST_MISTAKES]]
        if len(mistakes) > MOST_MISTAKES:
            sentences.append(f"and {len(mistakes) - MOST_MISTAKES} more")
        raise ValueError(f"{source}: " + "; ".join(sentences)) from None


def _sentence(settings: type[Settings], item: Any) -> str:
    path = ".".join(str(part)[:100] for part in item["loc"])
    if item["type"] == "value_error":  # of our own validators, whose sentences say what came
        return f"{path or 'settings'}: {item['ctx']['error']}"
    if item["type"] != "extra_forbidden":
        return f"{path or 'settings'}: {item['msg']}, got {excerpt(item['input'])}"
    known = _fields_at(settings, item["loc"][:-1])
    close = difflib.get_close_matches(str(item["loc"][-1])[:100], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"unknown key {path}; {hint}"


def _fields_at(settings: type[Settings], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the group that `path` leads to; groups are plain annotations or `Group | None`."""
    for part in path:
        annotation = settings.model_fields[str(part)].annotation if str(part) in settings.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        groups = [c for c in candidates if isinstance(c, type) and issubclass(c, Settings)]
        if not groups:
            return []
        settings = groups[0]
    return sorted(settings.model_fields)
