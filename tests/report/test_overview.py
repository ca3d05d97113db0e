"""An overview of a slide: where objects lie, how many, and what the colours mean."""

import numpy as np
import pytest
import torch

from maskrcnn.report import overview
from maskrcnn.report.overview import Overview
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

SIZE = (3000, 4000)
CLASS_NAMES = ("disc", "square")


def squares(places: list[tuple[int, int]], side: int = 60) -> Instances:
    boxes = [[x, y, x + side, y + side] for x, y in places]
    return Instances(
        SIZE,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(len(places), dtype=torch.int64),
        torch.ones(len(places)),
        torch.zeros(len(places), 0, 0),
        CLASS_NAMES,
        pixels=Runs.of_crops([(x, y, np.ones((side, side), bool)) for x, y in places], SIZE),
    )


def changed(page: np.ndarray, ground: int) -> np.ndarray:
    return (page[:300, :400] != ground).any(axis=2)


def test_objects_are_outlined_and_their_place_is_tinted() -> None:
    drawn = Overview(np.full((300, 400, 3), 100, np.uint8), SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "OUTLINED", 0.05)
        for x, y in ((1000, 1000), (1100, 1000)):
            drawn.add(squares([(x, y)]))
    page = drawn.page({"disc": 2, "square": 0})
    assert page.dtype == np.uint8
    assert page.shape[0] > 300 + 20
    assert page.shape[1] == 400
    is_changed = changed(page, 100)
    assert is_changed[103:106, 103:106].any()
    assert is_changed[100, 103]  # the upper side of the first outline
    assert not is_changed[:, :40].any()
    assert not is_changed[200:].any()


def test_small_overviews_have_no_outlines_and_many_objects_are_denser() -> None:
    image = np.full((300, 400, 3), 100, np.uint8)
    drawn = Overview(image, SIZE)
    drawn.add(squares([(200 + i, 200 + i) for i in range(30)]))
    drawn.add(squares([(3500, 2500)]))
    assert drawn._outlines == []
    page = drawn.page({"disc": 31})
    many, one = (np.abs(page[y, x].astype(int) - 100).sum() for y, x in ((23, 23), (253, 353)))
    assert many > 2 * one > 0
    # Nothing but its first and last colours is changed by where it is, and the picture that was given is as it was.
    assert (image == 100).all()


def test_without_objects_the_picture_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    page = Overview(image, SIZE).page({"disc": 0, "square": 0}, ["more than 3 detections, the best 3 kept"])
    np.testing.assert_array_equal(page[:300, :400], image)
    assert page.shape[0] > 300


def test_the_bar_says_what_the_densest_colour_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    mask = overview.text_mask
    monkeypatch.setattr(overview, "text_mask", lambda text, size: (said.append(text), mask(text, size))[1])
    monkeypatch.setattr(overview.cv2, "GaussianBlur", lambda grid, *rest, **more: grid)
    drawn = Overview(np.zeros((300, 400, 3), np.uint8), SIZE)
    drawn.add(squares([(1000, 1000)] * 4))
    drawn.page({"disc": 4})
    drawn.page({"disc": 4}, pixel_size_um=(0.5, 0.25))
    # 48 x 64 cells of 62.5 px: 4 objects on 3906.25 px, of 0.125 um2 each.
    assert said == ["0", "1.02e+03 objects per megapixel", "0", "8.19e+03 objects per mm\u00b2"]
