"""A scene as a value, and its ids as colours."""

import numpy as np
import pytest

from maskrcnn.structures.panoptic import MAX_ID, Panoptic, Segment, areas_of, ids_to_rgb, rgb_to_ids

IDS = np.array([[0, 1, 1, 3], [2, 2, 1, 3]], np.int32)
SEGMENTS = (
    Segment(1, 1, True, 3, 0.9, 0),
    Segment(2, 0, True, 2, 0.8, 2),
    Segment(3, 1, False, 2),
)


def scene(ids: np.ndarray = IDS, segments: tuple[Segment, ...] = SEGMENTS) -> Panoptic:
    return Panoptic(ids, segments, ("cat", "dog"), ("grass", "sky"))


def test_counts_shares_and_names():
    found = scene()
    assert found.image_size == (2, 4)
    assert found.counts() == {"cat": 1, "dog": 1}
    assert found.stuff_shares() == {"grass": 0.0, "sky": 2 / 8}
    assert [found.name_of(segment) for segment in found.segments] == ["dog", "cat", "sky"]
    assert found.mask(SEGMENTS[0]).tolist() == [[False, True, True, False], [False, False, True, False]]
    assert repr(found) == "Panoptic(2 things: 1 cat, 1 dog; stuff: sky; image 2 x 4)"
    assert areas_of(IDS) == {segment.id: segment.area for segment in SEGMENTS}


def test_as_a_class_for_every_pixel():
    found = scene().semantic_map()
    assert found.class_names == ("cat", "dog", "grass", "sky")
    assert found.class_idx.tolist() == [[255, 1, 1, 3], [0, 0, 1, 3]]
    both = Panoptic(IDS, SEGMENTS, ("sky", "dog"), ("grass", "sky")).semantic_map()  # a thing and a stuff of one name
    assert both.class_names == ("sky", "dog", "grass")
    assert both.class_idx.tolist() == [[255, 1, 1, 0], [0, 0, 1, 0]]


def test_a_scene_of_nothing():
    found = scene(np.zeros((3, 5), np.int32), ())
    assert found.counts() == {"cat": 0, "dog": 0}
    assert set(found.stuff_shares().values()) == {0.0}
    assert repr(found) == "Panoptic(0 things; stuff: none; image 3 x 5)"
    assert areas_of(found.ids) == {}
    assert (found.semantic_map().class_idx == 255).all()
    assert scene(np.zeros((0, 5), np.int32), ()).stuff_shares() == {"grass": 0.0, "sky": 0.0}


def test_an_id_as_three_bytes():
    ids = np.array([[0, 1, 255], [256, 65536 + 256 * 2 + 3, MAX_ID]], np.int32)
    rgb = ids_to_rgb(ids)
    # On paper: 65536 + 512 + 3 is red 3, green 2, blue 1.
    assert rgb.tolist() == [[[0, 0, 0], [1, 0, 0], [255, 0, 0]], [[0, 1, 0], [3, 2, 1], [255, 255, 255]]]
    assert rgb.dtype == np.uint8
    assert np.array_equal(rgb_to_ids(rgb), ids)
    assert rgb_to_ids(rgb).dtype == np.int32
    for bad in (-1, MAX_ID + 1):
        with pytest.raises(ValueError, match=f"segment ids of 0 to {MAX_ID}"):
            ids_to_rgb(np.array([[bad]], np.int32))


@pytest.mark.parametrize(
    ("ids", "segments", "message"),
    [
        (IDS.astype(np.int64), SEGMENTS, "int32, got .* of int64"),
        (IDS[0], SEGMENTS, r"\(H, W\)"),
        (IDS, (*SEGMENTS, Segment(2, 0, True, 1)), "one segment for each id, got several for 2"),
        (IDS, (Segment(0, 0, True, 1),), "ids of 1 to"),
        (IDS, (Segment(MAX_ID + 1, 0, True, 1),), "ids of 1 to"),
        (IDS, (Segment(1, 2, True, 1),), "labels of things below 2, segment 1 has 2"),
        (IDS, (Segment(1, -1, False, 1),), "labels of stuff below 2, segment 1 has -1"),
    ],
)
def test_what_is_no_scene_is_refused(ids: np.ndarray, segments: tuple[Segment, ...], message: str):
    with pytest.raises(ValueError, match=message):
        scene(ids, segments)
