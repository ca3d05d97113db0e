"""Pictures in tiles: a network that finds every bright thing and nothing else shows what the tiling makes of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.data.slides.source import ArraySource, Window
from maskrcnn.model.build import build_model
from maskrcnn.model.preprocess import Resize
from maskrcnn.prediction import tiling
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.tiles import Grid
from maskrcnn.prediction.tiling import cell_px, choose_tiling
from maskrcnn.structures.instances import Instances
from tests.prediction.bright_things import LIMIT_REACHED, PerfectNetwork, squares
from tests.tiny import tiny_settings

Make = Callable[..., tuple[Predictor, PerfectNetwork]]


@pytest.fixture
def make(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A predictor with a perfect network that sees pictures up to `longest_edge` px."""

    def made(longest_edge: int = 1333, limit: int = 10**6, **options: Any) -> tuple[Predictor, PerfectNetwork]:
        predictor = maskrcnn.Predictor(weights, device="cpu", **options)
        network = PerfectNetwork(limit)
        monkeypatch.setattr(predictor.model, "detect", network)
        monkeypatch.setattr(predictor.model, "resize", replace(predictor.model.resize, longest_edge=longest_edge))
        return predictor, network

    return made


def test_every_object_once_and_all_at_one_scale(make: Make) -> None:
    image, num = squares((300, 500))
    predictor, network = make(tile=128, resize=2.0)
    found = predictor(image)
    assert (len(found), found.image_size, found.ceilings) == (num, (300, 500), ())
    assert (found.scores.diff() <= 0).all()
    assert len({height for height, _ in network.seen}) == 1  # the last column is a little narrower
    assert set(found.extra["num_parts"].tolist()) == {1}
    assert found.areas().tolist() == [13 * 13] * num
    # Twice as large wherever they are seen, but for squares that a seam cuts.
    assert max(network.sides) <= 2 * 13 + 1
    assert np.median(network.sides) >= 2 * 13 - 1
    height, width = network.seen[0]
    note = rf"done in {len(network.seen)} tiles of {width // 2} x {height // 2} px, which overlap by 42 px or more"
    assert found.notes == (note,)


def test_auto_tiles_what_would_be_seen_too_small(make: Make) -> None:
    image, num = squares((200, 500))
    predictor, network = make(longest_edge=150)
    assert [predictor.needs_tiles(size) for size in ((150, 150), (100, 166), (100, 168), (168, 100))] == [
        False,
        False,
        True,
        True,
    ]
    found, small = predictor([image, image[:140, :140]])
    assert len(found) == num
    assert found.notes
    assert max(map(max, network.seen)) <= 150
    assert (len(small), small.notes, small.ceilings) == (25, (), ())
    whole = make(longest_edge=150, tile="off")[0](image)
    assert "the network saw the image at 30% of its usual size (resize.longest_edge 150)" in whole.ceilings
    assert whole.notes == ()


def test_a_limit_that_was_reached_makes_smaller_tiles(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "LEAST_INPUT_PX", 40)
    image, num = squares((300, 300))
    assert num == 100
    predictor, network = make(limit=20)
    found = predictor(image)
    assert (len(found), found.ceilings) == (num, ())
    assert network.seen[0] == (300, 300)
    assert min(map(max, network.seen)) < 150  # halved more than once
    assert len(make(limit=20, tile="off")[0](image)) == 20
    # A limit that somebody asked for is one of the picture; a threshold for AP reaches limits everywhere.
    few, network = make(limit=20, max_detections=20)
    assert (len(few(image)), len(network.seen)) == (20, 1)
    assert len(make(limit=20, score=0.05)[0](image)) == 20


def test_limits_of_the_smallest_tiles_are_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "LEAST_INPUT_PX", 10**4)
    image, num = squares((300, 300))
    found = make(limit=5, tile=150)[0](image)
    assert len(found) < num
    assert found.ceilings == (f"{LIMIT_REACHED.format(5, 5)}, in 9 of 9 tiles",)


class Counting(ArraySource):
    """A source that says how large the windows were that somebody read."""

    largest = 0

    def window(self, window: Window) -> np.ndarray:
        y0, x0, y1, x1 = window
        self.largest = max(self.largest, y1 - y0, x1 - x0)
        return super().window(window)


def test_a_source_is_read_by_windows_and_gives_what_its_array_gives(make: Make) -> None:
    image, num = squares((300, 500))
    predictor = make(tile=128)[0]
    source = Counting(image)
    found, expected = predictor.in_tiles(source), predictor(image)
    assert (len(found), found.rles()) == (num, expected.rles())
    assert source.largest <= 128


