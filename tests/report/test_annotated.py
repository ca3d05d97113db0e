import numpy as np

from maskrcnn.report.annotated import SIDE_PX, Outline, draw_annotations
from maskrcnn.structures.rle import encode

RED = (255, 30, 30)


def ground(height: int = 40, width: int = 80) -> np.ndarray:
    return np.full((height, width, 3), 60, np.uint8)


def rectangle(height: int, width: int, x0: int, y0: int, x1: int, y1: int) -> Outline:
    bitmap = np.zeros((height, width), bool)
    bitmap[y0:y1, x0:x1] = True
    return Outline(encode(bitmap), box=(x0, y0, x1 - x0, y1 - y0))


def test_without_annotations_the_picture_is_only_resized():
    drawn = draw_annotations(ground(), [])
    assert drawn.shape == (SIDE_PX // 2, SIDE_PX, 3)
    assert (drawn == 60).all()


def test_a_mask_is_tinted_where_it_is_and_nowhere_else():
    # 80 px become 640, so the rectangle 10..30 x 5..25 covers 80..240 x 40..200.
    image = ground()
    drawn = draw_annotations(image, [rectangle(40, 80, 10, 5, 30, 25)])
    changed = (drawn != 60).any(axis=2)
    ys, xs = changed.nonzero()
    assert abs(np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) - [80, 40, 240, 200]).max() <= 2
    assert changed[45:195, 85:235].all()
    assert (image == 60).all()


def test_a_hole_stays_free():
    ring = np.zeros((40, 80), bool)
    ring[5:35, 10:40] = True
    ring[15:25, 20:30] = False
    drawn = draw_annotations(ground(), [Outline(encode(ring))])
    assert (drawn[130:190, 170:230] == 60).all()


def test_what_is_marked_is_red_with_its_box_and_the_others_are_outlined_only():
    good = rectangle(40, 80, 50, 5, 70, 25)
    bad = Outline(rectangle(40, 80, 10, 5, 30, 25).rle, box=(10, 5, 60, 30), mark="box-unlike-mask")
    drawn = draw_annotations(ground(), [good, bad])
    assert (drawn[100, 480] == 60).all()  # the middle of the good one, which is tinted where none is marked
    assert (drawn[100, 150] != 60).any()
    assert (drawn[278:282, 300] == RED).all(axis=1).any()  # the lower edge of the box, at 35 px
    assert ((drawn == (255, 255, 255)).all(axis=2)).any()  # letters


def test_what_makes_no_mask_is_drawn_as_far_as_it_goes():
    points = np.array([[10.0, 5.0], [30.0, 5.0], [1e7, 25.0]])
    outlines = [
        Outline(polygons=[points, np.zeros((0, 2))], mark="far-coordinates"),
        Outline(box=(500.0, -3.0, -1e12, 4.0), mark="degenerate-box"),
        Outline(mark="empty-segmentation"),
    ]
    drawn = draw_annotations(ground(), outlines)
    assert (drawn == RED).all(axis=2).any()


def test_pictures_of_any_shape_are_drawn():
    for height, width in ((1, 1), (3, 900), (900, 3)):
        drawn = draw_annotations(ground(height, width), [Outline(box=(0, 0, 1, 1), mark="box")])
        assert max(drawn.shape[:2]) == SIDE_PX
