"""Mask R-CNN as the trainer's task: objects to learn, AP or counts to be judged by."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from maskrcnn.checkpoints.checkpoint import Checkpoint, save_checkpoint
from maskrcnn.checkpoints.imagenet import IMAGENET, imagenet_weights
from maskrcnn.checkpoints.score_threshold import with_score_threshold
from maskrcnn.checkpoints.transfer import Transfer, settings_from, transfer
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import Config, ModelSettings, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.repeat_factors import repeat_factors
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.predictor import describe_weights
from maskrcnn.training.task import Judgement
from maskrcnn.training.validation import Validation

log = logging.getLogger("maskrcnn")

FROZEN_PARTS = {"all": 0, "3+": 2, "4+": 3, "5+": 4, "heads": 5}  # of the stem and the four stages
BEST_BY = ("mask_ap", "box_ap", "count_mae", "pq")


class InstanceTask:
    """See `maskrcnn.training.task.Task`."""

    def __init__(self, config: Config, train: Annotations, val: Annotations | None, out: Path) -> None:
        """Raises ValueError where the data do not fit the settings."""
        self.config = with_classes_of(train, config)
        settings = self.config.train
        self.train_data = train
        self.repeats: np.ndarray = repeat_factors(train, settings.repeat_threshold)
        self.validation = Validation(val, train.class_names, self.config, out) if val is not None else None
        if settings.best_by not in BEST_BY:
            raise ValueError(f"train.best_by of objects is one of {', '.join(BEST_BY)}, got {settings.best_by}")
        if settings.best_by == "pq" and not (self.settings.semantic_head and val is not None and val.stuff is not None):
            raise ValueError("train.best_by pq needs model.semantic_head, and a val part with panoptic annotations")

    @property
    def settings(self) -> ModelSettings:
        return self.config.model

    def settings_in(self, saved: Mapping[str, Any], source: str) -> ModelSettings:
        # Through the settings, which know how older versions wrote them.
        return validate(ModelSettings, saved["model"], f"{source}: model")

    def build(self) -> MaskRCNN:
        return build_model(self.settings)

    def start(self, model: MaskRCNN, init: Checkpoint | None) -> Transfer | None:
        report = transfer(model, self.settings, init) if init is not None else None
        model.backbone.freeze(FROZEN_PARTS[self.config.train.layers])
        return report

    def export(self, path: Path, tensors: Mapping[str, Tensor], card: dict[str, Any], judged: Judgement | None) -> None:
        """With the score threshold that counts best on val by this judgement."""
        settings = self.settings
        found = self.validation.score_threshold(judged) if self.validation and judged else None
        if found is not None:
            threshold, note = found
            card = card | note
            settings = with_score_threshold(settings, threshold)
        save_checkpoint(path, tensors, settings, card)


def starting_weights(config: Config) -> tuple[Config, Checkpoint]:
    """The weights that `config` names, and its network with what it leaves open as theirs."""
    settings = config.train
    if settings.init_from == IMAGENET:
        init = imagenet_weights(config.model)
    else:
        init = load_weights(settings.init_from, preset=settings.init_preset, is_partial=True)
    config, changes = settings_from(config, init)
    log.info("new run, starting from the weights of %s: %s", settings.init_from, describe_weights(init))
    for change in changes:
        log.info("the configuration differs: %s", change)
    return config, init


def with_classes_of(train: Annotations, config: Config) -> Config:
    """`config` with the classes of the data, and with its stuff where the network has a semantic branch.

    Raises:
        ValueError: a semantic branch, and data without stuff; or data without objects.
    """
    settings = config.model
    if not train.class_names:
        raise ValueError(
            f"{train.source}: expected objects, got a class for every pixel; a group `semantic` of the configuration "
            "learns that"
        )
    update: dict[str, Any] = {"class_names": train.class_names, "category_ids": train.category_ids}
    if settings.semantic_head is not None:
        if train.stuff is None:
            raise ValueError(
                f"{train.source}: model.semantic_head learns from panoptic annotations, got ones without stuff; "
                "semantic_head: null leaves the branch out"
            )
        stuff = {"class_names": ("things", *train.stuff.names), "category_ids": train.stuff.category_ids}
        update["semantic_head"] = settings.semantic_head.model_copy(update=stuff)
    return config.model_copy(update={"model": settings.model_copy(update=update)})