def test_a_limit_that_was_asked_for_is_that_of_the_picture(make: Make) -> None:
    image, _ = squares((300, 300))
    found = make(tile=128, max_detections=30)[0](image)
    assert (len(found), found.ceilings) == (30, (LIMIT_REACHED.format(30, 30),))
    assert len(make(tile=128, max_detections=100)[0](image).ceilings) == 0


def test_an_object_larger_than_the_tiles_is_joined_and_said(make: Make) -> None:
    image, num = squares((400, 600), step=200)
    image[:, 40:60] = image[60:80] = 0
    image[62:76, 30:570] = 255  # longer than four tiles
    found = make(tile=128)[0](image)
    assert len(found) == num + 1
    assert found.notes[1:] == ("1 object was seen whole by no tile, and joined from parts",)
    joined = found[found.extra["num_parts"] > 1]
    np.testing.assert_allclose(joined.boxes.numpy(), [[30, 62, 570, 76]], atol=2)


def test_tiles_of_one_colour_are_not_looked_at(make: Make) -> None:
    image, _ = squares((600, 600))
    image[150:] = 7
    predictor, network = make(tile=128)
    assert len(predictor(image)) == 5 * 20
    assert len(network.seen) < len(Grid((600, 600), 128, 42)) / 2
    assert len(predictor(np.zeros((600, 600, 3), np.uint8))) == 0


class Kept:
    """Results of tiles, in memory."""

    def __init__(self) -> None:
        self.results: dict[int, dict[str, Any]] = {}

    def load(self, grid: Grid, number: int) -> Instances | None:
        return Instances.from_dict(self.results[number]) if number in self.results else None

    def save(self, grid: Grid, number: int, found: Instances) -> None:
        self.results[number] = found.to_dict()


