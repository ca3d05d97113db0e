"""The law of tiles: whatever lies on their seams, every object is counted once."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from maskrcnn.prediction.seams import join_tiles
from maskrcnn.prediction.tiles import Grid, Tile
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

Crop = tuple[int, int, np.ndarray]


def scene(size: tuple[int, int], seed: int, num: int = 150) -> list[Crop]:
    """Objects that touch and never overlap: discs, long bars, blobs larger than a tile, arcs, specks."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.int32)
    count = 0
    for kind in rng.integers(5, size=num):
        y, x, tilt = int(rng.integers(size[0])), int(rng.integers(size[1])), float(rng.integers(360))
        drawn = np.zeros(size, np.uint8)
        if kind == 0:
            axes = int(rng.integers(4, 30)), int(rng.integers(4, 30))
            cv2.ellipse(drawn, (x, y), axes, tilt, 0, 360, 1, -1)
        elif kind == 1:
            length = int(rng.integers(30, 400))
            end = int(x + length * np.cos(tilt)), int(y + length * np.sin(tilt))
            cv2.line(drawn, (x, y), end, 1, int(rng.integers(5, 16)))
        elif kind == 2:
            axes = int(rng.integers(60, 200)), int(rng.integers(30, 120))
            cv2.ellipse(drawn, (x, y), axes, tilt, 0, 360, 1, -1)
        elif kind == 3:
            radius = int(rng.integers(20, 140))
            cv2.ellipse(
                drawn, (x, y), (radius, radius), tilt, 0, int(rng.integers(90, 300)), 1, int(rng.integers(8, 20))
            )
        else:
            h, w = rng.integers(3, 20, 2)
            drawn[y : y + h, x : x + w] = 1
        free = ((drawn > 0) & (labels == 0)).astype(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
        if len(stats) > 1 and stats[1:, cv2.CC_STAT_AREA].max() >= 20:
            count += 1
            labels[parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()] = count
    return [crop_of(labels == label) for label in range(1, count + 1)]


def crop_of(bitmap: np.ndarray) -> Crop:
    y, x = np.nonzero(bitmap)
    return int(x.min()), int(y.min()), bitmap[y.min() : y.max() + 1, x.min() : x.max() + 1]


def cut_to(crop: Crop, window: tuple[int, int, int, int]) -> Crop | None:
    """What of an object lies in a window, in the window's frame."""
    (x, y, bitmap), (y0, x0, y1, x1) = crop, window
    part = bitmap[max(y0 - y, 0) : max(y1 - y, 0), max(x0 - x, 0) : max(x1 - x, 0)]
    return (max(x, x0) - x0, max(y, y0) - y0, part) if part.any() else None


def result(crops: Sequence[Crop], size: tuple[int, int], labels: Sequence[int] | None = None) -> Instances:
    """Detections with exactly these masks."""
    boxes = [[x, y, x + bitmap.shape[1], y + bitmap.shape[0]] for x, y, bitmap in crops]
    return Instances(
        image_size=size,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels if labels is not None else [0] * len(crops), dtype=torch.int64),
        scores=torch.full((len(crops),), 0.9),
        mask_probs=torch.ones(len(crops), 28, 28),
        class_names=("cell", "nucleus"),
        pixels=Runs.of_crops(crops, size),
    )


def perfect(objects: Sequence[Crop], tile: Tile, rng: np.random.Generator, jitter: int = 0) -> Instances:
    """What a detector without a fault finds in a tile, its outlines off by up to `jitter` px."""
    y0, x0, y1, x1 = tile.window
    crops = []
    for crop in objects:
        part = cut_to(crop, tile.window)
        if part is not None and jitter:
            dx, dy = rng.integers(-jitter, jitter + 1, 2)
            part = cut_to((part[0] + int(dx), part[1] + int(dy), part[2]), (0, 0, y1 - y0, x1 - x0))
        if part is not None:
            crops.append(part)
    return result(crops, (y1 - y0, x1 - x0))


def tiled(objects: Sequence[Crop], grid: Grid, jitter: int = 0, seed: int = 0) -> Instances:
    rng = np.random.default_rng(seed)
    tiles = (grid[i] for i in range(len(grid)))
    return Instances.concatenate(
        list(join_tiles(grid, ((tile, perfect(objects, tile, rng, jitter)) for tile in tiles)))
    )


def pixels(crop: Crop) -> tuple[int, int, bytes, tuple[int, ...]]:
    x, y, bitmap = crop
    return x, y, bitmap.tobytes(), bitmap.shape


@pytest.mark.parametrize(("tile", "overlap"), [(128, 32), (128, 42), (256, 48)])
@pytest.mark.parametrize("seed", range(3))
def test_every_object_comes_once_and_whole(tile: int, overlap: int, seed: int) -> None:
    objects = scene((500, 600), seed)
    assert len(objects) > 50
    assert max(max(bitmap.shape) for _, _, bitmap in objects) > tile
    found = tiled(objects, Grid((500, 600), tile, overlap))
    assert sorted(map(pixels, found.crops())) == sorted(map(pixels, objects))
    assert (found.extra["num_parts"] > 1).any()
    around = [[x, y, x + bitmap.shape[1], y + bitmap.shape[0]] for x, y, bitmap in found.crops()]
    assert found.boxes.tolist() == around


