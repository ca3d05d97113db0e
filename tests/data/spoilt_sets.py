"""For each kind of problem a way to spoil a clean set, named after the pain of users it answers.

The numbers are those of the list of user pains: 7 degenerate boxes, 8 empty images, 10 to 12 categories, 14 crowds and
RLE, 15 EXIF, 16 odd files, 27 polygons, 28 one object counted twice; 0 is what no pain names.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn.structures.rle import encode
from tests.data.clean_set import HEIGHT, WIDTH, CocoSet, disc, mask, polygons


@dataclass(frozen=True)
class Case:
    """How to spoil a set, and the problem that should then be found, alone."""

    kind: str
    spoil: Callable[[CocoSet], Any]
    annotation_id: str
    reason: str
    also: frozenset[str]
    """Kinds that cannot but come with it."""


CASES: list[Case] = []


def names(kind: str, reason: str, annotation_id: int | str = "", also: tuple[str, ...] = ()) -> Callable:
    def register(spoil: Callable[[CocoSet], Any]) -> Callable[[CocoSet], Any]:
        CASES.append(Case(kind, spoil, str(annotation_id), reason, frozenset(also)))
        return spoil

    return register


def _save(spoilt: CocoSet, name: str, pixels: np.ndarray, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(spoilt.folder / name, exif=exif)


@names("not-coco", "expected a list 'images', got None")
def pain_00_a_file_that_is_not_coco(spoilt: CocoSet) -> None:
    spoilt.coco = {"annotations": [], "categories": []}


@names("bad-category", "an id and a name, got {'name': 'date'}")
def pain_10_a_category_without_a_number(spoilt: CocoSet) -> None:
    spoilt.coco["categories"].append({"name": "date"})


@names("renumbered-ids", "1 ids of categories are no whole numbers .* the first from '7' to 7")
def pain_10_a_category_whose_number_is_a_text(spoilt: CocoSet) -> None:
    spoilt.coco["categories"][1]["id"] = "7"


@names("duplicate-category-id", "category id 3 belongs to 'nut' and 'date'")
def pain_10_two_categories_of_one_id(spoilt: CocoSet) -> None:
    spoilt.coco["categories"].append({"id": 3, "name": "date"})


@names("duplicate-category-name", "2 categories are named 'fig': ids 7, 9", also=("class-without-instance",))
def pain_10_two_categories_of_one_name(spoilt: CocoSet) -> None:
    spoilt.coco["categories"].append({"id": 9, "name": "fig"})


@names("bad-image-record", "an id and a file_name, got {'id': 9}")
def pain_11_an_image_without_a_file(spoilt: CocoSet) -> None:
    spoilt.coco["images"].append({"id": 9})


@names("no-images", "there is no image", also=("no-instances",))
def pain_11_no_image_at_all(spoilt: CocoSet) -> None:
    spoilt.coco |= {"images": [], "annotations": []}


@names("bad-image-size", "1.png: expected height and width in pixels, got -1 and -1")
def pain_14_an_image_of_size_minus_one(spoilt: CocoSet) -> None:
    spoilt.coco["images"][0] |= {"height": -1, "width": -1}


@names("duplicate-image-id", "image id 1 belongs to 1.png and 3.png")
def pain_11_two_images_of_one_id(spoilt: CocoSet) -> None:
    spoilt.coco["images"].append({"id": 1, "file_name": "3.png", "height": HEIGHT, "width": WIDTH})


@names("repeated-record", "the record of image 1, 1.png")
def pain_11_an_image_record_that_is_there_twice(spoilt: CocoSet) -> None:
    spoilt.coco["images"].append(dict(spoilt.coco["images"][0]))


@names("duplicate-file-name", "2 image records name 1.png")
def pain_11_one_image_record_for_each_object(spoilt: CocoSet) -> None:
    spoilt.coco["images"].append({"id": 9, "file_name": "1.png", "height": HEIGHT, "width": WIDTH})
    spoilt.annotation(6)["image_id"] = 9


@names("missing-image", "no such file; .*1.png is there")
def pain_11_a_missing_image(spoilt: CocoSet) -> None:
    spoilt.coco["images"][0]["file_name"] = "images/1.png"


@names("unreadable-image", "cannot be decoded|not an image")
def pain_16_a_damaged_image(spoilt: CocoSet) -> None:
    path = spoilt.folder / "1.png"
    path.write_bytes(path.read_bytes()[:2000])


@names("swapped-size", "40 x 60 .* say 60 x 40: EXIF orientation 6 turns it, and the annotation tool ignored that")
def pain_15_a_tool_that_ignores_exif(spoilt: CocoSet) -> None:
    spoilt.coco["images"][0] |= {"file_name": "turned.jpg", "height": WIDTH, "width": HEIGHT}
    spoilt.coco["annotations"] = [a for a in spoilt.coco["annotations"] if a["image_id"] == 2]
    spoilt.coco["annotations"].append(polygons(1, 1, [[4, 4, 20, 4, 20, 18]]))
    noise = np.random.default_rng(4).integers(0, 256, (WIDTH, HEIGHT, 3), dtype=np.uint8)
    _save(spoilt, "turned.jpg", noise, orientation=6)


@names("wrong-size", "the file is 20 x 30 .* say 40 x 60")
def pain_15_an_image_that_was_made_smaller(spoilt: CocoSet) -> None:
    _save(spoilt, "1.png", np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8))


@names("ambiguous-orientation", "EXIF orientation 3, and the size 40 x 60 is the same")
def pain_15_a_turn_that_the_size_does_not_tell(spoilt: CocoSet) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    _save(spoilt, "1.png", noise, orientation=3)


@names("bad-annotation", "expected iscrowd 0 or 1, got 'no'", 1)
def pain_14_an_iscrowd_that_is_no_number(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["iscrowd"] = "no"


@names("iscrowd-text", "iscrowd is '0'; in 1.png", 1)
def pain_14_an_iscrowd_in_quotes(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["iscrowd"] = "0"


@names("renumbered-annotation", "has the same id; it is read as 6", 2)
def pain_12_two_annotations_of_one_id(spoilt: CocoSet) -> None:
    spoilt.annotation(6)["id"] = 2


@names("non-finite-value", "score: NaN or infinite", 1)
def pain_00_a_score_that_is_no_number(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["score"] = float("nan")


@names("missing-size", "1.png: there is no height and width")
def pain_14_an_image_without_a_size(spoilt: CocoSet) -> None:
    del spoilt.coco["images"][0]["height"], spoilt.coco["images"][0]["width"]


@names("file-name-spelling", "is on the disk with forward slashes")
def pain_11_a_name_with_backslashes(spoilt: CocoSet) -> None:
    (spoilt.folder / "images").mkdir()
    (spoilt.folder / "1.png").rename(spoilt.folder / "images" / "1.png")
    spoilt.coco["images"][0]["file_name"] = "images\\1.png"


@names("file-name-bytes", "is not UTF-8")
def a_name_of_other_bytes(spoilt: CocoSet) -> None:
    name = os.fsdecode(b"1\xff.png")
    (spoilt.folder / "1.png").rename(spoilt.folder / name)
    spoilt.coco["images"][0]["file_name"] = name


@names("point-pairs", "pairs", 1)
def pain_27_a_polygon_of_pairs(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[4, 4], [20, 4], [20, 18], [4, 18]]


@names("long-outline", "an outline of 2000 points is .* px long, expected at most 4000000 px", 1)
def pain_00_a_zigzag_that_takes_all_memory(spoilt: CocoSet) -> None:
    spoilt.coco["images"][0] |= {"file_name": "wide.png", "height": 10, "width": 5000}
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (10, 5000, 3), dtype=np.uint8)).save(
        spoilt.folder / "wide.png"
    )
    spoilt.coco["annotations"] = [a for a in spoilt.coco["annotations"] if a["image_id"] == 2]
    zigzag = [[k % 2 * 4000, k % 7] for k in range(2000)]
    spoilt.coco["annotations"] += [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 7,
            "iscrowd": 0,
            "segmentation": [[number for point in zigzag for number in point]],
            "area": 9,
        }
        | {"bbox": [0, 0, 4000, 7]}
    ]


@names("unknown-image", "unknown image id 99", 1)
def pain_11_an_annotation_of_no_image(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["image_id"] = 99


@names("unknown-category", "unknown category id 0", 1)
def pain_12_a_label_out_of_range(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["category_id"] = 0


@names("missing-iscrowd", "no iscrowd; in 1.png", 1)
def pain_14_a_missing_iscrowd(spoilt: CocoSet) -> None:
    del spoilt.annotation(1)["iscrowd"]


@names("missing-box", "no bbox", 1)
def pain_07_a_missing_box(spoilt: CocoSet) -> None:
    del spoilt.annotation(1)["bbox"]


@names("missing-area", "no area", 1)
def pain_07_a_missing_area(spoilt: CocoSet) -> None:
    del spoilt.annotation(1)["area"]


@names("empty-segmentation", "no segmentation", 1)
def pain_27_an_empty_segmentation(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = []


@names("malformed-segmentation", r"expected a polygon \[x, y, x, y, ...\], got \[\[4, 4, 1\]", 1)
def pain_27_points_of_three_numbers(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[[4, 4, 1], [20, 4, 1], [20, 18, 1]]]


@names("odd-coordinates", "a polygon has 7 coordinates", 1)
def pain_27_an_odd_number_of_coordinates(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[4, 4, 20, 4, 20, 18, 4]]


@names("non-finite-coordinates", "expected finite numbers, a polygon contains nan", 1)
def pain_27_coordinates_that_are_no_numbers(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[4, 4, 20, float("nan"), 20, 18]]


@names("normalised-coordinates", "lies in 0..1, expected pixels", 1)
def pain_07_shares_of_the_image_instead_of_pixels(spoilt: CocoSet) -> None:
    spoilt.annotation(1).update(segmentation=[[0.1, 0.1, 0.5, 0.1, 0.5, 0.9]], bbox=[4, 4, 16, 14])


@names("far-coordinates", "a polygon goes to 5e.08 in an image of 40 x 60", 1)
def pain_27_a_polygon_that_runs_away(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[4, 4, 5e8, 4, 20, 18]]


@names("two-point-polygon", "no polygon has three points; the longest has 2", 1)
def pain_27_a_polygon_of_two_points(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[4, 4, 20, 18]]


@names("two-point-part", "1 of 3 polygons enclose nothing; in 2.png", 4)
def pain_27_a_part_of_two_points(spoilt: CocoSet) -> None:
    spoilt.annotation(4)["segmentation"].append([35, 6, 40, 8])


@names("rle-size", r"size \[60, 40\], the image \[40, 60\] \(height, width\); the sides are swapped", 2)
def pain_14_an_rle_of_another_size(spoilt: CocoSet) -> None:
    spoilt.annotation(2)["segmentation"]["size"] = [WIDTH, HEIGHT]


@names("rle-counts", "add up to height x width = 40 x 60 = 2400, got 3 counts that add up to 30", 2)
def pain_14_an_rle_that_ends_early(spoilt: CocoSet) -> None:
    spoilt.annotation(2)["segmentation"]["counts"] = [10, 10, 10]


@names("empty-mask", "the RLE has no pixel", 2)
def pain_07_a_mask_without_pixels(spoilt: CocoSet) -> None:
    spoilt.annotation(2)["segmentation"] = encode(np.zeros((HEIGHT, WIDTH), bool))


@names("mask-outside-image", "x 70 to 80, y 4 to 18, lies outside the image of 40 x 60", 1)
def pain_07_a_mask_beside_the_image(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["segmentation"] = [[70, 4, 80, 4, 80, 18]]


@names("self-crossing-polygon", "crosses itself", 1)
def pain_27_an_outline_that_crosses_itself(spoilt: CocoSet) -> None:
    spoilt.annotation(1).update(segmentation=[[4, 4, 20, 18, 20, 4, 4, 18]], area=112)


@names("one-pixel-mask", "a single pixel", 7)
def pain_07_a_mask_of_one_pixel(spoilt: CocoSet) -> None:
    spoilt.coco["annotations"].append(mask(7, 1, disc(35, 55, 0.5)))


@names("bad-box", r"four finite numbers, got \[4, 4, 16\]", 1)
def pain_07_a_box_of_three_numbers(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["bbox"] = [4, 4, 16]


@names("degenerate-box", r"the box \[4, 4, 0, 14\] has width 0 and height 14; in 1.png", 1)
def pain_07_degenerate_boxes(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["bbox"] = [4, 4, 0, 14]


@names("box-outside-image", r"the box \[60, 4, 16, 14\] lies outside the image \(40 x 60, height x width\)", 1)
def pain_07_a_box_beside_the_image(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["bbox"] = [60, 4, 16, 14]


@names("xyxy-boxes", "6 of 6 boxes make sense only as corners x0 y0 x1 y1, 0 only as x y width height", 1)
def pain_07_corners_instead_of_sizes(spoilt: CocoSet) -> None:
    for annotation in spoilt.coco["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]


@names("box-over-the-edge", r"\[-3, 4, 23, 14\] leaves the image .* by 3 px", 1)
def pain_07_a_box_over_the_edge(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["bbox"] = [-3, 4, 23, 14]


@names("box-unlike-mask", r"the box is \[4, 4, 30, 30\], that of the mask \[4, 4, 16, 14\]", 1)
def pain_07_a_box_that_disagrees_with_the_mask(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["bbox"] = [4, 4, 30, 30]


@names("area-unlike-mask", r"the area is 900, the mask has 224 pixels", 1)
def pain_07_an_area_that_disagrees_with_the_mask(spoilt: CocoSet) -> None:
    spoilt.annotation(1)["area"] = 900


@names("duplicate-annotation", "the same mask as annotation 2; in 1.png", 9)
def pain_28_one_object_annotated_twice(spoilt: CocoSet) -> None:
    spoilt.coco["annotations"].append(spoilt.annotation(2) | {"id": 9})


@names(
    "mostly-crowd",
    "6 of 6 annotations have iscrowd = 1: your exporter marks masks as crowd",
    also=("crowd-only-class",),
)
def pain_14_an_exporter_that_marks_masks_as_crowd(spoilt: CocoSet) -> None:
    for annotation in spoilt.coco["annotations"]:
        annotation["iscrowd"] = 1


@names("no-instances", "there are 0 annotations", also=("empty-images",))
def pain_08_nothing_to_train_on(spoilt: CocoSet) -> None:
    spoilt.coco["annotations"] = []


@names("empty-images", "1 of 3 images have no annotation, the first is 4.png")
def pain_08_images_without_objects(spoilt: CocoSet) -> None:
    _save(spoilt, "4.png", np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    spoilt.coco["images"].append({"id": 9, "file_name": "4.png", "height": HEIGHT, "width": WIDTH})


@names("class-without-instance", "1 of 3 classes have no instance: date")
def pain_11_a_class_that_never_occurs(spoilt: CocoSet) -> None:
    for coco in (spoilt.coco, spoilt.val):
        coco["categories"].append({"id": 9, "name": "date"})
    spoilt.val["annotations"].append(polygons(9, 3, [[2, 2, 9, 2, 9, 9]], category_id=9))


@names("crowd-only-class", "1 of 3 classes occur only as crowd: date")
def pain_14_a_class_that_is_only_a_crowd(spoilt: CocoSet) -> None:
    for coco in (spoilt.coco, spoilt.val):
        coco["categories"].append({"id": 9, "name": "date"})
    spoilt.annotation(3)["category_id"] = 9
    spoilt.val["annotations"].append(polygons(9, 3, [[2, 2, 9, 2, 9, 9]], category_id=9))


@names("duplicate-image", "the same image is in train as .*1.png")
def pain_00_one_picture_under_two_names(spoilt: CocoSet) -> None:
    picture = Image.open(spoilt.folder / "1.png")
    picture.save(spoilt.folder / "2.png", compress_level=1)  # other bytes, the same pixels


@names("image-in-two-splits", "it is in val, and the same image is in train: .*1.png")
def pain_00_a_picture_of_train_in_val(spoilt: CocoSet) -> None:
    Image.open(spoilt.folder / "1.png").save(spoilt.folder / "3.png", compress_level=1)


@names("class-names-differ", r"val has other classes than train: - 'fig', \+ 'Fig' \(only written differently")
def pain_11_other_class_names_in_val(spoilt: CocoSet) -> None:
    spoilt.val["categories"][1]["name"] = "Fig"