def test_freed_memory_goes_back_to_the_system_now_and_then(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    released = []
    monkeypatch.setattr(tiling, "release_freed_memory", lambda: released.append(1))
    monkeypatch.setattr(tiling, "RELEASE_EVERY", 4)
    predictor, network = make(tile=128)
    predictor(squares((280, 280))[0])
    assert len(released) == len(network.seen) // 4 > 1


def test_tiles_that_are_done_are_not_done_again(make: Make) -> None:
    image, num = squares((300, 500))
    predictor, network = make(tile=128)
    kept = Kept()
    expected = predictor.in_tiles(image, kept=kept)
    num_tiles = len(network.seen)
    assert sorted(kept.results) == list(range(num_tiles))
    for number in (3, 7):
        del kept.results[number]
    again = predictor.in_tiles(image, kept=kept)
    assert len(network.seen) == num_tiles + 2
    assert len(again) == num
    assert torch.equal(again.boxes, expected.boxes)
    assert again.rles() == expected.rles()


def test_kept_tiles_hold_the_pixels_of_masks_and_not_their_probabilities(make: Make) -> None:
    image, num = squares((300, 500))
    kept = Kept()
    found, usual = make(tile=128)[0].in_tiles(image, kept=kept), make(tile=128)[0].in_tiles(image)
    assert all(values["mask_probs"].numel() == 0 for values in kept.results.values())
    assert sum(len(values["boxes"]) for values in kept.results.values()) > num
    assert (found.mask_probs.shape, usual.mask_probs.shape) == ((num, 0, 0), (num, 28, 28))
    assert found.rles() == usual.rles()


def test_tiles_may_be_done_by_several_and_joined_by_one(make: Make) -> None:
    image, _ = squares((300, 500))
    predictor, network = make(tile=128)
    kept = Kept()
    tiling_of = predictor.tiling_of((300, 500))
    num_tiles = len(tiling_of.grid)
    for part in range(3):
        tiling.keep_tiles(predictor.model, image, tiling_of, range(num_tiles)[part::3], kept)
    assert (sorted(kept.results), len(network.seen)) == (list(range(num_tiles)), num_tiles)
    found = predictor.in_tiles(image, kept=kept)
    assert len(network.seen) == num_tiles
    assert found.rles() == make(tile=128)[0](image).rles()


@pytest.mark.parametrize(
    ("resize", "size", "tile", "scale", "tile_px"),
    [
        (Resize("scale", scale=1.5, longest_edge=3000), (9000, 12000), "auto", 1.5, 1024),  # 1536 px at the input
        (Resize("scale", scale=1.5, longest_edge=900), (9000, 12000), "auto", 1.5, 600),
        (Resize("scale", scale=1.5, longest_edge=3000), (9000, 12000), 512, 1.5, 512),
        (Resize("scale", scale=2.0, longest_edge=1000), (9000, 12000), 1000, 1.0, 1000),
        (Resize("shortest_edge", 800, 1333), (400, 4000), "auto", 2.0, 666),
        (Resize("shortest_edge", 800, 1333), (9000, 12000), 400, 2.0, 400),
        (Resize("square", 800, 1024, upscale_only=True), (2048, 1024), "auto", 0.5, 2048),
        (Resize("scale", scale=0.5, upscale_only=True), (9000, 12000), "auto", 1.0, 1333),
    ],
)
def test_scale_and_size(resize: Resize, size: tuple[int, int], tile: Any, scale: float, tile_px: int) -> None:
    chosen = choose_tiling(resize, 90, size, tile)
    assert chosen.scale == pytest.approx(scale)
    assert chosen.grid == Grid(size, tile_px, min(int(np.ceil(90 / scale)), tile_px // 3), cell_px(1, scale))


@pytest.mark.parametrize(
    ("scale", "unit"), [(1.0, 32), (1.5, 64), (2.0, 16), (0.5, 64), (0.75, 128), (800 / 3001, 1), (32.0, 1), (64.0, 1)]
)
def test_tiles_begin_where_cells_do(scale: float, unit: int) -> None:
    assert cell_px(32, scale) == unit
    chosen = choose_tiling(Resize("scale", scale=scale, longest_edge=3000), 90, (9000, 12000), stride=32)
    assert chosen.grid.unit_px == unit
    smaller = chosen.smaller((3000, 2000))
    assert smaller is None or smaller.grid.unit_px == unit


def test_an_object_looks_the_same_in_every_tile_and_in_the_whole_picture(tmp_path: Path) -> None:
    """The network's maps of a tile are those of the picture there, but near the seams."""
    settings = tiny_settings("maskrcnn", backbone={"norm": "frozen_bn"}, fpn={"norm": "none"})
    save_checkpoint(tmp_path / "frozen.safetensors", build_model(settings).state_dict(), settings, {})
    predictor = maskrcnn.Predictor(tmp_path / "frozen.safetensors", device="cpu", resize=1.5, tile=512, overlap=100)
    image = np.random.default_rng(0).integers(0, 255, (512, 1100, 3), np.uint8)
    grid = predictor.tiling_of((512, 1100)).grid

    def finest_map(picture: np.ndarray) -> torch.Tensor:
        model = predictor.model
        resize = replace(model.resize, mode="scale", scale=1.5, longest_edge=10**9)
        inputs = model.normalise([resize(picture)], [(picture.shape[0], picture.shape[1])], model.device)
        return model.backbone(inputs.pixels)[0][0]

    with torch.inference_mode():
        whole = finest_map(image)
        assert len(grid) == 3
        for i in (1, 2):
            _, x0, _, x1 = grid[i].window
            tile = finest_map(image[:, x0:x1])
            start, width = round(x0 * 1.5) // 4, tile.shape[2]  # cells of 4 px
            inner = slice(width // 3, width // 2)
            torch.testing.assert_close(tile[..., inner], whole[..., start:][..., inner], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [*range(1, 200), 1000, 1001, 4095])
def test_smaller_tiles_are_always_possible_and_smaller(side: int) -> None:
    big = choose_tiling(Resize("scale", scale=1000.0, longest_edge=10**9), 300_000.0, (side, side))
    smaller = big.smaller((side, max(1, side // 7)))
    assert smaller is not None
    assert len(smaller.grid) <= 3
    y0, _, y1, _ = smaller.grid[0].window
    assert y1 - y0 <= 0.6 * side + 1
    assert choose_tiling(Resize("scale", scale=0.1), 90, (side, side)).smaller((side, side)) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tile": "on"}, "tile: expected auto, off or at least 32 px, got on"),
        ({"tile": 8}, "tile: expected auto, off or at least 32 px, got 8"),
        ({"tile": 300, "overlap": 101}, "overlap: expected 0 to 100 px, a third of a tile, got 101"),
        ({"overlap": -1}, "overlap: expected 0 px or more, got -1"),
    ],
)
def test_what_is_no_tile(weights: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        maskrcnn.Predictor(weights, device="cpu", **options)
