"""What is asked of pictures and their results from Python: one picture and its result, or lists of them."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from maskrcnn.data.images import ImageLike, ValueRange, to_rgb
from maskrcnn.report import count as counting
from maskrcnn.report import draw as drawing
from maskrcnn.report.draw import ColorMode
from maskrcnn.report.draw_panoptic import draw_panoptic
from maskrcnn.report.draw_semantic import draw_semantic
from maskrcnn.report.labels import LabelMode
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.panoptic import Panoptic
from maskrcnn.structures.semantic_map import SemanticMap


@overload
def count(instances: Instances) -> dict[str, int]: ...
@overload
def count(instances: Sequence[Instances]) -> list[dict[str, int]]: ...
def count(instances: Instances | Sequence[Instances]) -> dict[str, int] | list[dict[str, int]]:
    """Number of objects of every class, in the order of `class_names`; 0 for classes without an object.

    For a list of results, as a `Predictor` gives for a list of pictures, a list with the counts of each.

    Raises:
        TypeError: something else, such as a picture that no predictor has seen yet.
    """
    if isinstance(instances, list | tuple):
        return [counting.count(_expect_instances(one)) for one in instances]
    return counting.count(_expect_instances(instances))


@overload
def draw(
    image: ImageLike,
    instances: Instances | SemanticMap | Panoptic,
    *,
    legend: bool = True,
    labels: LabelMode = "auto",
    colors: ColorMode = "instance",
    scale: int = 1,
    value_range: ValueRange | None = None,
    max_pixels: int | None = None,
) -> np.ndarray: ...
@overload
def draw(
    image: Sequence[ImageLike],
    instances: Sequence[Instances | SemanticMap | Panoptic],
    *,
    legend: bool = True,
    labels: LabelMode = "auto",
    colors: ColorMode = "instance",
    scale: int = 1,
    value_range: ValueRange | None = None,
    max_pixels: int | None = None,
) -> list[np.ndarray]: ...
def draw(
    image: ImageLike | Sequence[ImageLike],
    instances: Instances | SemanticMap | Panoptic | Sequence[Instances | SemanticMap | Panoptic],
    *,
    legend: bool = True,
    labels: LabelMode = "auto",
    colors: ColorMode = "instance",
    scale: int = 1,
    value_range: ValueRange | None = None,
    max_pixels: int | None = None,
) -> np.ndarray | list[np.ndarray]:
    """A new RGB uint8 picture, (scale * H, scale * W, 3): `image` with `instances` on it; a list of them for lists.

    Args:
        image: a picture in any form that a `Predictor` takes, with its `value_range` where it needs one.
        instances: what was found in it: objects, a class for every pixel, of which only the `legend` can be chosen, or
            a scene, of which `labels` and `scale` can.
        legend: put the count, or the share of the pixels, of each class where it hides the least.
        labels: "auto" draws the box and writes number, class and score only at objects with room for it, or else the
            numbers alone, or nothing; "all" at every object; "id", "class" or "score" one of them; "none" none.
        colors: "instance" gives neighbours different colours; "class" gives each class its own.
        scale: whole factor by which the picture is enlarged.
        max_pixels: of `read_image`.

    Raises:
        FileNotFoundError, ValueError: a picture that is not there, cannot be read, or is of another size.
        TypeError: no result of a predictor.
    """
    is_list = isinstance(image, list | tuple)

    def draw_one(pixels: np.ndarray, found: object) -> np.ndarray:
        if isinstance(found, SemanticMap):
            return draw_semantic(pixels, found, legend=legend)
        if isinstance(found, Panoptic):
            return draw_panoptic(pixels, found, labels=labels != "none", scale=scale)
        chosen = _expect_instances(found)
        return drawing.draw(pixels, chosen, legend=legend, labels=labels, colors=colors, scale=scale)

    if is_list != isinstance(instances, list | tuple):
        raise TypeError("draw: expected one image and its Instances, or a list of each")
    images, results = (image, instances) if is_list else ([image], [instances])
    if len(images) != len(results):  # pyright: ignore[reportArgumentType]
        raise ValueError(f"draw: expected as many results as images, got {len(results)} for {len(images)}")  # pyright: ignore[reportArgumentType]
    drawn = [
        draw_one(to_rgb(one, value_range, max_pixels=max_pixels), found)  # pyright: ignore[reportArgumentType]
        for one, found in zip(images, results, strict=True)  # pyright: ignore[reportArgumentType]
    ]
    return drawn if is_list else drawn[0]


def _expect_instances(found: object) -> Instances:
    if not isinstance(found, Instances):
        raise TypeError(f"expected Instances, as a Predictor gives for an image, got {type(found).__name__}")
    return found
