"""A method without weights with the face of a predictor: image in, instances out."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from torch import Tensor

from maskrcnn.classical.method import Method, Segmented, method_of
from maskrcnn.classical.objects import CLASS_NAME
from maskrcnn.data.images import ImageLike, ValueRange, to_rgb
from maskrcnn.structures.instances import Instances


class MethodPredictor:
    """Finds objects by a threshold, edges, clusters or a flood: `predictor("cells.png")` gives `Instances`.

    `segment` also gives the class of every pixel and the pictures on the way. All objects are of the class "object".

    Args:
        method: a name of `maskrcnn.classical.method.METHODS`, such as "otsu", or a `Method`.
        choices: fields of `Method`, such as `min_area` or `objects`; none beside a `Method`.

    Raises:
        ValueError: no such method or choice.
    """

    batch_size = 1
    scenes = None
    """Of things and stuff there are none."""
    class_names = (CLASS_NAME,)
    category_ids: tuple[int, ...] = ()

    def __init__(self, method: str | Method = "otsu", **choices: Any) -> None:
        if isinstance(method, Method) and choices:
            raise ValueError(f"a method has its choices already, got {', '.join(choices)} beside it")
        self.method = method if isinstance(method, Method) else method_of(method, **choices)
        self.description = str(self.method)

    def __repr__(self) -> str:
        return f"MethodPredictor({self.description})"

    @overload
    def __call__(
        self, image: ImageLike, value_range: ValueRange | None = None, *, max_pixels: int | None = None
    ) -> Instances: ...
    @overload
    def __call__(
        self, image: Sequence[ImageLike], value_range: ValueRange | None = None, *, max_pixels: int | None = None
    ) -> list[Instances]: ...
    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        value_range: ValueRange | None = None,
        *,
        max_pixels: int | None = None,
    ) -> Instances | list[Instances]:
        """Instances of an image; a list of them for a list (or tuple). An image is whatever a `Predictor` takes.

        Raises:
            FileNotFoundError, ValueError: an image that is not there or cannot be read.
        """
        if isinstance(image, list | tuple):
            return [self(one, value_range, max_pixels=max_pixels) for one in image]
        return self.segment(image, value_range, max_pixels=max_pixels).instances  # pyright: ignore[reportArgumentType]

    def segment(
        self,
        image: ImageLike,
        value_range: ValueRange | None = None,
        *,
        markers: np.ndarray | None = None,
        with_steps: bool = False,
        max_pixels: int | None = None,
    ) -> Segmented:
        """Instances, semantic map and, `with_steps`, the pictures on the way; `markers` as `Method` takes them."""
        return self.method(to_rgb(image, value_range, max_pixels=max_pixels), markers, with_steps=with_steps)

    def needs_tiles(self, image_size: tuple[int, int]) -> bool:
        """Never: a method takes the image as it is."""
        return False

    def identity(self) -> tuple[list[Any], Mapping[str, Tensor]]:
        """What the results depend on: choices, and weights."""
        return ["method", repr(self.method)], {}
