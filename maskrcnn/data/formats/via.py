"""VGG Image Annotator 1, 2 and 3: one JSON file of regions, exported or saved as a project."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import ONE_CLASS, Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import ellipse, numbers, rectangle
from maskrcnn.data.formats.via3 import entries_of_3
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal

LOOKED_FOR = "a JSON file of VIA 1 or 2 (entries with filename and regions), or a project of VIA 3"
CLASS_KEYS = ("class", "class_name", "classname", "label", "category", "type", "name")
"""Attributes taken for the class, the surest first: where there is a type too, a name is that of one object."""
CLOSED_PX = 2.0
"""A polyline whose ends are no farther apart is an outline."""

Entries = Mapping[str, dict[str, Any]]


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with one, by content."""
    return bool(finding.parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons, rectangles, circles, ellipses and closed polylines; pictures are beside the file or in `images`.

    The class is that region attribute of `CLASS_KEYS` which the data has, or else the only one with texts; without any
    all objects are of one class.

    Raises:
        ValueError: several files in a folder; several attributes of which none is known as the class.
    """
    parts = finding.parts_with(path, _files_in)
    files = {split: _one_file(part) for split, part in parts.items()}
    contents = {split: _entries(file) for split, file in files.items()}
    key, doubts = _class_attribute(list(contents.values()), path)
    readings = {
        split: _read_split(entries, files[split], key, finding.folder_of_split(images, parts[split], split))
        for split, entries in contents.items()
    }
    next(iter(readings.values())).problems.extend([*doubts, *finding.unannotated(readings)])
    return assemble(readings, path, images)


def _files_in(path: Path) -> list[Path]:
    return finding.json_files(path, "via")


def _one_file(part: Path) -> Path:
    files = _files_in(part)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{part} holds several files of VIA, which may say the same twice: {names}; name one of them")
    return files[0]


def _entries(file: Path) -> Entries:
    content = finding.load_json(file)
    if "_via_img_metadata" not in content and {"project", "attribute", "view"} <= content.keys():
        return entries_of_3(content)
    return content.get("_via_img_metadata", content)


def _regions(entry: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each region; VIA 1 has an object, VIA 2 a list."""
    regions = entry["regions"]
    yield from regions.items() if isinstance(regions, dict) else ((str(k), one) for k, one in enumerate(regions))


def _class_attribute(contents: list[Entries], path: Path) -> tuple[str | None, list[Problem]]:
    """Lower-case name of the attribute that is the class or None, and a warning where others could be."""
    texts: Counter[str] = Counter()
    choices: Counter[str] = Counter()
    for entries in contents:
        for entry in entries.values():
            for _, region in _regions(entry):
                for name, value in _attributes(region).items():
                    if isinstance(value, dict):
                        choices[name.lower()] += any(value.values())
                    else:
                        texts[name.lower()] += value not in ("", None)
    used = {name for name, number in (texts + choices).items() if number}
    known = [name for name in CLASS_KEYS if name in used]
    if known:
        reason = f"taken as the class: {known[0]!r}, not {', '.join(map(repr, known[1:]))}"
        return known[0], [found("class-attribute", reason, path)] if len(known) > 1 else []
    named = [name for name, number in texts.items() if number]
    if len(named) > 1:
        raise ValueError(
            f"{path}: which attribute of the regions is their class? There are {', '.join(sorted(named))}, "
            f"and none is called {', '.join(CLASS_KEYS)}"
        )
    return (named[0] if named else None), []


def _attributes(region: Any) -> dict[str, Any]:
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def _read_split(entries: Entries, file: Path, key: str | None, images: Path | None) -> Reading:
    folders = [images] if images else [file.parent, file.parent / "images"]
    paths = {name: finding.picture_named(entry["filename"], folders) for name, entry in entries.items()}
    sizes, problems = finding.sizes_of(paths.values(), is_orientation_told=False)
    reading = Reading([], problems)
    for name, entry in entries.items():
        if paths[name] not in sizes:
            continue
        shapes = []
        for number, region in _regions(entry):
            place = f"{entry['filename']}, region {number}"
            try:
                shapes.append(Shape(_class_of(region, key), [_outline(region)], file, place))
            except ValueError as error:
                problems.append(refusal(error, file, place))
        reading.pictures.append(Picture(paths[name], sizes[paths[name]], shapes))
    return reading


def _class_of(region: Any, key: str | None) -> str:
    if key is None:
        return ONE_CLASS
    value = next((value for name, value in _attributes(region).items() if name.lower() == key), None)
    if isinstance(value, dict):  # a checkbox or a dropdown: which choices are on
        chosen = [choice for choice, is_on in value.items() if is_on]
        if len(chosen) != 1:
            raise AnnotationError(
                "no-class", f"expected one choice of the attribute {key!r}, got {', '.join(chosen) or 'none'}"
            )
        return chosen[0].strip()
    if value is None or not str(value).strip():
        raise AnnotationError("no-class", f"the attribute {key!r}, which is the class, is empty")
    return str(value).strip()


def _outline(region: Any) -> list[float]:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise ValueError(f"expected a region with shape_attributes, got {region!r:.60}")
    name = shape.get("name")
    if name in ("polygon", "polyline"):
        x, y = numbers(shape.get("all_points_x")), numbers(shape.get("all_points_y"))
        if len(x) != len(y):
            raise ValueError(f"expected as many x as y, got {len(x)} and {len(y)}")
        if name == "polyline" and (len(x) < 4 or math.dist((x[0], y[0]), (x[-1], y[-1])) > CLOSED_PX):
            raise AnnotationError("open-shape", "a polyline that does not end where it begins")
        return [value for point in zip(x, y, strict=True) for value in point]
    if name == "rect":
        x, y, width, height = numbers([shape.get(key) for key in ("x", "y", "width", "height")])
        return rectangle(x, y, x + width, y + height)
    if name == "circle":
        cx, cy, r = numbers([shape.get(key) for key in ("cx", "cy", "r")])
        return ellipse(cx, cy, r, r)
    if name == "ellipse":
        return ellipse(
            *numbers([shape.get(key) for key in ("cx", "cy", "rx", "ry")]), *numbers([shape.get("theta", 0)])
        )
    if name == "point":
        raise AnnotationError("open-shape", "a point")
    raise AnnotationError("unknown-shape", f"expected polygon, polyline, rect, circle or ellipse, got {name!r:.40}")
