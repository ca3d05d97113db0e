"""Objects keep the number that drawings and measurements.csv give them, also where one before them is left out."""

from pathlib import Path

import numpy as np
import tifffile

from maskrcnn.report.export.formats import write_formats
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.structures.rle import encode


def test_numbers_with_a_gap(tmp_path: Path) -> None:
    objects, masks = [], []
    for number in (1, 3):
        mask = np.zeros((20, 30), bool)
        mask[4:9, 6 * number : 6 * number + 4] = True
        masks.append(mask)
        box = (6.0 * number, 4.0, 6.0 * number + 4, 9.0)
        objects.append(FoundObject("nut", encode(mask), box, 0.9, number=number))
    picture = FoundPicture("a.png", "a", (20, 30), objects)
    write_formats(tmp_path, ["label-image", "csv", "voc"], [picture], ["nut"], overwrite=False, outlines_said=print)
    labels = tifffile.imread(next(tmp_path.rglob("*_labels.tif")))
    assert np.array_equal(labels, masks[0] * 1 + masks[1] * 3)
    lines = next(tmp_path.rglob("objects.csv")).read_text().splitlines()
    assert [line.split(",")[2] for line in lines] == ["id", "1", "3"]
    lines = next(tmp_path.rglob("*_labels.csv")).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["label", "1", "3"]
