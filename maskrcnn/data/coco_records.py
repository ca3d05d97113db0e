"""Image and category records of COCO: what identifies pictures and classes (I images, K classes)."""

import math
import os
import reprlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskrcnn.data.image_facts import look_at_image
from maskrcnn.data.problems import Problem, found
from maskrcnn.untrusted.names import printable

MAX_PIXELS = 2**31 - 1
"""Of an image record: pycocotools counts in 32 bits, and ends the process beyond."""
MAX_CLASS_NAME = 200
"""Letters of a class name: longer ones are no names, and drawing one takes minutes."""
MAX_FILE_NAME_PART = 255  # bytes between two slashes; no file system has longer ones
MAX_ID = 2**63 - 1
MAX_IDS = 20
"""That a message lists."""

Size = tuple[int, int]
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def read_images(
    records: list[Any], image_folder: Path | None, source: str
) -> tuple[list[dict[str, Any]], dict[str, int], list[Problem]]:
    """The usable image records, with whole ids and sizes (0, 0 where there is none), their place by `id_key`, and what
    is wrong with the others; of those with one id, the first. Files are looked for in `image_folder`, if given."""
    problems: list[Problem] = []
    kept: list[dict[str, Any]] = []
    as_given: list[dict[str, Any]] = []  # of those kept
    places: dict[str, int] = {}
    if not records:
        problems.append(found("no-images", "there is no image", source))
    for record in records:
        key = id_key(record.get("id")) if isinstance(record, dict) else None
        name = record.get("file_name", str(key)) if isinstance(record, dict) and image_folder is None else None
        if isinstance(record, dict) and image_folder is not None:
            name = record.get("file_name")
        if key is None or not isinstance(name, str) or not _is_file_name(name):
            reason = f"expected an image with an id and a file_name, got {brief(record)}"
            problems.append(found("bad-image-record", reason, source))
            continue
        if key in places:
            if record == as_given[places[key]]:
                problems.append(found("repeated-record", f"the record of image {key}, {name}", source))
            else:
                reason = f"image id {key} belongs to {kept[places[key]]['file_name']} and {name}"
                problems.append(found("duplicate-image-id", reason, source, image=places[key]))
            continue
        places[key] = len(kept)
        as_given.append(record)
        clean, num_lost = without_non_finite(record, ("height", "width"))
        clean["file_name"], spelling = _spelt_as_on_disk(name, image_folder)
        place = {"file": source, "image": len(kept)}
        if spelling:
            problems.append(found("file-name-spelling", f"{name!r:.200} is on the disk with {spelling}", **place))
        if any("\udc80" <= letter <= "\udcff" for letter in name):  # how Python writes a byte that is no UTF-8
            problems.append(found("file-name-bytes", f"the name {printable(name)} is not UTF-8", **place))
        if num_lost:
            problems.append(found("non-finite-value", f"{name}: {num_lost} values are NaN or infinite", **place))
        clean["height"], clean["width"] = _read_size(record, clean["file_name"], image_folder, problems, place)
        kept.append(clean)
    problems += _number(kept, list(places), "image", source)
    places_of: dict[tuple[str, object], list[int]] = {}
    for i, record in enumerate(kept):
        page = record.get("page")  # of a stack, each of which is an image of its own
        places_of.setdefault((record["file_name"], page if isinstance(page, int) else None), []).append(i)
    for (name, _), own in places_of.items():
        if len(own) > 1:
            reason = f"{len(own)} image records name {name}; expected one, with all objects of the image"
            problems.append(found("duplicate-file-name", reason, source, image=own[0]))
    return kept, places, problems


def read_categories(records: list[Any], source: str) -> tuple[list[dict[str, Any]], dict[str, int], list[Problem]]:
    """The usable category records, with whole ids, in ascending order of these, and their place by `id_key`."""
    problems: list[Problem] = []
    kept: dict[str, dict[str, Any]] = {}
    if not records:
        problems.append(found("bad-category", "there is no category", source))
    for record in records:
        name = record.get("name") if isinstance(record, dict) else None
        key = id_key(record.get("id")) if isinstance(record, dict) else None
        if key is None or not isinstance(name, str):
            reason = f"expected a category with an id and a name, got {brief(record)}"
            problems.append(found("bad-category", reason, source))
        elif len(name) > MAX_CLASS_NAME:
            reason = f"expected a name of at most {MAX_CLASS_NAME} letters, got {len(name)}: {brief(name)}"
            problems.append(found("bad-category", reason, source))
        elif key in kept and kept[key]["name"] == name:
            problems.append(found("repeated-record", f"category {key}, {name!r}", source))
        elif key in kept:
            reason = f"category id {key} belongs to {kept[key]['name']!r} and {name!r}"
            problems.append(found("duplicate-category-id", reason, source))
        else:
            kept[key], num_lost = without_non_finite(record)
            if num_lost:
                problems.append(
                    found("non-finite-value", f"category {name}: {num_lost} values are NaN or infinite", source)
                )
    categories = list(kept.values())
    problems += _number(categories, list(kept), "category", source)
    ids_of: dict[str, list[int]] = {}
    for record in categories:
        ids_of.setdefault(record["name"], []).append(record["id"])
    for name, own in ids_of.items():
        if len(own) > 1:
            ids = ", ".join(map(str, sorted(own)[:MAX_IDS])) + ", ..." * (len(own) > MAX_IDS)
            reason = f"{len(own)} categories are named {name!r}: ids {ids}"
            problems.append(found("duplicate-category-name", reason, source))
    order = sorted(range(len(categories)), key=lambda k: categories[k]["id"])
    keys = list(kept)
    return [categories[k] for k in order], {keys[k]: label for label, k in enumerate(order)}, problems


