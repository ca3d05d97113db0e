"""A semantic network as the trainer's task: a class for every pixel to learn, IoU to be judged by."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskrcnn.checkpoints.imagenet import IMAGENET
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_transfer import SemanticTransfer, imagenet_body, semantic_transfer
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint, load_semantic, save_semantic_weights
from maskrcnn.config import Config, SemanticSettings, validate
from maskrcnn.config.semantic import UNetSettings
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.model.backbone import Backbone
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.semantic.unet import UNet
from maskrcnn.training.semantic_validation import SemanticValidation
from maskrcnn.training.task import Judgement

log = logging.getLogger("maskrcnn")

FROZEN_PARTS = {"all": 0, "3+": 2, "4+": 3, "5+": 4, "heads": 5}
BEST_BY = ("mean_iou", "mean_dice", "pixel_accuracy")


class SemanticTask:
    """See `maskrcnn.training.task.Task`."""

    repeats = None

    def __init__(self, config: Config, train: Annotations, val: Annotations | None, out: Path) -> None:
        """Raises ValueError where the data do not fit the settings."""
        self.config = with_pixel_classes_of(train, config)
        settings = self.config.train
        if settings.best_by not in BEST_BY:
            raise ValueError(f"train.best_by of pixels is one of {', '.join(BEST_BY)}, got {settings.best_by}")
        if settings.augment.copy_paste or settings.repeat_threshold:
            name = "augment.copy_paste" if settings.augment.copy_paste else "repeat_threshold"
            raise ValueError(f"train.{name} is about objects, and a semantic network learns a class for every pixel")
        if settings.layers != "all" and not _has_body(self.settings):
            raise ValueError(f"train.layers {settings.layers} needs a U-Net on a body (semantic.network.encoder)")
        self.train_data = PixelClasses(train)
        self.validation = None
        if val is not None:
            data = PixelClasses(val, self.settings.class_names)
            self.validation = SemanticValidation(data, self.config, out, self.train_data)

    @property
    def settings(self) -> SemanticSettings:
        assert self.config.semantic is not None
        return self.config.semantic

    def settings_in(self, saved: Mapping[str, Any], source: str) -> SemanticSettings:
        return validate(SemanticSettings, saved["semantic"], f"{source}: semantic")

    def build(self) -> SemanticNetwork:
        return build_semantic(self.settings, for_training=True)

    def start(self, model: SemanticNetwork, init: SemanticCheckpoint | None) -> SemanticTransfer | None:
        report = semantic_transfer(model, init) if init is not None else None
        if isinstance(model.body, UNet) and isinstance(model.body.body, Backbone):
            model.body.body.freeze(FROZEN_PARTS[self.config.train.layers])
        return report

    def export(self, path: Path, tensors: Mapping[str, Tensor], card: dict[str, Any], judged: Judgement | None) -> None:
        of_body = {name.removeprefix("body."): tensor for name, tensor in tensors.items()}
        save_semantic_weights(path, of_body, self.settings, card)


def starting_weights(config: Config) -> tuple[Config, SemanticCheckpoint]:
    """The weights that `config` names, and its network as theirs unless it says otherwise.

    Raises:
        ValueError: weights of objects, or a body that nobody publishes weights of.
    """
    assert config.semantic is not None
    name = config.train.init_from
    assert name is not None
    if name == IMAGENET:
        init = imagenet_body(config.semantic)
    else:
        found = load_semantic(name)
        if found is None:
            raise ValueError(f"{name}: expected the weights of a semantic network to start from, got ones of objects")
        init = found
        own = config.semantic.model_dump(exclude_unset=True)
        for group in ("network", "pixels"):
            if group not in own:
                config = config.model_copy(
                    update={"semantic": config.semantic.model_copy(update={group: getattr(init.settings, group)})}
                )
                assert config.semantic is not None
    log.info("new run, starting from the weights of %s: %s", name, init.sentence)
    return config, init


def with_pixel_classes_of(train: Annotations, config: Config) -> Config:
    """`config` with the classes of the data, and judged by the mean IoU where it does not say by what."""
    assert config.semantic is not None
    data = PixelClasses(train)
    names = {"class_names": data.class_names, "background": data.background}
    semantic = validate(
        SemanticSettings, config.semantic.model_dump() | names, "semantic, with the classes of the data"
    )
    update: dict[str, Any] = {"semantic": semantic}
    if "best_by" not in config.train.model_fields_set:
        update["train"] = config.train.model_copy(update={"best_by": "mean_iou"})
    return config.model_copy(update=update)


def _has_body(settings: SemanticSettings) -> bool:
    return isinstance(settings.network, UNetSettings) and settings.network.encoder is not None
