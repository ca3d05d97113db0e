"""Mask R-CNN that finds, outlines, counts and draws every object in an image.

import maskrcnn
predictor = maskrcnn.Predictor()
instances = predictor("cells.png")
maskrcnn.count(instances)  # {"nucleus": 60}
drawing = maskrcnn.draw("cells.png", instances)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrcnn.config import settings
    from maskrcnn.data.images import read_image
    from maskrcnn.data.pages import read_pages
    from maskrcnn.data.regions import read_regions
    from maskrcnn.evaluation.dataset_check import check_dataset
    from maskrcnn.evaluation.dataset_conversion import convert_dataset
    from maskrcnn.model.build import build_model
    from maskrcnn.prediction.comparing import compare
    from maskrcnn.prediction.method_predictor import MethodPredictor
    from maskrcnn.prediction.predictor import Predictor
    from maskrcnn.prediction.results import count, draw
    from maskrcnn.prediction.scoring import evaluate
    from maskrcnn.prediction.semantic_predictor import SemanticPredictor
    from maskrcnn.prediction.suspecting import find_suspects
    from maskrcnn.prediction.tracks import track
    from maskrcnn.report.histograms import plot_histograms
    from maskrcnn.report.measure import measure
    from maskrcnn.report.regions import count_in
    from maskrcnn.report.selection import select
    from maskrcnn.report.semantic_files import save_semantic
    from maskrcnn.structures.instances import Instances
    from maskrcnn.structures.semantic_map import SemanticMap
    from maskrcnn.tracking.lines import LineCounter
    from maskrcnn.tracking.zones import ZoneCounter
    from maskrcnn.training.run import train

__version__ = "0.1.0"
__all__ = [
    "Instances",
    "LineCounter",
    "MethodPredictor",
    "Predictor",
    "SemanticMap",
    "SemanticPredictor",
    "ZoneCounter",
    "build_model",
    "check_dataset",
    "compare",
    "convert_dataset",
    "count",
    "count_in",
    "draw",
    "evaluate",
    "find_suspects",
    "measure",
    "plot_histograms",
    "read_image",
    "read_pages",
    "read_regions",
    "save_semantic",
    "select",
    "settings",
    "track",
    "train",
]

_HOMES = {
    "Predictor": "maskrcnn.prediction.predictor",
    "Instances": "maskrcnn.structures.instances",
    "SemanticMap": "maskrcnn.structures.semantic_map",
    "SemanticPredictor": "maskrcnn.prediction.semantic_predictor",
    "build_model": "maskrcnn.model.build",
    "MethodPredictor": "maskrcnn.prediction.method_predictor",
    "compare": "maskrcnn.prediction.comparing",
    "check_dataset": "maskrcnn.evaluation.dataset_check",
    "convert_dataset": "maskrcnn.evaluation.dataset_conversion",
    "count": "maskrcnn.prediction.results",
    "count_in": "maskrcnn.report.regions",
    "draw": "maskrcnn.prediction.results",
    "evaluate": "maskrcnn.prediction.scoring",
    "find_suspects": "maskrcnn.prediction.suspecting",
    "measure": "maskrcnn.report.measure",
    "plot_histograms": "maskrcnn.report.histograms",
    "read_image": "maskrcnn.data.images",
    "read_pages": "maskrcnn.data.pages",
    "read_regions": "maskrcnn.data.regions",
    "save_semantic": "maskrcnn.report.semantic_files",
    "select": "maskrcnn.report.selection",
    "settings": "maskrcnn.config",
    "track": "maskrcnn.prediction.tracks",
    "LineCounter": "maskrcnn.tracking.lines",
    "ZoneCounter": "maskrcnn.tracking.zones",
    "train": "maskrcnn.training.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `maskrcnn --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'maskrcnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Also the public names that nothing has used yet, for `dir`, `help` and completion."""
    return sorted({*globals(), *__all__})