@pytest.mark.parametrize(("tile", "overlap"), [(144, 48), (256, 64)])
def test_outlines_that_are_off_by_two_px_change_no_count(tile: int, overlap: int) -> None:
    true, counted = 0, 0
    for seed in range(4):
        objects = scene((500, 600), seed)
        true += len(objects)
        counted += len(tiled(objects, Grid((500, 600), tile, overlap), jitter=2, seed=seed))
    assert abs(counted - true) <= 0.003 * true  # nuclei, which are rounder: tools/benchmark.py --workloads seams


def tile_size(grid: Grid) -> tuple[int, int]:
    return grid[0].window[2], grid[0].window[3]


def square(x0: int, y0: int, side: int) -> Crop:
    return x0, y0, np.ones((side, side), bool)


def test_an_object_in_the_corner_of_four_tiles() -> None:
    grid = Grid((160, 160), 100, 32)  # four tiles of 96, all of which see 64..96
    found = tiled([square(74, 74, 10)], grid)
    assert found.boxes.tolist() == [[74.0, 74.0, 84.0, 84.0]]
    assert found.extra["num_parts"].tolist() == [1]


def test_an_object_that_no_tile_sees_whole_is_joined() -> None:
    grid = Grid((100, 400), 100, 20)
    bar = (10, 40, np.ones((20, 370), bool))
    found = tiled([bar], grid)
    assert found.boxes.tolist() == [[10.0, 40.0, 380.0, 60.0]]
    assert found.areas().tolist() == [20 * 370]
    assert found.extra["num_parts"].tolist() == [5]
    assert found.mask_probs.min() == 1  # of its own box it fills all


def test_two_prongs_of_one_object_are_not_two() -> None:
    grid = Grid((160, 96), 96, 32)  # the upper tile sees 0..96 with two prongs, the lower one their bridge
    fork = np.zeros((120, 80), bool)
    fork[:, :15] = fork[:, -15:] = True
    fork[-15:] = True
    crop = (10, 20, fork)
    rng = np.random.default_rng(0)
    upper, lower = (perfect([crop], grid[i], rng) for i in range(2))
    (x, y, seen), size = upper.crops()[0], upper.image_size
    prongs = [(x, y, seen[:, :15]), (x + seen.shape[1] - 15, y, seen[:, -15:])]
    found = Instances.concatenate(list(join_tiles(grid, [(grid[0], result(prongs, size)), (grid[1], lower)])))
    assert list(map(pixels, found.crops())) == [pixels(crop)]
    assert found.extra["num_parts"].tolist() == [3]


def test_touching_neighbours_on_a_seam_stay_two() -> None:
    grid = Grid((96, 160), 96, 32)  # both tiles see 64..96
    pair = [square(70, 20, 15), square(85, 20, 15)]
    assert sorted(map(pixels, tiled(pair, grid).crops())) == sorted(map(pixels, pair))
    assert len(tiled(pair, grid, jitter=2)) == 2


def test_what_one_tile_sees_whole_twice_stays_two() -> None:
    # The first tile sees both, which overlap by a third; the second only one and the third only the other. Those two
    # would pass for one object, and would take the first tile's two with them.
    grid = Grid((160, 160), 96, 32)
    one, other = square(67, 70, 10), square(72, 70, 10)
    rng = np.random.default_rng(0)
    seen_by = ([one, other], [one], [other], [])
    results = [(grid[i], perfect(seen_by[i], grid[i], rng)) for i in range(4)]
    found = Instances.concatenate(list(join_tiles(grid, results)))
    assert sorted(map(pixels, found.crops())) == sorted(map(pixels, [one, other]))


@pytest.mark.parametrize("cut_by", [0, 1])
def test_a_cut_bar_keeps_to_itself_where_a_neighbour_covers_less_than_half_of_it(cut_by: int) -> None:
    # Both tiles see 64..96. One sees a bar that its seam cuts, 20 px high; the other an object of its own whose outline
    # lies over 7 rows of it: 140 of the 640 px that both see.
    grid = Grid((96, 160), 96, 32)
    x_of_bar, x_of_other = (40, 72) if cut_by == 0 else (50, 68)
    bar, other = (x_of_bar, 20, np.ones((20, 70), bool)), (x_of_other, 33, np.ones((27, 20), bool))
    seen = [cut_to(bar if i == cut_by else other, grid[i].window) for i in range(2)]
    results = [(grid[i], result([crop for crop in [seen[i]] if crop is not None], tile_size(grid))) for i in range(2)]
    found = Instances.concatenate(list(join_tiles(grid, results)))
    assert sorted(found.areas().tolist()) == sorted([20 * 27, 20 * 56])