def id_key(value: Any) -> str | None:
    """What tells ids apart, so that 7, 7.0 and "7" are one; None for what is no id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value % 1 == 0 else None
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_ID else None
    return (value.strip() or None) if isinstance(value, str) and len(value) <= MAX_CLASS_NAME else None


def whole_id(key: str) -> int | None:
    """The number that a key is, if it is one."""
    digits = key.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or str(int(key)) != key or abs(int(key)) > MAX_ID:
        return None
    return int(key)


def without_non_finite(record: dict[str, Any], kept_keys: Iterable[str] = ()) -> tuple[dict[str, Any], int]:
    """A copy with None in place of NaN and infinity, which JSON cannot hold, and how many there were."""
    clean, num_lost = dict(record), 0
    for key, value in record.items():
        if key not in kept_keys and (num := _num_non_finite(value)):
            clean[key] = _finite_or_none(value)
            num_lost += num
    return clean, num_lost


def brief(value: Any) -> str:
    """`repr`, cut before it is long, however deep and large the value is."""
    text = _SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_file_name(name: str) -> bool:
    try:
        parts = os.fsencode(name).split(b"/")
    except UnicodeError:
        return False
    return bool(name) and "\0" not in name and max(map(len, parts)) <= MAX_FILE_NAME_PART


def _spelt_as_on_disk(name: str, folder: Path | None) -> tuple[str, str]:
    """The name under which the file is there, and how it differs; as it is where there is no such file."""
    if folder is None or os.path.isfile(folder / name):
        return name, ""
    forward = name.replace("\\", "/")
    candidates = {
        "forward slashes": forward,
        **{f"its letters in the Unicode form {form}": unicodedata.normalize(form, forward) for form in ("NFC", "NFD")},
    }
    for spelling, candidate in candidates.items():
        if candidate != name and _is_file_name(candidate) and os.path.isfile(folder / candidate):
            return candidate, spelling
    return name, ""


def _read_size(
    record: dict[str, Any], name: str, folder: Path | None, problems: list[Problem], place: dict[str, Any]
) -> Size:
    given = record.get("height"), record.get("width")
    if given == (None, None) or None in given:
        size = look_at_image(folder / name, pixels=False).size if folder is not None else None
        if size is not None and size[0] * size[1] <= MAX_PIXELS:
            problems.append(found("missing-size", f"{name}: there is no height and width", **place))
            return size
    sides = [int(side) if isinstance(side, float) and side % 1 == 0 else side for side in given]
    is_sides = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    if not is_sides:
        reason = f"{name}: expected height and width in pixels, got {brief(given[0])} and {brief(given[1])}"
    elif sides[0] * sides[1] > MAX_PIXELS:  # pyright: ignore
        reason = f"{name}: expected at most {MAX_PIXELS} pixels, got {brief(given[0])} x {brief(given[1])}"
    else:
        return sides[0], sides[1]  # pyright: ignore
    problems.append(found("bad-image-size", reason, **place))
    return 0, 0


def _number(records: list[dict[str, Any]], keys: list[str], noun: str, source: str) -> list[Problem]:
    """Whole ids in all records, in place: those that are numbers stay, the others get the numbers after the largest."""
    numbers = [whole_id(key) for key in keys]
    free = max((number for number in numbers if number is not None), default=0) + 1
    changed = []
    for record, number in zip(records, numbers, strict=True):
        given = record["id"]
        if number is None:
            number, free = free, free + 1
        if not isinstance(given, int):
            changed.append(f"{given!r:.60} to {number}")
        record["id"] = number
    if not changed:
        return []
    plural = "ids of images" if noun == "image" else "ids of categories"
    reason = f"{len(changed)} {plural} are no whole numbers and were changed, the first from {changed[0]}"
    return [found("renumbered-ids", reason, source)]


def _num_non_finite(value: Any) -> int:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return sum(map(_num_non_finite, value.values()))
    return sum(map(_num_non_finite, value)) if isinstance(value, list) else 0


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite_or_none(inner) for key, inner in value.items()}
    return [_finite_or_none(inner) for inner in value] if isinstance(value, list) else value
