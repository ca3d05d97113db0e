"""Semantic weights, a device and a precision in one callable: image in, a class for every pixel out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import torch

from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint, load_semantic
from maskrcnn.data.images import ImageLike, ValueRange, to_rgb
from maskrcnn.prediction.execution import DTYPES, Device, choose_execution, keep_freed_memory
from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.structures.semantic_map import SemanticMap


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
        keep_memory: bool = False,
    ) -> None:
        names = tuple(class_names) if class_names is not None else None
        checkpoint = weights if isinstance(weights, SemanticCheckpoint) else load_semantic(weights, names)
        if checkpoint is None:
            raise ValueError(f"{weights}: expected a semantic network, got weights that find objects: use Predictor")
        self.class_names, self.description = checkpoint.class_names, checkpoint.sentence
        self.execution = choose_execution(device, precision)
        self.device, self.precision = self.execution.device, self.execution.precision
        self.with_probs = with_probs
        if keep_memory and self.device.type == "cpu":
            keep_freed_memory()
        self.network = checkpoint.build(_preprocess(resize)).to(self.device, DTYPES[self.precision])

    def needs_tiles(self, image_size: tuple[int, int]) -> bool:
        """Never: the network sees every image whole."""
        return False

    def identity(self) -> tuple[list[Any], Mapping[str, torch.Tensor]]:
        """What the results depend on: settings, and weights."""
        return ["semantic", self.precision, self.class_names, repr(self.network.preprocess)], self.network.state_dict()

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
        with torch.inference_mode():
            return self.network.segment(pixels, with_probs=self.with_probs)


def _preprocess(resize: int | float | None) -> Preprocess:
    published = Preprocess()
    if resize is None:
        return published
    if not 0 < resize < 100_000:
        raise ValueError(f"resize: expected px of the shorter side or a factor above 0, got {resize}")
    if isinstance(resize, float):
        return replace(published, shortest_edge=None, scale=resize)
    return replace(published, shortest_edge=resize)
