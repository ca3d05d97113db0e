"""The image files: whether they are there and can be read, their size, and which show the same (I images)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.image_facts import ImageFacts
from maskrcnn.data.problems import Problem, found


@dataclass(frozen=True)
class ImagePlace:
    """An image of one split."""

    split: str
    image: int
    path: Path


def check_images(annotations: Annotations, facts: Mapping[Path, ImageFacts]) -> list[Problem]:
    """Missing and unreadable files, and files of another size than the annotations say."""
    problems = []
    for image in range(len(annotations)):
        path = annotations.image_path(image)
        fact = facts[path]
        if fact.is_missing:
            elsewhere = path.parent.parent / path.name, annotations.image_folder / path.name
            hint = next((f"; {other} is there" for other in elsewhere if other != path and os.path.isfile(other)), "")
            problems.append(found("missing-image", f"there is no such file{hint}", path, image=image))
        elif fact.size is None:
            problems.append(found("unreadable-image", fact.error, path, image=image))
        elif annotations.sizes[image].all():  # otherwise that was reported
            sized = _check_size(path, fact, annotations.size(image))
            problems += [replace(problem, image=image) for problem in sized]
    return problems


def same_pictures(splits: Mapping[str, Annotations], facts: Mapping[Path, ImageFacts]) -> list[list[ImagePlace]]:
    """Groups of two or more records, of all splits, whose files have the same pixels (or are the same file)."""
    groups: dict[object, list[ImagePlace]] = {}
    for split, annotations in splits.items():
        for image in range(len(annotations)):
            path = annotations.image_path(image)
            if facts[path].size is not None:
                key = facts[path].digest or path.resolve()
                groups.setdefault(key, []).append(ImagePlace(split, image, path))
    return [group for group in groups.values() if len(group) > 1]


def check_same_pictures(groups: Iterable[list[ImagePlace]]) -> list[tuple[str, Problem]]:
    """A problem for each picture that was there before, in another split or in its own; with the split it is in."""
    problems = []
    for group in groups:
        for position, place in enumerate(group):
            before = group[:position]
            other = next((earlier for earlier in before if earlier.split != place.split), None)
            if other is not None:
                reason = f"it is in {place.split}, and the same image is in {other.split}: {other.path}"
                problem = found("image-in-two-splits", reason, place.path, image=place.image)
            elif before and all(earlier.path != place.path for earlier in before):  # else a duplicate-file-name
                reason = f"the same image is in {place.split} as {before[0].path}"
                problem = found("duplicate-image", reason, place.path, image=place.image)
            else:
                continue
            problems.append((place.split, problem))
    return problems


def _check_size(path: Path, fact: ImageFacts, expected: tuple[int, ...]) -> list[Problem]:
    assert fact.size is not None
    height, width = fact.size
    is_turned = fact.orientation in (5, 6, 7, 8)
    if fact.size == expected:
        if fact.orientation in (2, 3, 4) or (is_turned and height == width):
            reason = (
                f"EXIF orientation {fact.orientation}, and the size {height} x {width} is the same before and after"
            )
            return [found("ambiguous-orientation", reason, path)]
        return []
    reason = f"the file is {height} x {width} (height x width), the annotations say {expected[0]} x {expected[1]}"
    if (width, height) != expected:
        return [found("wrong-size", reason, path)]
    if is_turned:
        reason += f": EXIF orientation {fact.orientation} turns it, and the annotation tool ignored that"
    else:
        reason += ": they are exchanged, and EXIF does not explain it"
    return [found("swapped-size", reason, path)]
