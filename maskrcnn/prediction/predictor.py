"""Weights, a device and a precision in one callable: picture in, instances out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
from PIL import Image

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.structure import body_name
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import validate
from maskrcnn.config.model import DetectionSettings, ResizeSettings
from maskrcnn.data.images import to_rgb
from maskrcnn.prediction.detecting import detect
from maskrcnn.prediction.execution import choose_execution, prepare
from maskrcnn.structures.instances import Instances

ImageLike = str | Path | Image.Image | np.ndarray
WORTH_TELLING = 0.9  # of its usual size: a picture that the network saw smaller than this may have lost small objects


class Predictor:
    """Finds the objects in pictures.

    On a CPU the process from then on keeps up to 2 GB that it frees (see `keep_freed_memory`).

    Args:
        weights: a shipped name such as "nuclei", a name of the zoo such as "coco", a checkpoint of ours or of
            torchvision, detectron2, mmdetection or matterport, a loaded `Checkpoint`, or None for the default.
        device: "auto" takes CUDA where there is one, else the CPU; or "cpu", "cuda", "cuda:1".
        precision: of the network; "auto" is bf16 on CUDA (fp16 where it knows no bf16) and fp32 on a CPU. bf16 on a CPU
            that has it is about twice as fast and moves scores by about 0.01.
        compile: True puts the dense part through `torch.compile`: a little faster after a minute or more at the first
            picture, and it needs a C++ compiler on a CPU. "auto" does without.
        score: detections must score more than this, 0..1; None takes what the checkpoint recommends.
        max_detections: limit for an image; None takes the checkpoint's.
        resize: how the network's input is made from a picture, in place of the checkpoint's rule: an int is its
            shorter side in px, a float a factor. Bigger finds smaller objects and takes longer.
        exclusive_classes: groups of classes of which a thing can only be one, which suppress one another; or "all".
        batch_size: pictures of a list that go through the network together.
        preset: conventions of a file of another package that does not say them; a key of `PRESETS`.
        allow_untrained: accept weights of which parts were never trained, such as a backbone with fresh heads.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: a file that is no checkpoint, a device that is not there, a setting out of range, weights that were
            never trained.
    """

    def __init__(
        self,
        weights: str | Path | Checkpoint | None = None,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        compile: bool | Literal["auto"] = "auto",
        score: float | None = None,
        max_detections: int | None = None,
        resize: int | float | None = None,
        exclusive_classes: Sequence[Sequence[str]] | Literal["all"] | None = None,
        batch_size: int = 1,
        preset: str | None = None,
        allow_untrained: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        checkpoint = weights if isinstance(weights, Checkpoint) else load_weights(weights, preset=preset)
        if checkpoint.untrained and not allow_untrained:
            raise ValueError(
                f"{len(checkpoint.untrained)} of the {len(checkpoint.tensors)} tensors were never trained "
                f"({', '.join(checkpoint.untrained[:3])}, ...), so what they find means nothing; fine-tune them first"
            )
        overrides = {
            "score_threshold": score,
            "max_detections": max_detections,
            "exclusive_classes": exclusive_classes,
        }
        detection = checkpoint.settings.detection.model_dump() | {k: v for k, v in overrides.items() if v is not None}
        update: dict[str, object] = {"detection": validate(DetectionSettings, detection, "detection")}
        if resize is not None:
            update["resize"] = _resize_settings(checkpoint.settings.resize, resize)
        self.config = checkpoint.settings.model_copy(update=update)
        self.card = checkpoint.card
        self.description = describe_weights(checkpoint)
        self.class_names = self.config.class_names
        self.execution = choose_execution(device, precision, compile)
        self.device, self.precision = self.execution.device, self.execution.precision
        self.batch_size = batch_size
        self.model = prepare(replace(checkpoint, settings=self.config).build(), self.execution)

    @overload
    def __call__(self, image: ImageLike) -> Instances: ...
    @overload
    def __call__(self, image: Sequence[ImageLike]) -> list[Instances]: ...
    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Instances | list[Instances]:
        """Instances of a picture: a path, a PIL image, or an (H, W, 3) uint8 RGB array; a list of them for a list.

        Raises:
            FileNotFoundError, ValueError: a picture that is not there or cannot be read.
        """
        images = [image] if isinstance(image, ImageLike) or not isinstance(image, Sequence) else image
        results: list[Instances] = []
        for first in range(0, len(images), self.batch_size):
            batch = [to_rgb(picture) for picture in images[first : first + self.batch_size]]
            for pixels, found in zip(batch, detect(self.model, batch), strict=True):
                results.append(replace(found, ceilings=found.ceilings + self._shrinking(pixels)).to("cpu"))
        return results[0] if images is not image else results

    def _shrinking(self, image: np.ndarray) -> tuple[str, ...]:
        """A sentence when the limit of the input's longer side made the network see less than it should."""
        rule = self.model.resize
        seen, wanted = rule.output_size(image.shape[:2]), replace(rule, longest_edge=10**9).output_size(image.shape[:2])
        part = max(seen) / max(wanted)
        if rule.mode == "square" or part >= WORTH_TELLING:
            return ()
        return (
            f"the network saw the picture at {part:.0%} of its usual size (resize.longest_edge {rule.longest_edge})",
        )


def describe_weights(checkpoint: Checkpoint) -> str:
    """What the weights are: as recognised, where they came from another package."""
    settings = checkpoint.settings
    classes = f"{settings.num_classes} class{'es' * (settings.num_classes != 1)}"
    return (
        checkpoint.card.get("imported") or f"{settings.family} {body_name(settings.backbone.model_dump())}, {classes}"
    )


def _resize_settings(settings: ResizeSettings, resize: int | float) -> ResizeSettings:
    values = settings.model_dump()
    if isinstance(resize, float):
        values |= {"mode": "scale", "scale": resize}
    else:
        # The proportion of the two limits stays.
        longest = max(resize, round(settings.longest_edge * resize / settings.shortest_edge))
        values |= {"mode": "shortest_edge", "shortest_edge": resize, "longest_edge": longest}
    return validate(ResizeSettings, values, "resize")
