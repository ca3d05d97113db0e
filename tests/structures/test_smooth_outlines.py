"""Outlines between the pixels: of a circle they are a circle, and their pixels are those of the mask."""

from dataclasses import replace
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import PasteMode, masks_to_runs
from maskrcnn.structures.polygons import one_ring
from maskrcnn.structures.rle import decode
from maskrcnn.structures.smooth_outlines import smooth_outlines

SIZE = (120, 160)


def filled(polygons: list[Any]) -> np.ndarray:
    ring = one_ring(polygons)
    if len(ring) < 3:
        return np.zeros(SIZE, bool)
    rles: Any = pycocotools.mask.frPyObjects([ring.ravel().tolist()], *SIZE)
    return pycocotools.mask.decode(pycocotools.mask.merge(rles)).astype(bool)


def cone(radius: float, inner: float = 0.0) -> torch.Tensor:
    """Probabilities (1, 28, 28) that fall with the distance from a circle of `radius` cells: 0.5 on it."""
    y, x = torch.meshgrid(*[torch.arange(28) + 0.5 - 14] * 2, indexing="ij")
    distance = (x**2 + y**2).sqrt()
    ring = torch.minimum(radius - distance, distance - inner) if inner else radius - distance
    return (0.5 + 0.1 * ring).clamp(0, 1)[None]


def test_a_circle():
    boxes = torch.tensor([[20.5, 10.25, 20.5 + 84, 10.25 + 84]])  # three pixels a cell
    ((part,),) = smooth_outlines(cone(9.0), boxes, SIZE, "exact")
    radius = np.linalg.norm(part["exterior"] - [20.5 + 42, 10.25 + 42], axis=1)
    assert np.abs(radius - 27).max() < 0.1
    assert part["holes"] == []


def test_a_ring_has_a_hole():
    ((part,),) = smooth_outlines(cone(11.0, 5.0), torch.tensor([[10.0, 10, 94, 94]]), SIZE, "exact")
    (hole,) = part["holes"]
    assert np.abs(np.linalg.norm(hole - [52, 52], axis=1) - 15).max() < 0.15


@pytest.mark.parametrize("mode", ["exact", "expand_to_integer", "integer"])
def test_nearly_the_pixels_of_the_mask(mode: PasteMode):
    probs = torch.cat([cone(9.0), cone(13.0, 4.0), cone(6.0), torch.ones(1, 28, 28)])
    boxes = torch.tensor(
        [[-20.0, 5, 60, 70], [70.3, 20.1, 150.2, 110.9], [140.0, 100, 180, 150], [5.2, 80.4, 30.7, 100]]
    )
    rles = masks_to_runs(probs, boxes, SIZE, mode).rles()
    for polygons, rle in zip(smooth_outlines(probs, boxes, SIZE, mode), rles, strict=True):
        outline, pixels = filled(polygons), decode(rle)
        assert (outline & pixels).sum() / (outline | pixels).sum() > 0.96
        for part in polygons:
            assert part["exterior"].min() >= 0
            assert (part["exterior"].max(axis=0) <= [160, 120]).all()


@pytest.mark.parametrize("mode", ["exact", "expand_to_integer", "integer"])
def test_nothing(mode: PasteMode):
    nan = float("nan")
    flat = [10.0, 10, 10, 20] if mode != "expand_to_integer" else [500.0, 0, 501, 2]  # which gives such a box a column
    boxes = torch.tensor([flat, [nan, 0, 1, 1], [500.0, 500, 600, 600], [10.0, 10, 50, 50]])
    probs = torch.cat([torch.ones(3, 28, 28), torch.full((1, 28, 28), 0.2)])
    assert smooth_outlines(probs, boxes, SIZE, mode) == [[], [], [], []]
    assert smooth_outlines(probs[:0], boxes[:0], SIZE, mode) == []


def test_of_instances():
    made = Instances(
        SIZE, torch.tensor([[10.0, 10, 94, 94]]), torch.tensor([0]), torch.tensor([0.9]), cone(9.0), ("a",)
    )
    (smooth,), (exact,) = made.polygons(smooth=True), made.polygons()
    assert (np.mod(exact[0]["exterior"], 1) == 0).all()
    assert (np.mod(smooth[0]["exterior"], 1) != 0).any()
    known = replace(made, pixels=made.runs)
    assert [p["exterior"].tolist() for p in known.polygons(smooth=True)[0]] == [p["exterior"].tolist() for p in exact]
