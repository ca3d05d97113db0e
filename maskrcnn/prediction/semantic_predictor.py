"""Semantic weights, a device and a precision in one callable: image in, a class for every pixel out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint, load_semantic
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.config.semantic import SemanticPixelSettings
from maskrcnn.data.images import ImageLike, ValueRange, to_rgb
from maskrcnn.prediction.execution import DTYPES, Device, choose_execution, keep_freed_memory
from maskrcnn.prediction.tiles import Grid
from maskrcnn.prediction.tiling import MIN_TILE_PX, TileSize
from maskrcnn.structures.semantic_map import SemanticMap, index_type

AUTO_TILE_PX = 2048
"""Side of the largest square of the network's input that is seen whole; the tiles of a larger one have half of it."""


class SemanticPredictor:
    """Finds the class of every pixel: `predictor("street.jpg")` gives a `SemanticMap`, a list of images a list of them.

    `class_names`, `description` (the weights in words), `execution`, `device` and `precision` say what it was made of;
    `network` is the network. One predictor is for one thread at a time.

    Args:
        weights: a name of the zoo such as "deeplabv3_resnet50", a state-dict file of one of these networks, or a loaded
            `SemanticCheckpoint`.
        device, precision, keep_memory: as of a `Predictor`.
        resize: how the network's input is made, in place of the published 520 px of the shorter side: an int is that in
            px, a float a factor (1.0 shows it the image as it is).
        class_names: of a file's classes, background first, in place of those that are assumed.
        with_probs: keep the probabilities, at the resolution of the network's input.
        tile: "auto" divides images of more than `AUTO_TILE_PX` squared of the network's input into overlapping tiles,
            if the network sees every image at one scale; "off" divides none; an int is the side of a tile in px of the
            image. Each tile gives the part of the map that is nearer to its middle than to a neighbour's.
        overlap: of the tiles, px of the image, at most a third of a tile; None takes a quarter.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: weights of another kind, a device that is not there, a value out of range.
    """

    batch_size = 1
    scenes = None
    """Of things and stuff there are none."""
    category_ids: tuple[int, ...] = ()

    def __init__(
        self,
        weights: str | Path | SemanticCheckpoint,
        *,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        resize: int | float | None = None,
        class_names: Sequence[str] | None = None,
        with_probs: bool = False,
        tile: TileSize = "auto",
        overlap: int | None = None,
        keep_memory: bool = False,
    ) -> None:
        names = tuple(class_names) if class_names is not None else None
        checkpoint = weights if isinstance(weights, SemanticCheckpoint) else load_semantic(weights, names)
        if checkpoint is None:
            raise ValueError(f"{weights}: expected a semantic network, got weights that find objects: use Predictor")
        if resize is not None:
            checkpoint = replace(checkpoint, settings=_resized(checkpoint.settings, resize))
        self.settings, self.card = checkpoint.settings, checkpoint.card
        self.class_names, self.description = checkpoint.class_names, checkpoint.sentence
        self.execution = choose_execution(device, precision)
        self.device, self.precision = self.execution.device, self.execution.precision
        self.with_probs, self.tile, self.overlap = with_probs, tile, overlap
        self._check_tiles()
        if keep_memory and self.device.type == "cpu":
            keep_freed_memory()
        self.network = checkpoint.build().to(self.device, DTYPES[self.precision])

    def needs_tiles(self, image_size: tuple[int, int]) -> bool:
        """Never: a job reads every image whole. Tiles, where there are any, are the predictor's own affair."""
        return False

    def identity(self) -> tuple[list[Any], Mapping[str, torch.Tensor]]:
        """What the results depend on: settings, and weights."""
        seen = repr(self.network.preprocess), self.tile, self.overlap
        return ["semantic", self.precision, self.class_names, *seen], self.network.state_dict()

    def __repr__(self) -> str:
        return f"SemanticPredictor({self.description}; {self.execution.description})"

    @overload
    def __call__(self, image: ImageLike, value_range: ValueRange | None = None) -> SemanticMap: ...
    @overload
    def __call__(self, image: Sequence[ImageLike], value_range: ValueRange | None = None) -> list[SemanticMap]: ...
    def __call__(
        self, image: ImageLike | Sequence[ImageLike], value_range: ValueRange | None = None
    ) -> SemanticMap | list[SemanticMap]:
        """The map of an image; a list of them for a list (or tuple) of images, in its order.

        An image is whatever a `Predictor` takes.

        Raises:
            FileNotFoundError, ValueError: an image that is not there, cannot be read, or is too large for the network.
        """
        if isinstance(image, list | tuple):
            return [self(one, value_range) for one in image]
        pixels = to_rgb(image, value_range)  # pyright: ignore[reportArgumentType]
        grid = self.grid_of((pixels.shape[0], pixels.shape[1]))
        with torch.inference_mode():
            if grid is not None:
                return self._in_tiles(pixels, grid)
            return self.network.segment(pixels, with_probs=self.with_probs)

    def grid_of(self, image_size: tuple[int, int]) -> Grid | None:
        """How an image of (height, width) is divided; None where it is seen whole."""
        side = self.tile
        if side == "off" or (side == "auto" and self.settings.pixels.shortest_edge is not None):
            return None
        if side == "auto":
            height, width = self.network.preprocess.output_size(image_size)
            if height * width <= AUTO_TILE_PX**2:
                return None
            side = max(1, round(AUTO_TILE_PX / 2 / self.settings.pixels.scale))
        assert isinstance(side, int)
        grid = Grid(image_size, side, side // 4 if self.overlap is None else self.overlap)
        return grid if len(grid) > 1 else None

    def _in_tiles(self, pixels: np.ndarray, grid: Grid) -> SemanticMap:
        class_idx = np.empty(pixels.shape[:2], index_type(len(self.class_names)))
        found = None
        for tile in map(grid.__getitem__, range(len(grid))):
            y0, x0, y1, x1 = tile.window
            found = self.network.segment(pixels[y0:y1, x0:x1])
            top, left, bottom, right = grid.owned(tile)
            class_idx[top:bottom, left:right] = found.class_idx[top - y0 : bottom - y0, left - x0 : right - x0]
        assert found is not None
        return replace(found, class_idx=class_idx, notes=(f"seen in {len(grid)} overlapping tiles",))

    def _check_tiles(self) -> None:
        tile, overlap, pixels = self.tile, self.overlap, self.settings.pixels
        if tile not in ("auto", "off") and (isinstance(tile, str) or tile < MIN_TILE_PX):
            raise ValueError(f"tile: expected auto, off or at least {MIN_TILE_PX} px, got {tile}")
        if isinstance(tile, int) and pixels.shortest_edge is not None:
            raise ValueError(
                f"tile: these weights see every image at {pixels.shortest_edge} px of its shorter side, and so whole; "
                "a factor as resize, such as 1.0, makes tiles possible"
            )
        if overlap is not None and not 0 <= overlap <= (tile // 3 if isinstance(tile, int) else overlap):
            limit = f" to {tile // 3} px, a third of a tile" if isinstance(tile, int) else " px or more"
            raise ValueError(f"overlap: expected 0{limit}, got {overlap}")
        if isinstance(tile, int) and self.with_probs:
            raise ValueError("with_probs: the probabilities are those of an image seen whole, got tiles beside it")


def _resized(settings: SemanticSettings, resize: int | float) -> SemanticSettings:
    if not 0 < resize < 100_000:
        raise ValueError(f"resize: expected px of the shorter side or a factor above 0, got {resize}")
    size = {"shortest_edge": None, "scale": resize} if isinstance(resize, float) else {"shortest_edge": resize}
    pixels = validate(SemanticPixelSettings, settings.pixels.model_dump() | size, "resize")
    return settings.model_copy(update={"pixels": pixels})
