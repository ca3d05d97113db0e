"""One method with its choices, as a value: image in; objects, a class for every pixel, and the steps between out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import cv2
import numpy as np

from maskrcnn.classical.edges import EdgeFilter, edge_strength, enclosed
from maskrcnn.classical.grey import ObjectSide, background_of, grey_of
from maskrcnn.classical.kmeans import ColorSpace, kmeans
from maskrcnn.classical.objects import CLASS_NAME, objects_of
from maskrcnn.classical.threshold import Cut, Weighting, local_threshold, threshold
from maskrcnn.classical.watershed import distance_markers
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.semantic_map import SemanticMap

Kind = Literal["threshold", "local", "edges", "kmeans", "watershed"]


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a method found in one image."""

    instances: Instances
    """Connected regions of what is not the background, with masks as runs."""
    semantic: SemanticMap
    """The class of every pixel: background and object, or one for each of several levels or clusters."""
    steps: Mapping[str, np.ndarray]
    """The pictures on the way, by name, in their order: uint8 (H, W) or RGB (H, W, 3); empty if not asked for."""


@dataclass(frozen=True)
class Method:
    """What is done with an image. `method_of` makes one from a name.

    Raises:
        ValueError: a choice that there is not.
    """

    kind: Kind = "threshold"
    cuts: tuple[Cut, ...] = ("otsu",)
    """Of "threshold" and "watershed": see `maskrcnn.classical.threshold.threshold`."""
    weighting: Weighting = "gaussian"
    """Of "local": how the surroundings of a pixel count."""
    window_px: int | None = None
    """Of "local": the side of the surroundings, odd; None takes about a fifth of the shorter side."""
    offset: float = 5.0
    """Of "local": grey levels by which objects differ from their surroundings."""
    edge_filter: EdgeFilter = "sobel"
    """Of "edges"."""
    gap_px: int = 3
    """Of "edges": gaps of a contour up to about this are closed."""
    clusters: int = 3
    """Of "kmeans"."""
    space: ColorSpace = "lab"
    """Of "kmeans": in which colours are compared."""
    seed: int = 0
    """Of "kmeans"."""
    objects: ObjectSide = "auto"
    """Whether objects are light or dark; "auto" takes what fills the border of the image for the background."""
    smooth_px: float = 1.0
    """Standard deviation of the blur before anything else; "kmeans" and all others see the blurred image."""
    min_area: int = 20
    """Pixels below which a region is no object. Maps and steps keep it."""
    split: bool | None = None
    """Whether touching objects are told apart by their shape; None does it for "watershed" only."""
    fill: bool = True
    """Whether holes in objects are filled."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.min_area < 0 or self.gap_px < 0:
            raise ValueError(f"min_area and gap_px: expected 0 or more, got {self.min_area} and {self.gap_px}")

    def __call__(self, image: np.ndarray, markers: np.ndarray | None = None, *, with_steps: bool = False) -> Segmented:
        """What is in an RGB uint8 (H, W, 3) image.

        `markers`, integers (H, W), are a number for some pixels of each object, from which touching ones are told
        apart; None finds them by shape where `split` asks for it.

        Raises:
            ValueError: an image of another kind, or a number that does not suit it.
        """
        grey = grey_of(image, self.smooth_px)
        steps: dict[str, np.ndarray] = {"grey": grey}
        levels, names, palette = _LEVELS[self.kind](self, image, grey, steps)
        # The other two have told objects from the rest already.
        is_by_level = self.kind not in ("local", "edges")
        background = background_of(levels, len(names), self.objects) if is_by_level else 0
        mask = (levels != background).astype(np.uint8)
        if len(names) == 2:  # the class of the background first, whichever side it is on
            levels, names, background = mask, ("background", CLASS_NAME), 0
        split = self.kind == "watershed" if self.split is None else self.split
        if split and markers is None and with_steps:
            distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
            steps["distance"] = cv2.convertScaleAbs(distance, alpha=255 / max(float(distance.max()), 1e-6))
            steps["markers"] = cv2.dilate(
                (distance_markers(mask) > 0).astype(np.uint8) * 255, np.ones((3, 3), np.uint8)
            )
        steps["mask"] = mask * 255
        relief = image if markers is not None else None
        found = objects_of(mask, split=split, markers=markers, relief=relief, min_area=self.min_area, fill=self.fill)
        semantic = SemanticMap(levels, names, palette, background=background)
        return Segmented(found, semantic, steps if with_steps else {})

    def __str__(self) -> str:
        """Its kind, and the choices that are not the usual ones: "threshold (cuts 85, 170; objects dark)"."""
        usual = Method(self.kind)
        told = []
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != getattr(usual, one.name):
                told.append(f"{one.name} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
        return f"{self.kind} ({'; '.join(told)})" if told else self.kind


SHORT_NAMES: dict[str, dict[str, Any]] = {
    "otsu": {"kind": "threshold", "cuts": ("otsu",)},
    "mean": {"kind": "threshold", "cuts": ("mean",)},
    "sobel": {"kind": "edges", "edge_filter": "sobel"},
    "laplacian": {"kind": "edges", "edge_filter": "laplacian"},
    "canny": {"kind": "edges", "edge_filter": "canny"},
}
"""Names that stand for a method and a choice of it."""
METHODS = (*get_args(Kind), *SHORT_NAMES)
"""Every name that `method_of` takes."""
_CHOICES = {
    "kind": get_args(Kind),
    "weighting": get_args(Weighting),
    "edge_filter": get_args(EdgeFilter),
    "space": get_args(ColorSpace),
    "objects": get_args(ObjectSide),
}


def method_of(name: str, **choices: Any) -> Method:
    """The method of that name, one of `METHODS`, with `choices`, the fields of `Method`, in place of its usual ones.

    Raises:
        ValueError: no such name, or a choice that there is not.
    """
    if name not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {name!r}")
    return replace(Method(**SHORT_NAMES.get(name, {"kind": name})), **choices)


_Levels = tuple[np.ndarray, tuple[str, ...], np.ndarray | None]
"""Levels uint8 (H, W), a name for each from dark to light, and their colours."""


def _by_threshold(method: Method, image: np.ndarray, grey: np.ndarray, steps: dict[str, np.ndarray]) -> _Levels:
    levels, cuts = threshold(grey, method.cuts)
    if len(cuts) == 1:
        return levels, ("dark", "light"), None
    ends = [f"{cut:g}" for cut in cuts]
    between = [f"grey {low} to {high}" for low, high in pairwise(ends)]
    names = (f"grey up to {ends[0]}", *between, f"grey above {ends[-1]}")
    shades = np.linspace(0, 255, len(names)).round().astype(np.uint8)
    steps["levels"] = shades[levels]
    return levels, names, np.repeat(shades[:, None], 3, axis=1)


def _by_surroundings(method: Method, image: np.ndarray, grey: np.ndarray, steps: dict[str, np.ndarray]) -> _Levels:
    side = method.objects
    if side == "auto":  # of what is nowhere different from its surroundings, the border says nothing
        global_levels, _ = threshold(grey, ("otsu",))
        side = "light" if background_of(global_levels, 2, "auto") == 0 else "dark"
    offset = abs(method.offset) if side == "light" else -abs(method.offset)
    levels = local_threshold(grey, window_px=method.window_px, weighting=method.weighting, offset=offset)
    return (levels if side == "light" else 1 - levels), ("surroundings", CLASS_NAME), None


def _by_edges(method: Method, image: np.ndarray, grey: np.ndarray, steps: dict[str, np.ndarray]) -> _Levels:
    strength = edge_strength(grey, method.edge_filter)
    levels, edges = enclosed(strength, gap_px=method.gap_px)
    steps |= {method.edge_filter: strength, "edges": edges * 255}
    return levels, ("outside", CLASS_NAME), None


def _by_colour(method: Method, image: np.ndarray, grey: np.ndarray, steps: dict[str, np.ndarray]) -> _Levels:
    blurred = cv2.GaussianBlur(image, (0, 0), method.smooth_px) if method.smooth_px else image
    levels, means = kmeans(blurred, method.clusters, space=method.space, seed=method.seed)
    steps["clusters"] = means[levels]
    return levels, tuple(f"cluster {k + 1}" for k in range(method.clusters)), means


_LEVELS = {
    "threshold": _by_threshold,
    "local": _by_surroundings,
    "edges": _by_edges,
    "kmeans": _by_colour,
    "watershed": _by_threshold,
}
