import numpy as np
import pytest

from maskrcnn.serve.shaping import cut, polygon, stroke, union, without
from maskrcnn.structures.rle import decode, encode

SIZE = (12, 16)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_a_polygon_covers_the_pixels_inside():
    expected = np.zeros(SIZE, bool)
    expected[2:5, 3:9] = True
    square = np.array([[3, 2], [9, 2], [9, 5], [3, 5]], float)
    np.testing.assert_array_equal(decode(polygon(square, SIZE)), expected)


def test_a_polygon_is_cut_at_the_image():
    far = np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])
    assert decode(polygon(far, SIZE)).all()


@pytest.mark.parametrize(
    ("points", "sentence"),
    [([[1, 1], [2, 2]], "at least 3 points, got 2"), ([[20, 1], [30, 1], [30, 9]], "no pixel"), ([], "got 0")],
)
def test_a_polygon_without_pixels(points: list[list[float]], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        polygon(np.array(points, float).reshape(-1, 2), SIZE)


def test_a_dot_of_the_brush_is_a_disc():
    expected = drawn(".#.", "###", ".#.")
    np.testing.assert_array_equal(decode(stroke(np.array([[4.5, 6.2]]), 1, SIZE))[5:8, 3:6], expected)
    assert decode(stroke(np.array([[4.5, 6.2]]), 1, SIZE)).sum() == 5


@pytest.mark.parametrize("radius", [0.5, 2, 3.3])
def test_a_stroke_is_every_pixel_near_its_line(radius: float):
    # Along a row the pixels of the line are known: the distance to the nearest of them, by hand.
    mask = decode(stroke(np.array([[2.5, 5.5], [10.5, 5.5]]), radius, SIZE))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(x - np.clip(x, 2, 10), y - 5)
    np.testing.assert_array_equal(mask, distance <= radius)


def test_a_stroke_leaves_the_image_on_every_side():
    mask = decode(stroke(np.array([[-1e9, 5], [1e9, 5]]), 1, SIZE))
    assert mask[4:7].all()
    assert mask.sum() == 3 * SIZE[1]
    with pytest.raises(ValueError, match="no pixel"):
        stroke(np.array([[-100.0, 5]]), 1, SIZE)
    with pytest.raises(ValueError, match="1 point"):
        stroke(np.zeros((0, 2)), 1, SIZE)


def test_union_and_without_are_those_of_sets():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, *SIZE)) > 0.7
    np.testing.assert_array_equal(decode(union([encode(a), encode(b)])), a | b)
    np.testing.assert_array_equal(decode(without(encode(a), encode(b))), a & ~b)
    assert not decode(without(encode(a), encode(a))).any()


def test_a_cut_gives_pieces_that_are_the_object():
    bitmap = np.zeros(SIZE, bool)
    bitmap[2:10, 3:13] = True
    pieces = [decode(piece) for piece in cut(encode(bitmap), np.array([[8.5, -5], [8.5, 50]]))]
    assert len(pieces) == 2
    np.testing.assert_array_equal(pieces[0] ^ pieces[1], bitmap)
    # Columns 3..12: the cut is column 8, which goes to one of its neighbours.
    assert {piece.sum() // 8 for piece in pieces} in ({5}, {6, 4})


def test_a_diagonal_cut():
    bitmap = np.zeros(SIZE, bool)
    bitmap[1:11, 2:12] = True
    pieces = [decode(piece) for piece in cut(encode(bitmap), np.array([[0.0, -1], [14, 13]]))]
    assert len(pieces) == 2
    np.testing.assert_array_equal(pieces[0] ^ pieces[1], bitmap)
    assert min(piece.sum() for piece in pieces) >= 40


def test_parts_that_the_line_does_not_touch_go_with_the_nearest():
    bitmap = np.zeros(SIZE, bool)
    bitmap[1:5, 1:7] = True
    bitmap[8:11, 1:3] = True
    left, right = sorted(
        (decode(p) for p in cut(encode(bitmap), np.array([[4.5, 0], [4.5, 6]]))), key=lambda p: p[2, 6]
    )
    assert left[8:11, 1:3].all()
    assert right.sum() < left.sum()
    np.testing.assert_array_equal(left | right, bitmap)


@pytest.mark.parametrize("points", [[[20, 0], [20, 12]], [[8, 5], [8, 7]], [[5, 5], [5, 5]], [[1e12, 0], [1e12, 9]]])
def test_a_line_that_does_not_cut(points: list[list[float]]):
    bitmap = np.zeros(SIZE, bool)
    bitmap[2:10, 3:13] = True
    with pytest.raises(ValueError, match="does not cut"):
        cut(encode(bitmap), np.array(points, float))


def test_crumbs_beside_the_cut_are_no_pieces():
    bitmap = np.zeros((40, 40), bool)
    bitmap[5:35, 5:35] = True
    bitmap[4, 20] = True  # beyond it, across the cut along the upper edge, a single pixel
    pieces = [
        decode(piece) for piece in cut(encode(bitmap), np.array([[20.5, 40], [20.5, 12], [20.5, 5.5], [18, 5.5]]))
    ]
    assert len(pieces) == 2
    assert min(piece.sum() for piece in pieces) > 300
    np.testing.assert_array_equal(pieces[0] ^ pieces[1], bitmap)
