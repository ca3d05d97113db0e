"""The foreground of a semantic network as objects."""

import numpy as np
import pytest

from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.config import SemanticSettings
from maskrcnn.prediction.map_objects import MapObjects
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.structures.semantic_map import SemanticMap

NAMES = ("cell", "background", "crystal")


def predictor(background: str | None = "background") -> SemanticPredictor:
    settings = SemanticSettings(class_names=NAMES, background=background, network={"channels": 1, "levels": 2})  # pyright: ignore
    return SemanticPredictor(SemanticCheckpoint(settings, dict(build_semantic(settings).body.state_dict()), "made"))


def test_regions_of_each_class_are_objects_and_touching_discs_are_two():
    y, x = np.mgrid[:60, :100]
    class_idx = np.ones((60, 100), np.uint8)
    class_idx[(y - 30) ** 2 + (x - 20) ** 2 < 15**2] = 0
    class_idx[(y - 30) ** 2 + (x - 46) ** 2 < 15**2] = 0
    class_idx[5:25, 75:95] = 2
    class_idx[50:52, 75:77] = 2  # too small
    found = MapObjects(predictor()).objects_of(SemanticMap(class_idx, NAMES))
    assert found.class_names == ("cell", "crystal")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.scores.tolist() == [1, 1, 1]
    assert found.boxes[2].tolist() == [75, 5, 95, 25]
    together = MapObjects(predictor(), split=False).objects_of(SemanticMap(class_idx, NAMES))
    assert together.labels.tolist() == [0, 1]


def test_without_a_background_there_are_no_objects():
    with pytest.raises(ValueError, match="objects need a class that is the background"):
        MapObjects(predictor(background=None))