def test_a_cut_bar_that_has_its_pair_is_not_given_to_a_larger_neighbour() -> None:
    # The second tile's bar is the first's, of which it saw 9 of 20 rows; a block of the first covers the other 11, more
    # than half of the bar. A square beside them is seen whole by both.
    grid = Grid((96, 160), 96, 32)
    bar, seen_of_it, block = (
        (x, y, np.ones((h, w), bool)) for x, y, h, w in ((64, 20, 20, 56), (50, 20, 9, 46), (40, 29, 67, 56))
    )
    nearby = square(75, 2, 12)
    in_second = [cut_to(crop, grid[1].window) for crop in (bar, nearby)]
    first = result([seen_of_it, block, nearby], tile_size(grid))
    second = result([crop for crop in in_second if crop is not None], tile_size(grid))
    found = Instances.concatenate(list(join_tiles(grid, [(grid[0], first), (grid[1], second)])))
    union = 20 * 56 + 9 * 46 - 9 * 32
    assert sorted(found.areas().tolist()) == sorted([union, 67 * 56, 144])


def test_tiles_that_share_no_pixel() -> None:
    grid = Grid((100, 200), 100, 0)
    objects = [square(20, 20, 30), square(120, 20, 30), square(90, 60, 20)]
    found = tiled(objects, grid)
    # Without an overlap nothing says that the halves of the third are one object.
    assert sorted(found.areas().tolist()) == [200, 200, 900, 900]


def test_classes_are_not_mixed() -> None:
    grid = Grid((96, 160), 96, 32)
    in_first, in_second = (cut_to(square(72, 20, 12), grid[i].window) for i in range(2))
    assert in_first is not None
    assert in_second is not None
    both = [(grid[0], result([in_first], tile_size(grid), [0])), (grid[1], result([in_second], tile_size(grid), [1]))]
    found = Instances.concatenate(list(join_tiles(grid, both)))
    assert found.labels.tolist() == [0]  # its middle, 78, belongs to the first tile, whose word counts


@pytest.mark.parametrize(("x0", "seen_by", "num"), [(66, 0, 1), (74, 1, 0), (77, 0, 0), (82, 1, 1), (90, 1, 1)])
def test_what_one_tile_alone_found_counts_if_the_tile_owns_it(x0: int, seen_by: int, num: int) -> None:
    # Both see 64..96, divided at 80; of the square at 90..100 the first tile sees but a part.
    grid = Grid((96, 160), 96, 32)
    part = cut_to(square(x0, 20, 10), grid[seen_by].window)
    assert part is not None
    results = [(grid[i], result([part] if i == seen_by else [], tile_size(grid))) for i in range(2)]
    assert len(Instances.concatenate(list(join_tiles(grid, results)))) == num


@pytest.mark.parametrize(("x", "num"), [(70.0, 1), (90.0, 1), (96.0, 1)])
def test_a_box_without_a_pixel_counts_in_the_tile_that_owns_its_middle(x: float, num: int) -> None:
    # Both see 64..96, divided at 80. At 96 the first tile cuts the box of what lies beyond its seam down to nothing.
    grid = Grid((96, 160), 96, 32)
    results = []
    for i in range(2):
        left = grid[i].window[1]
        one = result([square(10, 20, 5)], tile_size(grid))
        empty = Runs.of_crops([(0, 0, np.zeros((0, 0), bool))], one.image_size)
        box = torch.tensor([[x - left, 20.0, x - left, 30.0]])
        results.append((grid[i], replace(one, boxes=box, pixels=empty)))
    assert len(Instances.concatenate(list(join_tiles(grid, results)))) == num
    if x == 96:
        assert len(Instances.concatenate(list(join_tiles(grid, [results[0], (grid[1], results[1][1][:0])])))) == 0


def test_nothing_and_a_picture_of_one_tile() -> None:
    grid = Grid((150, 150), 100, 30)
    assert len(tiled([], grid)) == 0
    small = Grid((80, 90), 100, 30)
    assert len(small) == 1
    assert list(map(pixels, tiled([square(0, 0, 80)], small).crops())) == [pixels(square(0, 0, 80))]


def test_what_no_tile_to_come_can_change_is_given_at_once() -> None:
    grid = Grid((1000, 100), 100, 20)
    objects = [square(10, y, 10) for y in range(5, 990, 45)]
    rng = np.random.default_rng(0)
    given, handed = [], 0

    def tiles():
        nonlocal handed
        for i in range(len(grid)):
            handed = i + 1
            yield grid[i], perfect(objects, grid[i], rng)

    for part in join_tiles(grid, tiles()):
        given += [handed] * len(part)
    assert len(given) == len(objects)
    assert given == sorted(given)
    assert given[0] == 1
    assert given[len(given) // 2] <= len(grid) // 2 + 2


def test_tiles_out_of_order_are_refused() -> None:
    grid = Grid((96, 160), 96, 32)
    with pytest.raises(ValueError, match="expected the result of tile 0"):
        list(join_tiles(grid, [(grid[1], result([], (100, 96)))]))
