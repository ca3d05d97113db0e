"""A semantic network on a whole set of images, judged one by one as they are predicted."""

from collections.abc import Callable

import numpy as np

from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.distributed import gather_to_first
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation, evaluated
from maskrcnn.evaluation.semantic_scores import ImageTally, tally
from maskrcnn.prediction.detecting import share_of_images
from maskrcnn.structures.semantic_map import SemanticMap


def judge_maps(predict: Callable[[np.ndarray], SemanticMap], data: PixelClasses) -> SemanticEvaluation | None:
    """What `predict` finds in the images of `data`, judged; in the first process, every process must call it.

    Raises:
        ValueError: an image that cannot be used, or a map of other classes.
    """
    own: dict[int, ImageTally] = {}
    for index in share_of_images(len(data), "val"):
        sample = data.load(index)
        found = predict(sample.image)
        if found.class_names != data.class_names:
            raise ValueError(f"expected a map of {', '.join(data.class_names)}, got {', '.join(found.class_names)}")
        own[index] = tally(data.class_map(index), found.class_idx, len(data.class_names))
    parts = gather_to_first(own)
    if parts is None:
        return None
    tallies = {index: one for part in parts for index, one in part.items()}
    return evaluated(tallies, data.file_names, data.class_names)
