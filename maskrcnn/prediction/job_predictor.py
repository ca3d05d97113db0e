"""What a job over many images asks of a predictor, whatever that finds."""

from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.semantic_predictor import SemanticPredictor

JobPredictor = Predictor | MethodPredictor | SemanticPredictor
"""Each has `class_names`, `category_ids`, `batch_size`, `needs_tiles` and `identity`, and takes a list of images."""


def finds_classes(predictor: JobPredictor) -> bool:
    """Whether it gives a class for every pixel, not objects."""
    return isinstance(predictor, SemanticPredictor)
