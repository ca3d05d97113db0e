"""A class for every pixel: checked when it is made, with shares that add up, and colours that tell classes apart."""

import numpy as np
import pytest

from maskrcnn.structures.semantic_map import SemanticMap, index_type, voc_palette


def a_map(**changes: object) -> SemanticMap:
    idx = np.array([[0, 0, 1, 255], [0, 2, 1, 1]], np.uint8)
    values = {"class_idx": idx, "class_names": ("ground", "cat", "dog"), **changes}
    return SemanticMap(**values)  # pyright: ignore[reportArgumentType]


def test_pixels_and_shares_on_paper():
    found = a_map()
    assert found.image_size == (2, 4)
    assert found.pixels.tolist() == [3, 3, 1]  # one pixel is of no class
    assert found.shares.tolist() == [3 / 8, 3 / 8, 1 / 8]
    assert found.mask("cat").tolist() == [[False, False, True, False], [False, False, True, True]]
    assert repr(found) == "SemanticMap(ground 37.5%, cat 37.5%, dog 12.5%; image 2 x 4)"


def test_an_empty_picture():
    found = a_map(class_idx=np.zeros((0, 4), np.uint8))
    assert found.shares.tolist() == [0, 0, 0]
    assert repr(found) == "SemanticMap(no class; image 0 x 4)"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class_idx": np.zeros((2, 4), np.int64)}, r"expected class_idx \(H, W\) uint8 for 3 classes, got .* int64"),
        (
            {"class_idx": np.full((2, 4), 3, np.uint8)},
            "expected class_idx below 3, the number of classes, or 255, got 3",
        ),
        ({"palette": np.zeros((2, 3), np.uint8)}, r"expected a palette \(3, 3\) uint8"),
        ({"probs": np.zeros((2, 5, 5), np.float32)}, r"expected probs \(3, h, w\) float"),
        ({"probs": np.zeros((3, 5, 5), np.uint8)}, r"expected probs \(3, h, w\) float"),
        ({"background": 3}, "expected a background below 3"),
        ({"class_names": ()}, "expected 1 to 65535 classes, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        a_map(**changes)
    with pytest.raises(ValueError, match="expected a class out of ground, cat, dog, got 'cow'"):
        a_map().mask("cow")


def test_more_than_255_classes_take_16_bits():
    assert index_type(255) == np.uint8
    assert index_type(256) == np.uint16
    names = tuple(map(str, range(300)))
    found = a_map(class_idx=np.array([[299, 65535]], np.uint16), class_names=names)
    assert (found.void, found.pixels[299], found.pixels.sum()) == (65535, 1, 1)
    assert found.colors.shape == (300, 3)


def test_the_colours_are_those_of_voc():
    # The devkit's: aeroplane, bicycle, bird, ..., person (15), tvmonitor (20).
    palette = voc_palette(21).tolist()
    assert palette[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert (palette[15], palette[20]) == ([192, 128, 128], [0, 64, 128])
    assert len(np.unique(voc_palette(256), axis=0)) == 256
    assert voc_palette(1000)[1:].any(axis=1).all(), "only the first is black"
