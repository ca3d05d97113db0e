"""Tiles cover the picture, overlap as asked, and every place has one owner that sees it."""

import numpy as np
import pytest

from maskrcnn.prediction.tiles import Grid


def test_on_paper() -> None:
    # 250 px in tiles of at most 100 that share 30 takes 4; of (250 + 3 * 30) / 4 = 85 px they share exactly 30.
    grid = Grid((100, 250), 100, 30)
    assert [grid[i].window for i in range(len(grid))] == [
        (0, 0, 100, 85),
        (0, 55, 100, 140),
        (0, 110, 100, 195),
        (0, 165, 100, 250),
    ]
    # Neighbours divide 55..85 at 70, 110..140 at 125, 165..195 at 180.
    places = {0: 0, 69: 0, 71: 1, 124: 1, 126: 2, 179: 2, 181: 3, 249: 3}
    assert {x: grid.owner(50, x)[1] for x in places} == places


@pytest.mark.parametrize("size", [(1, 1), (99, 1000), (100, 100), (101, 350), (1000, 777)])
@pytest.mark.parametrize("overlap", [0, 1, 16, 33])
def test_tiles_cover_the_picture_and_share_what_was_asked(size: tuple[int, int], overlap: int) -> None:
    grid = Grid(size, 100, overlap)
    seen = np.zeros(size, int)
    for i in range(len(grid)):
        y0, x0, y1, x1 = grid[i].window
        assert max(y1 - y0, x1 - x0) <= 100
        assert (y1 - y0, x1 - x0) == (grid[0].window[2], grid[0].window[3])
        seen[y0:y1, x0:x1] += 1
        if grid[i].column:
            assert grid[i - 1].window[3] - x0 >= overlap
        if grid[i].column > 1:
            assert grid[i - 2].window[3] <= x0
    assert seen.min() >= 1
    assert seen.max() <= 4
    for y, x in [(0.5, 0.5), (size[0] - 0.5, size[1] - 0.5), (size[0] / 2, size[1] / 3)]:
        row, column = grid.owner(y, x)
        y0, x0, y1, x1 = grid[row * grid.num_columns + column].window
        assert y0 <= y <= y1
        assert x0 <= x <= x1


def test_more_than_a_third_of_a_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="of 0 to 33 px, a third of a tile, got 34 px"):
        Grid((300, 300), 100, 34)
    with pytest.raises(IndexError, match="from 0 to 3, got 4"):
        Grid((150, 150), 100, 20)[4]


@pytest.mark.parametrize("size", [(1, 1), (99, 1000), (101, 350), (400, 777)])
@pytest.mark.parametrize("overlap", [0, 1, 16, 33])
def test_every_pixel_has_one_owner_that_sees_it(size: tuple[int, int], overlap: int) -> None:
    grid, owners = Grid(size, 100, overlap), np.zeros(size, int)
    for i in range(len(grid)):
        top, left, bottom, right = grid.owned(grid[i])
        y0, x0, y1, x1 = grid[i].window
        assert y0 <= top <= bottom <= y1
        assert x0 <= left <= right <= x1
        owners[top:bottom, left:right] += 1
    assert (owners == 1).all()
