"""Methods without weights: objects where they are, light or dark, by every way there is."""

import numpy as np
import pytest

from maskrcnn.classical.method import METHODS, Method, method_of

y, x = np.mgrid[:80, :100]
TRUTH = ((x - 65) ** 2 + (y - 55) ** 2 < 225) | ((x >= 8) & (x < 32) & (y >= 8) & (y < 32))
TRUTH |= (x >= 60) & (x < 80) & (y >= 4) & (y < 24)
PICTURE = np.where(TRUTH, 200, 90).astype(np.uint8)[..., None].repeat(3, axis=2)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("image", [PICTURE, 255 - PICTURE], ids=["light", "dark"])
def test_three_objects_are_found_where_they_are(name: str, image: np.ndarray):
    found = method_of(name)(image)
    assert len(found.instances) == 3
    union = found.instances.bitmaps().any(axis=0)
    assert iou(union, TRUTH) > 0.8
    assert found.semantic.image_size == (80, 100)
    assert found.steps == {}
    assert found.instances.scores.tolist() == [1.0] * 3


def test_the_side_of_the_objects_can_be_told():
    # More than half of the border is dark, so that "auto" takes the light part for the object.
    image = np.zeros((20, 20, 3), np.uint8)
    image[4:16, 4:16] = 200
    image[9:11, 9:11] = 0  # a dark spot on it
    light, dark = method_of("otsu", smooth_px=0, min_area=0), method_of("otsu", smooth_px=0, min_area=0, objects="dark")
    assert light(image).instances.areas().tolist() == [144]
    assert dark(image).instances.areas().tolist() == [400], "all around, and its hole with it"
    open_ring = method_of("otsu", smooth_px=0, min_area=0, objects="dark", fill=False)(image).instances
    assert sorted(open_ring.areas().tolist()) == [4, 400 - 144]


def test_small_regions_are_no_objects_and_stay_in_the_map():
    image = np.zeros((20, 20, 3), np.uint8)
    image[2:4, 2:4] = image[10:16, 10:16] = 200
    method = method_of("otsu", smooth_px=0, min_area=5)
    assert method(image).instances.areas().tolist() == [36]
    assert method(image).semantic.pixels.tolist() == [360, 40]


def test_touching_discs_are_told_apart_where_that_is_asked_for():
    y, x = np.mgrid[:60, :100]
    mask = ((x - 33) ** 2 + (y - 30) ** 2 < 400) | ((x - 67) ** 2 + (y - 30) ** 2 < 400)
    image = np.repeat((mask * 200).astype(np.uint8)[..., None], 3, axis=2)
    assert len(method_of("otsu")(image).instances) == 1
    for method in (method_of("otsu", split=True), method_of("watershed")):
        found = method(image, with_steps=True)
        assert len(found.instances) == 2
        assert abs(found.instances.areas() - mask.sum() / 2).max() < 60
        assert {"grey", "distance", "markers", "mask"} <= set(found.steps)
    assert len(method_of("watershed", split=False)(image).instances) == 1
    markers = np.zeros((60, 100), np.int32)
    markers[30, [20, 35, 65]] = 7, 8, 9
    assert len(method_of("otsu")(image, markers).instances) == 3


def test_several_thresholds_are_several_classes():
    image = np.repeat(np.array([[0, 100, 200]], np.uint8).repeat(8, axis=0).repeat(8, axis=1)[..., None], 3, axis=2)
    found = method_of("threshold", cuts=(150, 50), smooth_px=0, objects="light")(image, with_steps=True)
    assert found.semantic.class_names == ("grey up to 50", "grey 50 to 150", "grey above 150")
    assert found.semantic.pixels.tolist() == [64, 64, 64]
    assert found.semantic.background == 0
    assert found.instances.areas().tolist() == [128], "what is not the background"
    assert np.unique(found.steps["levels"]).tolist() == [0, 128, 255]


def test_clusters_are_shown_in_their_mean_colours():
    image = np.zeros((30, 30, 3), np.uint8)
    image[:, 10:20], image[:, 20:] = (200, 40, 40), (60, 90, 240)
    found = method_of("kmeans", clusters=3, smooth_px=0)(image, with_steps=True)
    assert np.array_equal(found.steps["clusters"], image)
    assert found.semantic.class_names == ("cluster 1", "cluster 2", "cluster 3")
    assert np.array_equal(found.semantic.class_idx[0, [0, 10, 20]], [0, 1, 2]), "from dark to light"


def test_an_empty_and_an_even_image():
    for name in METHODS:
        if name != "kmeans":
            found = method_of(name)(np.full((20, 30, 3), 70, np.uint8))
            assert len(found.instances) == 0, name
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) uint8 RGB image"):
        Method()(np.zeros((0, 5, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "choices", "sentence"),
    [
        ("otsu", {"objects": "bright"}, "objects: expected one of auto, light, dark, got 'bright'"),
        ("otsu", {"min_area": -1}, "expected 0 or more"),
        ("ots", {}, "expected a method out of threshold, local, .*, got 'ots'"),
    ],
)
def test_a_choice_that_there_is_not(name: str, choices: dict, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        method_of(name, **choices)


def test_what_a_method_is_called():
    assert str(method_of("otsu")) == "threshold"
    assert str(method_of("threshold", cuts=(85.0, 170.0), objects="dark")) == (
        "threshold (cuts 85.0, 170.0; objects dark)"
    )
