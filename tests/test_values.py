"""Results and settings are values: nobody who is given one can change it under the hands of another."""

import importlib
import pkgutil
from dataclasses import is_dataclass

import maskrcnn

STATE = {  # what grows while a thing is put together, each inside one file
    "maskrcnn.checkpoints.stand_ins": {"NumpyArray", "NumpyDtype", "Storage", "TorchTensor"},
    "maskrcnn.cli.infer": {"_Found"},
    "maskrcnn.prediction.scene_judge": {"SceneJudge"},
    "maskrcnn.prediction.seams": {"_Group", "_Part"},
    "maskrcnn.prediction.slide_job": {"SlideFound"},
    "maskrcnn.prediction.tiling": {"_Network"},
}


def test_dataclasses_are_frozen() -> None:
    changeable: dict[str, set[str]] = {}
    for info in pkgutil.walk_packages(maskrcnn.__path__, "maskrcnn."):
        for name, value in vars(importlib.import_module(info.name)).items():
            is_own = isinstance(value, type) and is_dataclass(value) and value.__module__ == info.name
            if is_own and not value.__dataclass_params__.frozen:
                changeable.setdefault(info.name, set()).add(name)
    assert changeable == STATE, "freeze it, or say in STATE that it changes"
