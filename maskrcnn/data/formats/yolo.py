"""YOLO segmentation: data.yaml, and for each picture a text file of polygons in shares of its sides."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import rectangle
from maskrcnn.data.pictures.finding import find_images
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.plain_text import read_lines
from maskrcnn.untrusted.plain_yaml import read_plain_yaml

LOOKED_FOR = "a data.yaml of YOLO (names) or classes.txt, with labels/*.txt"
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
MAX_SHARE = 2.0
"""Coordinates beyond this many sides are no shares of the picture; those a little outside are clipped with it."""

MAX_NAMED_LINES = 1000
"""Of a label file that cannot be used; more are counted."""


@dataclass(frozen=True)
class _Source:
    """What data.yaml says, with the folders found."""

    file: Path
    names: tuple[str, ...]
    splits: dict[str, list[Path]]
    """Folders and lists of pictures."""
    problems: list[Problem]


def is_format(path: Path) -> bool:
    """Whether `path` is such a YAML file, or a folder with one or with classes.txt, by content."""
    return bool(_yaml_files(path)) or _classes_file(path) is not None


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons; the label file of images/a/b.jpg is labels/a/b.txt. A picture without one has no objects.

    A line of five numbers is a box, and becomes a rectangle with a warning. A `val` of the same places as `train` is
    no split of its own.

    Raises:
        ValueError: several YAML files, or one that does not name the classes.
    """
    files = _yaml_files(path)
    if len(files) > 1:
        raise ValueError(f"{path} holds several files of YOLO: {', '.join(f.name for f in files)}; name one of them")
    source = _read_yaml(files[0]) if files else _read_classes(path)
    readings: dict[str, Reading] = {}
    for split, places in source.splits.items():
        pictures, problems = _pictures(places, source.file, images)
        readings[split] = _read_split(pictures, source.names, problems)
    readings = readings or {finding.WHOLE: Reading()}
    next(iter(readings.values())).problems.extend([*source.problems, *_without_picture(readings)])
    return assemble(readings, source.file, images, source.names)


def _yaml_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    files = [file for file in files if file.suffix.lower() in (".yaml", ".yml") and file.is_file()]  # no pipe
    return [file for file in files if _is_data(_load(file))]


def _load(file: Path) -> Any:
    try:
        return read_plain_yaml(file)
    except (OSError, ValueError):
        return None


def _is_data(content: Any) -> bool:
    if not isinstance(content, dict) or "names" not in content:
        return False
    return isinstance(content["names"], list | dict) or bool(content.keys() & SPLIT_KEYS.keys())


def _classes_file(path: Path) -> Path | None:
    """classes.txt in a folder of label files, or beside or in its labels/; None where there are no label files."""
    if not path.is_dir():
        return None
    file = next((file for file in (path / "classes.txt", path / "labels" / "classes.txt") if file.is_file()), None)
    folders = [path, path / "labels", *finding.entries(path / "labels")]
    is_labelled = any(label.name != "classes.txt" for folder in folders for label in folder.glob("*.txt"))
    return file if is_labelled else None


def _read_classes(path: Path) -> _Source:
    """Of a folder without YAML: classes.txt has a name in each line."""
    file = _classes_file(path)
    assert file is not None
    names = tuple(line.strip() for line in read_lines(file) if line.strip())
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{file}: expected names, one for each class, each once, got {excerpt(names)}")
    return _Source(file, names, _split_folders(path), [])


def _split_folders(root: Path) -> dict[str, list[Path]]:
    """Where the pictures of each split are, where nothing says so: images/train and the like, train/images, images."""
    splits: dict[str, list[Path]] = {}
    for key, split in SPLIT_KEYS.items():
        places = (root / "images" / key, root / key / "images")
        found = [place for place in places if os.path.isdir(place)]
        if found:
            splits.setdefault(split, []).extend(found)
    whole = root / "images" if (root / "images").is_dir() else root
    return splits or {finding.WHOLE: [whole]}


def _read_yaml(file: Path) -> _Source:
    content = _load(file)
    names = content["names"]
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise ValueError(
                f"{file}: expected the numbers of names to be 0 to {len(names) - 1}, got {excerpt(list(names))}"
            )
        names = [names[number] for number in range(len(names))]
    is_names = isinstance(names, list) and names and all(isinstance(name, str | int | float) for name in names)
    if not is_names or len({str(name) for name in names}) < len(names):
        raise ValueError(f"{file}: expected names, one for each class, each once, got {excerpt(names)}")
    if content.get("nc", len(names)) != len(names):
        raise ValueError(f"{file}: nc is {excerpt(content['nc'])}, but there are {len(names)} names")
    # `path` is often that of another machine.
    roots = [file.parent / str(content.get("path") or ""), file.parent]
    splits: dict[str, list[Path]] = {}
    problems: list[Problem] = []
    for key, split in SPLIT_KEYS.items():
        given = content.get(key)
        if not given:
            continue
        for name in given if isinstance(given, list) else [given]:
            place = _existing(str(name), roots)
            if place is None:
                reason = f"{key}: there is no {name} in {', or '.join(str(each) for each in dict.fromkeys(roots))}"
                problems.append(found("missing-split", reason, file))
            else:
                splits.setdefault(split, []).append(place)
    if not splits and not problems:
        splits = _split_folders(file.parent)
    if splits.get("val") == splits.get("train"):  # ultralytics asks for a val; the same pictures twice are none
        splits.pop("val", None)
    return _Source(file, tuple(str(name) for name in names), splits, problems)


