"""YOLO segmentation: labels/<stem>.txt of polygons in shares of the picture's sides, and data.yaml."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.outlines import JOINED, ring_of
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.report.written import json_text
from maskrcnn.untrusted.names import printable

KEEPS = {"class", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture; the pictures themselves belong into images/, under the names of their labels."""
    label_of = {name: label for label, name in enumerate(folder.class_names)}

    def add(picture: FoundPicture) -> None:
        height, width = picture.size
        with folder.text(f"labels/{picture.stem}.txt") as file:
            for found in picture.objects:
                shares = [f"{x / width:.8g} {y / height:.8g}" for x, y in ring_of(found).tolist()]
                file.write(f"{label_of[found.class_name]} {' '.join(shares)}\n")
                folder.lost[JOINED] += not found.is_one_ring
                folder.lost["scores"] += found.score is not None

    yield add
    with folder.text("data.yaml") as file:
        names = "".join(f"  {label}: {json_text(printable(name))}\n" for name, label in label_of.items())
        file.write(
            "# put the pictures into images/, under the names of the files in labels/\n"
            "train: images\n"
            "# ultralytics asks for val: name held-out pictures here, for scores on the same ones mean little\n"
            f"val: images\nnames:\n{names}"
        )
