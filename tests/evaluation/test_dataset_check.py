"""What a check of a data set says of it, in a file and on a page."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from maskrcnn.data.reading import load_annotations
from maskrcnn.data.statistics import statistics_of
from maskrcnn.evaluation.dataset_check import _facts
from tests.coco_files import TRAIN_SCENES, write_coco
from tests.tiny import Shape


@pytest.mark.parametrize(
    ("scenes", "images", "empty", "objects", "median", "most"),
    [
        (TRAIN_SCENES, 4, 1, 5, "1.5", 2),  # 2, 1, 0 and 2 objects
        (([], []), 2, 2, 0, "0", 0),
        (([("square", 6, 8, 20)],), 1, 0, 1, "1", 1),
    ],
)
def test_facts_on_paper(
    scenes: Sequence[Sequence[Shape]], images: int, empty: int, objects: int, median: str, most: int, tmp_path: Path
) -> None:
    path = write_coco(tmp_path, "set", scenes)
    facts = _facts(statistics_of(load_annotations(path, tmp_path / "images")))
    assert (facts["images"], facts["images without objects"], facts["objects"]) == (images, empty, objects)
    assert (facts["objects in an image, median"], facts["objects in an image, most"]) == (median, most)
    assert (facts["crowd regions"], facts["unusable annotations"]) == (0, 0)
