"""Annotations of any known format written as COCO JSON, and split into train and val on request."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.assembling import ONE_CLASS
from maskrcnn.data.formats.finding import WHOLE
from maskrcnn.data.formats.recognise import read_dataset, recognise
from maskrcnn.data.formats.splitting import group_by, split_dataset
from maskrcnn.data.problems import Problem
from maskrcnn.report.written import write_json

MAX_CLASSES = 20


@dataclass(frozen=True, eq=False)
class ConvertedDataset:
    """What `convert_dataset` wrote."""

    format_name: str
    """Format of what was read."""
    splits: dict[str, Annotations]
    """What was written, by name of the split; `image_folder` is what its file names are relative to."""
    files: dict[str, Path]
    """COCO files, by name of the split."""
    uneven: str = ""
    """A sentence where val has a much larger or smaller share of the images than was asked for."""

    @property
    def problems(self) -> list[Problem]:
        """What was repaired or left out, split by split."""
        return [problem for table in self.splits.values() for problem in table.problems]

    @property
    def is_complete(self) -> bool:
        """Whether nothing had to be left out because of an error."""
        return not any(problem.severity == "error" for problem in self.problems)

    def text(self) -> str:
        """A line for each file, and for each folder that file names are relative to."""
        lines = [f"{self.files[name]}: {_summary(name, table)}" for name, table in self.splits.items()]
        folders: dict[Path, list[str]] = {}
        for name, table in self.splits.items():
            folders.setdefault(table.image_folder, []).append(name)
        for folder, names in folders.items():
            whose = f" of {', '.join(names)}" if len(folders) > 1 else ""
            lines.append(f"file names{whose} are relative to {folder}")
        return "\n".join(lines)


def convert_dataset(
    annotations: str | Path,
    out: str | Path,
    images: str | Path | None = None,
    *,
    format_name: str | None = None,
    split: str | None = None,
    val_fraction: float | None = None,
    group_key: str | None = None,
    seed: int = 0,
    class_name: str | None = None,
    max_pixels: int | None = None,
) -> ConvertedDataset:
    """Write annotations of any known format as COCO JSON; what cannot be used is left out and is in `problems`.

    Args:
        annotations: file or folder; its format is recognised.
        out: COCO file to write, NAME.json; several splits become NAME_train.json and so on.
        images: folder of the images; None searches near the annotations.
        format_name: for a folder that holds annotations in several formats.
        split: convert only this one.
        val_fraction: hold out about this fraction of the images, 0..1, as val. The file name alone decides.
        group_key: regular expression; images whose names match with the same text stay in the same split.
        seed: another one gives another split.
        class_name: for data without class names.
        max_pixels: largest number of pixels of an image or a mask file; see `read_image`.

    Raises:
        FileNotFoundError: annotations or images that are not there.
        ValueError: no known format, no such split, options that do not fit the data, an `out` that would replace
            what is read, all images in one split.
    """
    source, out = Path(annotations), Path(out)
    if out.suffix.lower() != ".json":
        raise ValueError(f"out: expected the name of a .json file, got {out}")
    if val_fraction is None and group_key is not None:
        raise ValueError("group_key needs val_fraction: it keeps images together when val is held out")
    name = format_name or recognise(source)
    tables = read_dataset(source, Path(images) if images is not None else None, name, max_pixels=max_pixels)
    splits = _usable(tables, split)
    if class_name is not None:
        splits = {key: _with_class_name(table, class_name) for key, table in splits.items()}
    uneven = ""
    if val_fraction is not None:
        if len(splits) > 1:
            raise ValueError(f"the data is already split ({', '.join(splits)}); name the split to divide further")
        splits = _with_val(next(iter(splits.values())), val_fraction, group_key, seed)
        uneven = _uneven(splits, val_fraction)
    names = {key: out if len(splits) == 1 else out.with_name(f"{out.stem}_{key}{out.suffix}") for key in splits}
    for file in names.values():
        if file.exists() and source.is_file() and file.samefile(source):
            raise ValueError(f"{file} is the input file; give the output another name")
    for key, table in splits.items():
        write_json(names[key], table.to_coco())
    return ConvertedDataset(name, splits, names, uneven)


def _usable(splits: dict[str, Annotations], split: str | None) -> dict[str, Annotations]:
    if split is not None:
        if split not in splits:
            raise ValueError(f"split: expected one of {', '.join(splits)}, got {split}")
        splits = {split: splits[split]}
    return {key: table.without_missing_images().usable() for key, table in splits.items()}


def _with_class_name(table: Annotations, name: str) -> Annotations:
    if table.class_names != (ONE_CLASS,):
        raise ValueError(f"class_name is for data without class names; this has {', '.join(table.class_names)}")
    return table.with_class_names([name])


def _with_val(table: Annotations, val_fraction: float, group_key: str | None, seed: int) -> dict[str, Annotations]:
    group_of = group_by(group_key, list(table.file_names)) if group_key is not None else None
    train, val = split_dataset(table, val_fraction, seed, group_of)
    return {"train": train, "val": val}


def _uneven(splits: dict[str, Annotations], val_fraction: float) -> str:
    num = sum(map(len, splits.values()))
    share = len(splits["val"]) / num
    if 0.5 <= share / val_fraction <= 1.5:
        return ""
    return (
        f"val has {share:.0%} of {num} images instead of {val_fraction:.0%}: the file name alone decides, so a small "
        "set may split unevenly; try another seed"
    )


def _summary(split: str, table: Annotations) -> str:
    counts = Counter(table.class_names[label] for label in table.labels.tolist())
    classes = [f"{name} {counts[name]}" for name in table.class_names]
    num_empty = len(table) - len(np.unique(table.image))
    more = f" and {len(classes) - MAX_CLASSES} more classes" if len(classes) > MAX_CLASSES else ""
    return (
        f"{'' if split == WHOLE else f'{split}, '}{len(table)} images ({num_empty} without objects), "
        f"{len(table.names)} objects: {', '.join(classes[:MAX_CLASSES])}{more}"
    )