def _existing(name: str, roots: Iterable[Path]) -> Path | None:
    """A place that data.yaml names; exports that say ../train/images mean train/images beside the file."""
    name = name.replace("\\", "/")
    places = [root / part for part in (name, name.removeprefix("../")) for root in roots]
    return next((place for place in places if os.path.isdir(place) or os.path.isfile(place)), None)


def _pictures(places: Iterable[Path], file: Path, images: Path | None) -> tuple[list[Path], list[Problem]]:
    pictures: list[Path] = []
    problems: list[Problem] = []
    for place in places:
        if os.path.isdir(place):
            try:
                pictures += find_images(place)
            except ValueError as error:
                problems.append(found("missing-split", str(error), file))
        else:
            lines = [line.strip() for line in read_lines(place)]
            folders = [folder for folder in (images, place.parent, file.parent) if folder]
            pictures += [_listed(line, folders) for line in lines if line]
    return pictures, problems


def _listed(line: str, folders: list[Path]) -> Path:
    """A picture of a list, whose paths are from the list's folder; absolute ones are often another machine's."""
    line = line.replace("\\", "/").removeprefix("./")
    return next((folder / line for folder in folders if os.path.isfile(folder / line)), folders[0] / line)


def _label_file(picture: Path) -> Path:
    """labels/ in place of the last images/; beside the picture where there is none."""
    parts = list(picture.parts)
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            parts[k] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_split(paths: list[Path], names: tuple[str, ...], problems: list[Problem]) -> Reading:
    sizes, size_problems = finding.sizes_of(paths, is_orientation_told=False)
    reading = Reading([], [*problems, *size_problems])
    unlabelled = []
    for path in dict.fromkeys(paths):
        if path not in sizes:
            continue
        file = _label_file(path)
        if not os.path.isfile(file):
            unlabelled.append(path.name)
        shapes = _read_labels(file, names, sizes[path], reading.problems) if os.path.isfile(file) else []
        reading.pictures.append(Picture(path, sizes[path], shapes))
    if unlabelled:
        reason = f"{finding.count_and_names(unlabelled)} without label file"
        reading.problems.append(found("no-label-file", reason, _label_file(paths[0]).parent))
    return reading


def _read_labels(file: Path, names: tuple[str, ...], size: tuple[int, int], problems: list[Problem]) -> list[Shape]:
    shapes, num_boxes, num_lines, num_bad = [], 0, 0, 0
    try:
        lines = read_lines(file)
    except (OSError, ValueError) as error:
        problems.append(found("unreadable-annotations", str(error).removeprefix(f"{file}: "), file))
        return []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        num_lines += 1
        try:
            label, outline = _read_line(fields, len(names), size)
        except ValueError as error:
            num_bad += 1
            if num_bad <= MAX_NAMED_LINES:
                problems.append(refusal(error, file, f"line {number}"))
            continue
        num_boxes += len(fields) == 5
        shapes.append(Shape(names[label], [outline], file, f"line {number}"))
    if num_bad > MAX_NAMED_LINES:
        reason = f"{num_bad - MAX_NAMED_LINES} more lines cannot be used"
        problems.append(found("unreadable-annotations", reason, file))
    if num_boxes:
        reason = f"{num_boxes} of {num_lines} lines are boxes (class, centre, width, height) and not polygons"
        problems.append(found("box-only", reason, file))
    return shapes


def _read_line(fields: list[str], num_classes: int, size: tuple[int, int]) -> tuple[int, list[float]]:
    label, *shares = map(_number, fields)
    if not all(math.isfinite(value) for value in (label, *shares)):
        raise ValueError("expected finite numbers")
    if label % 1 or not 0 <= label < num_classes:
        raise AnnotationError("unknown-category", f"expected a class from 0 to {num_classes - 1}, got {excerpt(label)}")
    if len(shares) % 2 or len(shares) < 4:
        raise ValueError(f"expected a class and pairs x y, got {len(fields)} numbers")
    if max(map(abs, shares)) > MAX_SHARE:
        raise AnnotationError("not-normalised", f"expected shares of the image's sides, 0 to 1, got {max(shares):g}")
    height, width = size
    points = [share * (height if k % 2 else width) for k, share in enumerate(shares)]
    if len(points) == 4:
        x, y, w, h = points
        return int(label), rectangle(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return int(label), points


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        raise ValueError(f"expected numbers, got {excerpt(field)}") from None


def _without_picture(readings: Mapping[str, Reading]) -> list[Problem]:
    """An error for each label file whose picture is nowhere."""
    labels = {_label_file(picture.path) for reading in readings.values() for picture in reading.pictures}
    named = {_label_file(Path(problem.file)) for reading in readings.values() for problem in reading.problems}
    problems = []
    for folder in sorted({file.parent for file in labels if file.parent.is_dir()}):
        pictures = {path.stem for path in finding.entries(_picture_folder(folder)) if finding.is_image(path)}
        for file in sorted(folder.glob("*.txt")):
            is_known = file in labels or file in named or file.stem in pictures
            if not is_known and file.name != "classes.txt":
                problems.append(found("missing-image", "there is no image for this label file", file))
    return problems


def _picture_folder(labels: Path) -> Path:
    parts = list(labels.parts)
    for k in range(len(parts) - 1, -1, -1):
        if parts[k] == "labels":
            parts[k] = "images"
            break
    return Path(*parts)
