"""One CSV of objects, with their outlines as WKT, which shapely, geopandas, QGIS and R read."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.outlines import closed
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.structures.polygons import Polygon
from maskrcnn.untrusted.names import table_cell

KEEPS = {"class", "score", "holes", "parts", "overlaps"}
COLUMNS = ("file", "page", "id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1", "area_px", "outline")


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture; ids are those in the picture."""
    with folder.text("objects.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)

        def add(picture: FoundPicture) -> None:
            for number, found in picture.numbered:
                page = "" if picture.page is None else picture.page
                score = "" if found.score is None else f"{found.score:.9g}"
                box = [f"{edge:.9g}" for edge in found.box]
                name, class_name = table_cell(picture.file_name), table_cell(found.class_name)
                table.writerow([name, page, number, class_name, score, *box, found.area, wkt(found.outline)])

        yield add


def wkt(polygons: list[Polygon]) -> str:
    """Well-known text of the parts with their holes, in pixels, y down."""
    parts = [f"({', '.join(map(_ring, [closed(p['exterior']), *map(closed, p['holes'])]))})" for p in polygons]
    if len(parts) == 1:
        return f"POLYGON {parts[0]}"
    return f"MULTIPOLYGON ({', '.join(parts)})"


def _ring(ring: list[list[float]]) -> str:
    return f"({', '.join(f'{x} {y}' for x, y in ring)})"
