"""What a job over many images asks of a predictor, whatever that finds, and what its files say of it."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import maskrcnn
from maskrcnn.data.pages import Reading
from maskrcnn.prediction.box_predictor import BoxPredictor
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.selection import Selection
from maskrcnn.untrusted.names import utf8

JobPredictor = Predictor | MethodPredictor | SemanticPredictor | BoxPredictor
"""Each has `class_names`, `category_ids`, `batch_size`, `needs_tiles` and `identity`, and takes a list of images; the
last takes an image with its file."""


def finds_classes(predictor: JobPredictor) -> bool:
    """Whether it gives a class for every pixel, not objects."""
    return isinstance(predictor, SemanticPredictor)


def info_of(
    predictor: JobPredictor, class_names: Sequence[str], reading: Reading, selection: Selection | None
) -> dict[str, Any]:
    """The `info` of a job's JSON files: the version, the weights, and the settings that decide on what was found.

    The device and the batch size, which change the last digits, are not in it. docs/formats.md describes it.
    """
    own: dict[str, Any] = {"version": maskrcnn.__version__}
    if isinstance(predictor, BoxPredictor):
        own["boxes"] = utf8(predictor.boxes.source.name)
        predictor = predictor.predictor
    if isinstance(predictor, Predictor):
        settings = predictor.settings.model_dump(mode="json")
        own["weights"] = _weights(predictor.path) | {"network": utf8(predictor.description)}
        own["detection"] = settings["detection"]
        own["resize"] = settings["resize"]
        own["precision"] = predictor.precision
        own["tiling"] = {"tile": predictor.tile, "overlap": predictor.overlap}
    else:
        own["method"] = predictor.description
    own["classes"] = [utf8(name) for name in class_names]
    own["reading"] = {"channel": reading.channel, "planes": reading.planes}
    chosen = selection or Selection()
    own["selection"] = {
        "min_area": chosen.min_area,
        "max_area": chosen.max_area,
        "exclude_border": chosen.exclude_border,
    }
    return {"description": DESCRIPTION, "maskrcnn": own}


def _weights(path: Path | None) -> dict[str, str]:
    """Their file by its name, and by its sum where it is still there."""
    if path is None:
        return {}
    name = {"file": utf8(path.name)}
    with suppress(OSError):
        return name | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return name
