"""Names and shapes of detectron2's networks, and what is made of them with a YAML beside them."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from maskrcnn.checkpoints.families.detectron2 import conventions, convert
from maskrcnn.checkpoints.source import Conventions, Source
from maskrcnn.checkpoints.structure import structure_of
from maskrcnn.config import ModelSettings, model_settings, overlay
from maskrcnn.model.build import build_model
from tests.oracles.detectron2_layout import to_detectron2

Weights = dict[str, Tensor]
RGB_MEAN, RGB_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
X101 = {"depth": 101, "groups": 32, "width_per_group": 8, "stride_in_1x1": False}
USUAL = "the usual sizes, anchors and thresholds"
MSRA = f"BGR, stride in 1x1, {USUAL} (preset detectron2_msra)"
CELLS = "proposal_generator.anchor_generator.cell_anchors."


def weights_of(preset: str = "detectron2_msra", num_classes: int = 80, **differences: dict[str, Any]) -> Weights:
    """Names and shapes of the real architecture under detectron2's names."""
    return dict(made(preset, num_classes, repr(differences)))


@cache
def made(preset: str, num_classes: int, differences: str) -> Weights:
    names = [str(i) for i in range(num_classes)]
    groups = overlay({"backbone": {"depth": 50}}, ast.literal_eval(differences))
    with torch.device("meta"):
        return to_detectron2(build_model(model_settings(preset, class_names=names, **groups)).state_dict())


def tell(
    folder: Path,
    weights: Weights | None = None,
    config: dict[str, Any] | str | None = None,
    *,
    num_classes: int = 80,
    preset: str | None = None,
    name: str = "config.yaml",
) -> Conventions:
    """`conventions` of `weights`, by default R50-FPN's, with `config` beside them."""
    if config is not None:
        (folder / name).write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    source = Source(folder / "model_final.pth", weights or weights_of(num_classes=num_classes))
    return conventions(source, num_classes, structure_of(convert(source.tensors)), preset)


def settings_of(told: Conventions) -> ModelSettings:
    return model_settings(told.preset, **told.differences)
