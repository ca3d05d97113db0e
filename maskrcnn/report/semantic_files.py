"""Semantic maps as files: class indices as a palette PNG, the classes and their shares as tables."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn.files import atomic_path
from maskrcnn.report.draw_semantic import VOID_COLOR, semantic_figure
from maskrcnn.report.written import CLASSES_HEADER, SHARES_LAST, write_drawing, write_marked_png
from maskrcnn.structures.semantic_map import SemanticMap
from maskrcnn.untrusted.names import table_cell

MAP_ENDING, OVERLAY_ENDING = "_semantic.png", "_overlay.png"
"""How the names of the two pictures of a map end."""


@dataclass(frozen=True)
class ShareRow:
    """What came of one file."""

    file: str
    shares: Mapping[str, float] | None
    """By class name, 0..1; None where they are not known."""
    status: str
    """`ok`, or what kept the file from being done."""


def write_class_map(path: str | Path, found: SemanticMap) -> None:
    """Write a PNG whose pixel value is the class index, shown in the colours of the classes; 255 is no class.

    More than 255 classes give a grey PNG of 16 bits without colours. `is_ours` knows the file.
    """
    if found.class_idx.dtype == np.uint8:
        picture = Image.fromarray(found.class_idx, "P")
        table = np.zeros((256, 3), np.uint8)
        table[: len(found.colors)], table[found.void] = found.colors, VOID_COLOR
        picture.putpalette(table.tobytes())
    else:
        picture = Image.fromarray(found.class_idx)
    data = io.BytesIO()
    picture.save(data, "PNG")
    write_marked_png(path, data.getvalue())


def classes_csv(path: str | Path, like: SemanticMap, pixels: Sequence[int] | np.ndarray | None = None) -> None:
    """Write what each pixel value stands for, with its colour, pixels and share; of `like`, or of several pictures.

    `pixels` (K,) are those of each class in all pictures; None takes the ones of `like` itself.
    """
    numbers = np.asarray(like.pixels if pixels is None else pixels, np.int64)
    total = max(int(numbers.sum()), 1)
    rows = [
        [k, table_cell(name), *like.colors[k].tolist(), int(numbers[k]), f"{numbers[k] / total:.6f}"]
        for k, name in enumerate(like.class_names)
    ]
    _write_table(path, [CLASSES_HEADER, *rows])


def shares_csv(path: str | Path, rows: Iterable[ShareRow], class_names: Sequence[str]) -> None:
    """Write a line for each file: `file`, the share of its pixels of each of `class_names` and of none, `status`."""
    lines: list[Sequence[object]] = [["file", *map(table_cell, class_names), *SHARES_LAST]]
    for row in rows:
        shares = [""] * (len(class_names) + 1)
        if row.shares is not None:
            known = [row.shares.get(name, 0.0) for name in class_names]
            shares = [f"{share:.6f}" for share in (*known, abs(1.0 - sum(known)))]
        lines.append([table_cell(row.file), *shares, table_cell(row.status)])
    _write_table(path, lines)


def save_semantic(folder: str | Path, stem: str, image: np.ndarray, found: SemanticMap) -> list[Path]:
    """Write `<stem>_semantic.png`, `<stem>_overlay.png` and classes.csv into `folder`; gives their paths.

    Raises:
        ValueError: `image`, RGB uint8 (H, W, 3), is not of the size of the map.
    """
    folder = Path(folder)
    paths = [folder / f"{stem}{MAP_ENDING}", folder / f"{stem}{OVERLAY_ENDING}", folder / "classes.csv"]
    overlay = semantic_figure(image, found)
    write_class_map(paths[0], found)
    write_drawing(paths[1], overlay)
    classes_csv(paths[2], found)
    return paths


def _write_table(path: str | Path, rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.getvalue().encode())
