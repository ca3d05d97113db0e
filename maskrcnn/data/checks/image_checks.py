"""The image files: whether they are there and can be read, their size, and which show the same (I images)."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from maskrcnn.data.checks.record_checks import Records
from maskrcnn.data.images import read_image
from maskrcnn.data.problems import Problem, found

MAX_THREADS = 8  # decoding releases Python's lock, and each thread holds one decoded picture
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageFacts:
    """What one file is."""

    size: tuple[int, int] | None = None
    """(height, width) as we read it, upright; None if it cannot be read."""
    orientation: int = 1
    """EXIF orientation, 1 to 8; 1 is upright."""
    digest: bytes = b""
    """Equal for equal pixels; empty where they were not read, or are all of one colour and so tell nothing."""
    error: str = ""
    is_missing: bool = False


@dataclass(frozen=True)
class ImagePlace:
    """An image record of one split."""

    split: str
    image: int
    path: Path


def look_at_images(paths: Iterable[Path], *, pixels: bool = True, progress: bool = False) -> dict[Path, ImageFacts]:
    """The facts of each file, once, however often it is named. Without `pixels` only headers are read."""
    unique = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        facts = pool.map(lambda path: _look_at(path, pixels), unique)
        facts = tqdm(facts, total=len(unique), desc="images", disable=None if progress else True, leave=False)
        return dict(zip(unique, facts, strict=True))


def check_images(records: Records, facts: Mapping[Path, ImageFacts]) -> list[Problem]:
    """Missing and unreadable files, and files of another size than the annotations say."""
    problems = []
    for image in range(len(records.file_names)):
        path = records.path(image)
        fact = facts[path]
        if fact.is_missing:
            elsewhere = path.parent.parent / path.name, records.image_dir / path.name
            hint = next((f"; {other} is there" for other in elsewhere if other != path and other.is_file()), "")
            problems.append(found("missing-image", f"there is no such file{hint}", path))
        elif fact.size is None:
            problems.append(found("unreadable-image", fact.error, path))
        elif records.sizes[image].all():  # otherwise that was reported
            problems += _check_size(path, fact, tuple(records.sizes[image].tolist()))
    return problems


def same_pictures(splits: Mapping[str, Records], facts: Mapping[Path, ImageFacts]) -> list[list[ImagePlace]]:
    """Groups of two or more records, of all splits, whose files have the same pixels (or are the same file)."""
    groups: dict[object, list[ImagePlace]] = {}
    for split, records in splits.items():
        for image in range(len(records.file_names)):
            path = records.path(image)
            if facts[path].size is not None:
                key = facts[path].digest or path.resolve()
                groups.setdefault(key, []).append(ImagePlace(split, image, path))
    return [group for group in groups.values() if len(group) > 1]


def check_same_pictures(groups: Iterable[list[ImagePlace]]) -> list[Problem]:
    """A problem for each picture that was there before: in another split, or in its own."""
    problems = []
    for group in groups:
        for position, place in enumerate(group):
            before = group[:position]
            other = next((earlier for earlier in before if earlier.split != place.split), None)
            if other is not None:
                reason = f"it is in {place.split}, and the same picture is in {other.split}: {other.path}"
                problems.append(found("image-in-two-splits", reason, place.path))
            elif before and all(earlier.path != place.path for earlier in before):  # else a duplicate-file-name
                reason = f"the same picture is in {place.split} as {before[0].path}"
                problems.append(found("duplicate-image", reason, place.path))
    return problems


def _look_at(path: Path, pixels: bool) -> ImageFacts:
    if not path.is_file():
        return ImageFacts(is_missing=True)
    header = _read_header(path)
    if header is not None and not pixels:
        return header
    try:
        image = read_image(path)
    except (OSError, ValueError) as error:
        return ImageFacts(error=str(error).removeprefix(f"{path}: "))
    height, width = image.shape[:2]
    is_blank = bool((image == image[0, 0]).all())
    digest = b"" if is_blank else hashlib.blake2b(image.data, digest_size=16, salt=f"{height}".encode()).digest()
    return ImageFacts((height, width), header.orientation if header else 1, digest)


def _read_header(path: Path) -> ImageFacts | None:
    """Size and orientation, or None where Pillow cannot tell; `read_image` knows more formats, and says why not."""
    try:
        with Image.open(path) as image:
            # For EXIF that may follow the pixels Pillow would decode the whole PNG.
            is_told = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if is_told else 1
            if image.format == "TIFF" and orientation != 1:  # which Pillow turns itself while decoding
                return None
            width, height = image.size
    except Exception:
        return None
    return ImageFacts((width, height) if orientation in (5, 6, 7, 8) else (height, width), orientation)


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
