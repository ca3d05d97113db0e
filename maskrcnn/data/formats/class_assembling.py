"""Pictures with a class for every pixel, read from any format, become tables of annotations: all classes are stuff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.formats.assembling import common_folder
from maskrcnn.data.formats.bitmaps import rles_by_value
from maskrcnn.data.formats.class_list import ClassList
from maskrcnn.data.formats.finding import size_problem, sizes_of
from maskrcnn.data.problems import AnnotationError, Problem, found
from maskrcnn.data.stuff_masks import KEY


@dataclass(frozen=True)
class Pairs:
    """Pictures of one split, each with its class image."""

    files: Sequence[tuple[Path, Path]]
    problems: list[Problem] = field(default_factory=list)


def assemble_classes(
    splits: Mapping[str, Pairs], classes: ClassList, source: Path, images: Path | None
) -> dict[str, Annotations]:
    """The tables of all splits. A picture whose class image cannot be used is left out and named.

    Pictures are in the order of their names; class k of the list has the id k.

    Raises:
        ValueError: no picture can be used; says why for the first few.
    """
    problems = {split: list(pairs.problems) for split, pairs in splits.items()}
    read = {split: _read(pairs.files, classes, problems[split]) for split, pairs in splits.items()}
    pictures = [picture for records in read.values() for picture, _, _ in records]
    if not pictures:
        first = [problem for some in problems.values() for problem in some][:3]
        why = "; ".join(f"{problem.file}: {problem.reason}" for problem in first)
        raise ValueError(f"{source}: no image can be used" + (f" ({why})" if why else ""))
    folder = common_folder([picture.absolute() for picture in pictures], images)
    tables = {}
    for split, records in read.items():
        called = f"{source} ({split})" if len(splits) > 1 else str(source)
        table = annotations_from_coco(_coco(records, classes, folder), folder, called)
        tables[split] = replace(table, problems=(*problems[split], *table.problems))
    return tables


def _read(
    files: Sequence[tuple[Path, Path]], classes: ClassList, problems: list[Problem]
) -> list[tuple[Path, tuple[int, int], dict[int, Any]]]:
    """Picture, (height, width), and the RLE of each class that it has, by 1 + its index."""
    sizes, unreadable = sizes_of(picture for picture, _ in files)
    problems += unreadable
    records = []
    for picture, mask in tqdm(sorted(files), desc="class images", disable=None, leave=False):
        if picture not in sizes:
            continue
        try:
            labels = classes.read(mask)
            rles = rles_by_value(labels)
        except AnnotationError as error:
            problems.append(found(error.kind, str(error), mask))
            continue
        except ValueError as error:
            problems.append(found("unreadable-mask", str(error).removeprefix(f"{mask}: "), mask))
            continue
        size = labels.shape[0], labels.shape[1]
        wrong = size_problem(picture, sizes[picture], size, f"its class image {mask.name}")
        if wrong:
            problems.append(wrong)
        else:
            records.append((picture, size, rles))
    return records


def _coco(
    records: Sequence[tuple[Path, tuple[int, int], dict[int, Any]]], classes: ClassList, folder: Path
) -> dict[str, Any]:
    images, stuff = [], []
    for number, (picture, (height, width), rles) in enumerate(records, start=1):
        name = picture.absolute().relative_to(folder).as_posix()
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        stuff += [{"image_id": number, "category_id": k - 1, "segmentation": rle} for k, rle in rles.items()]
    kinds = [{"id": k, "name": name} for k, name in enumerate(classes.names)]
    return {"images": images, "annotations": [], "categories": [], KEY: {"categories": kinds, "annotations": stuff}}
