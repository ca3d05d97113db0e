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


def test_tiles_that_begin_at_multiples_on_paper() -> None:
    # At any px, 1100 px in tiles of 512 that share 100 take 3, of (1100 + 2 * 100) / 3 = 434 px. At multiples of 64 the
    # starts nearest to thirds are 0, 320 and 640 (5 cells each): the last tile needs 460 px, so all have as many.
    assert [Grid((1, 1100), 512, 100)[i].window[1::2] for i in range(3)] == [(0, 434), (333, 767), (666, 1100)]
    assert [Grid((1, 1100), 512, 100, 64)[i].window[1::2] for i in range(3)] == [(0, 460), (320, 780), (640, 1100)]


@pytest.mark.parametrize("tile", [512, 800, 1024])
def test_tiles_begin_at_multiples_and_share_what_was_asked(tile: int) -> None:
    for side in range(tile + 1, 5000, 101):
        for overlap in (0, 100, tile // 3):
            grid = Grid((1, side), tile, overlap, 64)
            starts, ends = np.array([grid[i].window[1::2] for i in range(len(grid))]).T
            assert not (starts % 64).any()
            assert (starts[0], ends[-1]) == (0, side)
            assert (ends[:-1] - starts[1:] >= overlap).all()
            assert (starts[2:] >= ends[:-2]).all()
            lengths = ends - starts
            assert len(set(lengths[:-1].tolist())) == 1
            assert lengths[-1] <= lengths[0] <= tile
            assert len(grid) <= 1.15 * len(Grid((1, side), tile, overlap)) + 1


def test_where_multiples_do_not_do_tiles_begin_anywhere() -> None:
    assert [Grid((1, 300), 128, 42, 100)[i].window for i in range(3)] == [
        Grid((1, 300), 128, 42)[i].window for i in range(3)
    ]


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
