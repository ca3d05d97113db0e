from pathlib import Path

from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.statistics import statistics_of
from tests.data.clean_set import HEIGHT, WIDTH, clean_set


def test_objects_crowds_and_what_cannot_be_used_are_counted_apart(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.annotation(5)["segmentation"] = []
    coco_set.coco["images"].append({"id": 9, "file_name": "3.png", "height": HEIGHT, "width": WIDTH})
    found = statistics_of(annotations_from_coco(coco_set.coco, tmp_path, "train"))
    assert found.counts == {"nut": 1, "fig": 3}  # annotations 2, and 1, 4, 6; 3 is a crowd, 5 has no mask
    assert (found.num_crowds, found.num_unusable, found.num_objects) == (1, 1, 4)
    assert found.objects_per_image.tolist() == [3, 1, 0]
    assert (found.num_images, found.num_empty_images) == (3, 1)
    assert found.image_sizes.tolist() == [[HEIGHT, WIDTH]] * 3
    assert found.areas[0] == 16 * 14
    assert found.aspect_ratios[0] == 14 / 16


def test_nothing_is_counted_as_nothing(tmp_path: Path):
    found = statistics_of(annotations_from_coco({"images": [], "annotations": [], "categories": []}, tmp_path, "none"))
    assert found.counts == {}
    assert (found.num_images, found.num_objects, found.num_empty_images) == (0, 0, 0)
