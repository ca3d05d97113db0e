"""COCO with polygons, which labelling tools take rather than RLE; what has holes stays RLE."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.export.folder import ExportFolder, OpenList, write_list
from maskrcnn.report.export.outlines import flat
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.report.written import json_text
from maskrcnn.untrusted.names import utf8

KEEPS = {"class", "score", "holes", "parts", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture into annotations.json; classes have the ids 1..K."""
    id_of = {name: number for number, name in enumerate(folder.class_names, start=1)}
    images: list[dict[str, Any]] = []
    with folder.text("annotations.json") as file:
        file.write(f'{{"info":{json_text({"description": DESCRIPTION})},"annotations":[')
        annotations, num = OpenList(file), 0

        def add(picture: FoundPicture) -> None:
            nonlocal num
            height, width = picture.size
            image = {"id": len(images) + 1, "file_name": utf8(picture.file_name), "width": width, "height": height}
            images.append(image | ({} if picture.page is None else {"page": picture.page}))
            for found in picture.objects:
                num += 1
                x0, y0, x1, y1 = found.box
                record = {"id": num, "image_id": len(images), "category_id": id_of[found.class_name], "iscrowd": 0}
                record |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": found.area, "segmentation": _mask(found)}
                known = {"score": found.score, "track_id": found.track}
                annotations.add(record | {key: value for key, value in known.items() if value is not None})

        yield add
        file.write('],"images":')
        write_list(file, images)
        categories = [{"id": number, "name": utf8(name)} for name, number in id_of.items()]
        file.write(f',"categories":{json_text(categories)}}}')


def _mask(found: FoundObject) -> Any:
    if any(part["holes"] for part in found.outline):
        return found.rle
    return [flat(part["exterior"]) for part in found.outline]
