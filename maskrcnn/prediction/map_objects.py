"""The foreground of a semantic network as objects: connected regions of each class, told apart where they touch."""

from dataclasses import replace

import numpy as np
import torch

from maskrcnn.classical.objects import objects_of
from maskrcnn.data.images import ImageLike
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.semantic_map import SemanticMap

MIN_AREA_PX = 20
"""Of an object, as of the methods without weights."""


class MapObjects:
    """A semantic network with the face of a predictor: image in, `Instances` out, each with the score 1.

    Args:
        predictor: of a network with a background, whose other classes are those of the objects.
        split: tell touching objects apart by their shape (`maskrcnn.classical.watershed`).

    Raises:
        ValueError: a network without a background.
    """

    scenes = None
    category_ids: tuple[int, ...] = ()

    def __init__(self, predictor: SemanticPredictor, *, split: bool = True, min_area: int = MIN_AREA_PX) -> None:
        if predictor.network.background is None:
            raise ValueError(f"{predictor.description}: objects need a class that is the background, and there is none")
        self.predictor, self.split, self.min_area = predictor, split, min_area
        background = predictor.network.background
        self.class_names = tuple(name for k, name in enumerate(predictor.class_names) if k != background)
        how = "touching ones split" if split else "connected regions"
        self.description = f"{predictor.description}; its foreground as objects, {how}"

    def __call__(self, image: ImageLike) -> Instances:
        """The objects in an image, class by class."""
        return self.objects_of(self.predictor(image))

    def objects_of(self, found: SemanticMap) -> Instances:
        """Those of a map of this network."""
        return Instances.concatenate([self._of_class(found, k, name) for k, name in enumerate(self.class_names)])

    def _of_class(self, found: SemanticMap, label: int, name: str) -> Instances:
        mask = found.mask(name).astype(np.uint8)
        own = objects_of(mask, split=self.split, min_area=self.min_area, class_name=name)
        labels = torch.full_like(own.labels, label)
        return replace(own, labels=labels, class_names=self.class_names)
