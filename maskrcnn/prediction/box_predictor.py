"""A predictor that outlines what lies in given boxes, image by image, with the face that a job asks for."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from maskrcnn.data.box_files import BoxFile
from maskrcnn.prediction.given_boxes import checked_boxes
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.structures.instances import Instances


class BoxPredictor:
    """What a job over many images asks of a predictor, with the boxes of a file in place of those that are found.

    A class that the file says and the weights have is taken; of other boxes it is the one that the box head finds the
    likeliest. Every page of a file has the same boxes.
    """

    batch_size = 1
    scenes = None

    def __init__(self, predictor: Predictor, boxes: BoxFile) -> None:
        self.predictor, self.boxes = predictor, boxes
        self.class_names, self.category_ids = predictor.class_names, predictor.category_ids
        self.description = f"{predictor.description}, in the boxes of {boxes.source.name}"

    def in_file(self, file: Path, image: np.ndarray) -> Instances:
        """The objects in the boxes of an image, RGB uint8 (H, W, 3), in their order.

        Raises:
            ValueError: a box that is empty or leaves the image; names the file of the boxes and the row.
        """
        given = self.boxes.of(file)
        for box in given:
            try:
                checked_boxes([box.corners], (image.shape[0], image.shape[1]))
            except ValueError as error:
                reason = str(error).removeprefix("box 0 ")
                raise ValueError(f"{self.boxes.source}, {box.row}: the box {reason}") from None
        labels = [box.class_name if box.class_name in self.class_names else None for box in given]
        found = self.predictor.masks_for(image, [box.corners for box in given], labels)
        assert isinstance(found, Instances)
        return found

    def needs_tiles(self, image_size: tuple[int, int]) -> bool:
        """Never: the network sees the image whole."""
        return False

    def identity(self) -> tuple[list[Any], Mapping[str, Tensor]]:
        """What the results depend on: settings and boxes, and weights."""
        settings, tensors = self.predictor.identity()
        digest = hashlib.sha256(self.boxes.source.read_bytes()).hexdigest()
        return [*settings, "boxes", digest], tensors
