"""The annotations of one split, of any format, ready to train on or to evaluate with."""

import logging
import os
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.pages import Planes
from maskrcnn.data.problems import DataError, Problem

log = logging.getLogger("maskrcnn")

HARMLESS = ("no-images", "duplicate-category-name", "duplicate-file-name")
"""Errors of a data set to train on that leave every annotation readable."""
PREFERRED = ("val", "test")
"""Of several splits, the first of these that is there, where none was named."""


def load_annotations(
    path: str | Path,
    images: str | Path | None = None,
    *,
    split: str | None = None,
    format_name: str | None = None,
    crowd_as_objects: bool = False,
    drop_unusable: bool = False,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
) -> Annotations:
    """The annotations of a file or folder of any known format, only what can be used.

    `format_name` is for folders that can be read in several ways. Of data in several splits `split` names one; by
    default it is val, or else test. `images` is the folder of the pictures, where it is not beside the annotations.
    With `drop_unusable` what cannot be used is left out and logged. `max_pixels` is the limit of each picture and mask;
    `channel` and `planes` are of `maskrcnn.data.pages.Reading`.

    Raises:
        FileNotFoundError: no such file or folder, or images that are not there.
        ValueError: not a known format, or no such split.
        DataError: naming the file and up to 10 annotations that cannot be used.
    """
    folder = Path(images) if images is not None else None
    splits = read_dataset(Path(path), folder, format_name, max_pixels=max_pixels, channel=channel, planes=planes)
    if split is None and len(splits) > 1:
        split = next((name for name in PREFERRED if name in splits), None)
        if split is None:
            raise ValueError(f"{path} has the splits {', '.join(splits)}; say which one")
        log.info("%s has the splits %s; taken is %s", path, ", ".join(splits), split)
    if split is not None and split not in splits:
        raise ValueError(f"{path}: expected the split {split}, there is {', '.join(splits)}")
    table = splits[split] if split is not None else next(iter(splits.values()))
    require_usable(table, drop_unusable=drop_unusable)
    missing = [name for i, name in enumerate(table.file_names) if not os.path.isfile(table.image_path(i))]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(table)} images of {table.source} are not in {table.image_folder}, "
            f"first {missing[0]!r}"
        )
    table = table.usable()
    return table.without_crowds() if crowd_as_objects else table


def require_usable(table: Annotations, *, drop_unusable: bool = False) -> None:
    """Raise a DataError for errors met while reading; or only log them."""
    errors = unusable(table)
    if not errors:
        return
    error = DataError(f"{table.source} cannot be used as it is", errors)
    if not drop_unusable:
        raise error
    log.warning("%s; left out", error)


def unusable(table: Annotations) -> list[Problem]:
    """The errors of reading, for which something is not in the table or cannot be used."""
    return [problem for problem in table.problems if problem.severity == "error" and problem.kind not in HARMLESS]
