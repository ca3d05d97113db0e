"""CVAT for images 1.1: one annotations.xml; polygons, and for objects of several parts or with holes masks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.outlines import points
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.untrusted.names import printable

KEEPS = {"class", "score", "holes", "parts", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture. CVAT takes the file as an upload of annotations with the labels of <meta>."""
    with folder.text("annotations.xml") as file:
        labels = "".join(
            f"<label><name>{_text(name)}</name><type>any</type><attributes><attribute><name>score</name>"
            "<mutable>False</mutable><input_type>text</input_type><default_value></default_value><values></values>"
            "</attribute></attributes></label>\n"
            for name in folder.class_names
        )
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
            f"<meta><task><name>maskrcnn</name><mode>annotation</mode><labels>\n{labels}</labels></task></meta>\n"
        )
        num = 0

        def add(picture: FoundPicture) -> None:
            nonlocal num
            height, width = picture.size
            name = _quoted(picture.file_name)
            file.write(f'<image id="{num}" name={name} width="{width}" height="{height}">\n')
            for found in picture.objects:
                file.write(_shape(found))
            file.write("</image>\n")
            num += 1

        yield add
        file.write("</annotations>\n")


def _shape(found: FoundObject) -> str:
    score = "" if found.score is None else f'<attribute name="score">{found.score:.4f}</attribute>'
    about = f'label={_quoted(found.class_name)} source="auto" occluded="0" z_order="0"'
    if found.is_one_ring:
        places = ";".join(f"{x},{y}" for x, y in points(found.outline[0]["exterior"]))
        return f'<polygon {about} points="{places}">{score}</polygon>\n'
    x0, y0, bitmap = found.crop
    height, width = bitmap.shape
    runs = ", ".join(map(str, row_runs(bitmap)))
    where = f'left="{x0}" top="{y0}" width="{width}" height="{height}"'
    return f'<mask {about} rle="{runs}" {where}>{score}</mask>\n'


def row_runs(bitmap: np.ndarray) -> list[int]:
    """Lengths of alternating runs of 0s and 1s, row by row, the first of 0s."""
    values = bitmap.ravel().view(np.uint8)
    changes = np.flatnonzero(np.diff(values, prepend=np.uint8(0))).tolist()
    return np.diff([0, *changes, values.size]).tolist()


def _text(text: str) -> str:
    return escape(printable(text))


def _quoted(text: str) -> str:
    return quoteattr(printable(text))
