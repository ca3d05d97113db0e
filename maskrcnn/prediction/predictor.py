"""Weights, a device and a precision in one callable: picture in, instances out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.structure import body_name
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import validate
from maskrcnn.config.model import DetectionSettings, ModelSettings, ResizeSettings
from maskrcnn.data.images import ImageLike, ValueRange, to_rgb
from maskrcnn.data.slides.source import Source
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.execution import Device, choose_execution, keep_freed_memory, prepare
from maskrcnn.prediction.given_boxes import Boxes, Labels, checked_boxes, checked_labels, masks_in_boxes
from maskrcnn.prediction.scenes import Scenes, scenes_of
from maskrcnn.prediction.tiling import MIN_TILE_PX, KeptTiles, TileSize, Tiling, choose_tiling, find_in_tiles, unasked
from maskrcnn.report.calibration import ScoreCalibration
from maskrcnn.report.intervals import CountIntervals
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.panoptic import Panoptic

WORTH_TELLING = 0.9  # of its usual size: a picture that the network saw smaller than this may have lost small objects
WORTH_TILES = 0.5
"""The same for weights that see every picture at one size, be it of a cell or a street: what fills a picture should not
be cut for less."""
COUNTING_SCORE = 0.1
"""Up to this, score thresholds are for AP, and limits are reached in every picture."""


class Predictor:
    """Finds the objects in images: `predictor("cells.png")` gives `Instances`, a list of pictures a list of them.

    What it was made of is in `settings` (as in the weights, but for what the arguments change), `class_names`, `card`
    (what the weights say about themselves), `description` (the same in words), `path` (their file), `execution`,
    `device` and `precision`; `model` is the network. `count_intervals` says how sure its counts are; None where the
    weights do not know it, or an argument makes it count in another way. `score_calibration` turns scores into chances,
    `predictor.score_calibration.calibrated(instances.scores)`; None where the weights do not know it. One predictor is
    for one thread at a time.

    Args:
        weights: a shipped name such as "nuclei", a name of the zoo such as "coco", a checkpoint of ours or of
            torchvision, detectron2, mmdetection or matterport, a loaded `Checkpoint`, or None for the default.
        device: "auto" takes CUDA where there is one, else the CPU; or "cpu", "cuda", "cuda:1", its number alone,
            "mps" (Apple), "xpu" (Intel), or a `torch.device`.
        precision: of the network; "auto" is bf16 on CUDA (fp16 where it knows no bf16) and fp32 on a CPU. bf16 on a CPU
            that has it is about twice as fast and moves scores by about 0.01.
        score: detections must score more than this, 0..1; None takes what the checkpoint recommends.
        max_detections: limit for an image; None takes the checkpoint's, which in tiles is that of a tile.
        resize: how the network's input is made from a picture, in place of the checkpoint's rule: an int is its
            shorter side in px, a float a factor. Bigger finds smaller objects and takes longer.
        exclusive_classes: groups of classes of which a thing can only be one, which suppress one another; or "all".
        tile: "auto" does a picture in tiles that overlap, and counts every object once, where the network would see it
            smaller than usual: at less than 0.9 of its usual size where the weights see pictures by a fixed factor
            (resize.mode "scale"), or at less than half where they bring the shorter side of each to one length
            ("shortest_edge"). It also does one again in tiles of half the size, or a quarter, in which the network
            reached a limit (more than `rpn.post_nms_top_n` proposals, or the checkpoint's `max_detections`), unless
            `score` is so low that it is for AP. An int is the side of every tile in px of the picture, which is then
            seen as large as a square picture of that side; "off" sees every picture whole.
            See `maskrcnn.prediction.tiling.choose_tiling`.
        overlap: of the tiles, px of the picture; None takes the longest side of an object that the anchors allow, at
            most a third of a tile.
        batch_size: so many pictures of a list are read at a time, and on CUDA those of them that have one size at the
            network's input go through it together. On a CPU they go one after the other, which is no slower there. What
            is found in a picture does not depend on its neighbours.
        preset: conventions of a file of another package that does not say them; a key of `PRESETS`.
        allow_untrained: accept weights of which parts were never trained, such as a backbone with fresh heads.
        keep_memory: let the process keep up to 2 GB of memory that is freed, also after the predictor is gone. On a CPU
            a large picture then takes about a tenth less time. It is a setting of the whole process (glibc's), so a
            library leaves it alone unless it is asked; the command line sets it.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: a file that is no checkpoint, a device that is not there, a setting out of range, weights that were
            never trained.
    """

    def __init__(
        self,
        weights: str | Path | Checkpoint | None = None,
        *,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        score: float | None = None,
        max_detections: int | None = None,
        resize: int | float | None = None,
        exclusive_classes: Sequence[Sequence[str]] | Literal["all"] | None = None,
        tile: TileSize = "auto",
        overlap: int | None = None,
        batch_size: int = 1,
        preset: str | None = None,
        allow_untrained: bool = False,
        keep_memory: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if tile not in ("auto", "off") and (isinstance(tile, str) or tile < MIN_TILE_PX):
            raise ValueError(f"tile: expected auto, off or at least {MIN_TILE_PX} px, got {tile}")
        if overlap is not None and not 0 <= overlap <= (tile // 3 if isinstance(tile, int) else overlap):
            limit = f" to {tile // 3} px, a third of a tile" if isinstance(tile, int) else " px or more"
            raise ValueError(f"overlap: expected 0{limit}, got {overlap}")
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
        self.settings = checkpoint.settings.model_copy(update=update)
        self.card, self.path = checkpoint.card, checkpoint.path
        self.count_intervals: CountIntervals | None = _count_intervals(checkpoint, self.settings)
        self.score_calibration: ScoreCalibration | None = _score_calibration(checkpoint, self.settings)
        self.description = describe_weights(checkpoint)
        self.class_names = self.settings.class_names
        self.execution = choose_execution(device, precision)
        self.device, self.precision = self.execution.device, self.execution.precision
        self.batch_size, self.overlap, self.max_detections = batch_size, overlap, max_detections
        self.scenes: Scenes | None = scenes_of(self.settings)
        if self.scenes is not None and isinstance(tile, int):
            raise ValueError(f"tile: weights that know stuff see an image whole, so auto or off, got {tile}")
        self.tile: TileSize = tile if self.scenes is None else "off"
        if keep_memory and self.device.type == "cpu":
            keep_freed_memory()
        self.model = prepare(replace(checkpoint, settings=self.settings).build(), self.execution)

    def __repr__(self) -> str:
        score = self.settings.detection.score_threshold
        return f"Predictor({self.description}; score above {score:g}; {self.execution.description})"

    @overload
    def __call__(
        self, image: ImageLike, value_range: ValueRange | None = None, *, max_pixels: int | None = None
    ) -> Instances: ...
    @overload
    def __call__(
        self, image: Sequence[ImageLike], value_range: ValueRange | None = None, *, max_pixels: int | None = None
    ) -> list[Instances]: ...
    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        value_range: ValueRange | None = None,
        *,
        max_pixels: int | None = None,
    ) -> Instances | list[Instances]:
        """Instances of a picture; a list of them for a list (or tuple) of pictures, in its order.

        A picture is a path, the bytes of an image file, a PIL image, or RGB numbers: an array (H, W, 3), a tensor
        (H, W, 3) or (3, H, W), uint8 or with `value_range`, the (low, high) of black and full intensity. See
        `maskrcnn.data.images.to_rgb`, also for `max_pixels`. The result is on the CPU and takes part in autograd as any
        other tensors do.

        Raises:
            FileNotFoundError, ValueError: a picture that is not there or cannot be read.
        """
        is_one = not isinstance(image, list | tuple)
        images: Sequence[ImageLike] = [image] if is_one else image  # pyright: ignore[reportAssignmentType]
        results: list[Instances] = []
        for first in range(0, len(images), self.batch_size):
            some = images[first : first + self.batch_size]
            classes = self.class_names
            batch = [to_rgb(picture, value_range, max_pixels=max_pixels, looks_for=classes) for picture in some]
            whole = [i for i, pixels in enumerate(batch) if not self.needs_tiles(_size(pixels))]
            found: dict[int, Instances] = {}
            with torch.inference_mode():
                for rows, inputs in network_batches(self.model, [batch[i] for i in whole]):
                    found |= zip([whole[row] for row in rows], self.model.detect(inputs), strict=True)
            for i, pixels in enumerate(batch):
                if i not in found:
                    results.append(self.in_tiles(pixels))
                    continue
                # A copy, made outside the inference mode, is a tensor that autograd knows.
                own = found[i].to("cpu", copy=True)
                smaller = self.tiling_of(_size(pixels)).smaller(_size(pixels)) if self._is_again(own) else None
                if smaller is not None:
                    results.append(self._find_in_tiles(pixels, smaller))
                else:
                    results.append(replace(own, ceilings=own.ceilings + self._shrinking(pixels)))
        return results[0] if is_one else results

    def masks_for(
        self,
        image: ImageLike | Sequence[ImageLike],
        boxes: Boxes | Sequence[Boxes],
        labels: Labels | Sequence[Labels] = None,
        value_range: ValueRange | None = None,
    ) -> Instances | list[Instances]:
        """The objects in boxes that a person or another detector gave, in their order; a list of them for a list.

        The image is seen whole. Scores are the box head's probability of the label.

        Args:
            image: as in the call; a list of them with a list of `boxes`, and of `labels` if there are any.
            boxes: (N, 4), x0 y0 x1 y1 in px of the image.
            labels: (N,) class indices or names; None, for all or for one of them, takes the class that the box head
                finds the likeliest.

        Raises:
            ValueError: a box that is empty, not finite, or leaves the image; labels that do not fit.
            FileNotFoundError: an image that is not there.
        """
        if isinstance(image, list | tuple):
            many: list[Any] = list(labels) if labels is not None else [None] * len(image)
            if not len(image) == len(boxes) == len(many):
                raise ValueError(f"expected boxes and labels for {len(image)} images, got {len(boxes)} and {len(many)}")
            some: Any = zip(image, boxes, many, strict=True)
            return [self._masks_for(to_rgb(one, value_range), its, names) for one, its, names in some]
        given: Any = boxes
        of_given: Any = labels
        return self._masks_for(to_rgb(image, value_range), given, of_given)  # pyright: ignore[reportArgumentType]

    def _masks_for(self, image: np.ndarray, boxes: Boxes, labels: Labels) -> Instances:
        inside = checked_boxes(boxes, _size(image))
        known = checked_labels(labels, len(inside), self.class_names)
        with torch.inference_mode():
            ((_, inputs),) = network_batches(self.model, [image])
            (found,) = masks_in_boxes(self.model, inputs, [inside], [known])
        return replace(found.to("cpu", copy=True), boxes=inside)

    @overload
    def panoptic(self, image: ImageLike, value_range: ValueRange | None = None) -> Panoptic: ...
    @overload
    def panoptic(self, image: Sequence[ImageLike], value_range: ValueRange | None = None) -> list[Panoptic]: ...
    def panoptic(
        self, image: ImageLike | Sequence[ImageLike], value_range: ValueRange | None = None
    ) -> Panoptic | list[Panoptic]:
        """The scene in a picture, every pixel of which is a thing, stuff or nothing; a list of them for a list.

        The arguments are those of the call; `scenes` makes a scene of what that gives.

        Raises:
            FileNotFoundError, ValueError: a picture that is not there or cannot be read, or weights that know no stuff.
        """
        if self.scenes is None:
            raise ValueError(f"{self.description}: these weights know no stuff; maskrcnn zoo lists panoptic ones")
        if isinstance(image, list | tuple):
            return [self.scenes(found) for found in self(image, value_range)]
        return self.scenes(self(image, value_range))  # pyright: ignore[reportCallIssue, reportArgumentType]

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The data set's id of each class; empty where they are 1..K."""
        return self.settings.category_ids

    def identity(self) -> tuple[list[Any], dict[str, torch.Tensor]]:
        """What the results depend on: settings, precision and tiles; and the weights.

        The device and the batch size, which change the last digits, are not in it.
        """
        settings = [self.precision, self.settings.model_dump(mode="json"), self.tile, self.overlap, self.max_detections]
        return settings, self.model.state_dict()

    def needs_tiles(self, image_size: tuple[int, int]) -> bool:
        """Whether a picture of (height, width) is done in tiles from the start."""
        if isinstance(self.tile, int):
            return True
        least = WORTH_TELLING if self.model.resize.mode == "scale" else WORTH_TILES
        return self.tile == "auto" and self._part_seen(image_size) < least

    def in_tiles(
        self, image: np.ndarray | Source, *, kept: KeptTiles | None = None, is_shown: bool = False
    ) -> Instances:
        """Instances of a picture in tiles, also of one that would not need them.

        Args:
            image: RGB uint8 (H, W, 3), or a source, of which only windows are read.
            kept: results of tiles that are done; it gets those of the others.
            is_shown: with a progress bar.
        """
        return self._find_in_tiles(image, self.tiling_of(_size(image)), kept, is_shown)

    def _find_in_tiles(
        self, image: np.ndarray | Source, tiling: Tiling, kept: KeptTiles | None = None, is_shown: bool = False
    ) -> Instances:
        return find_in_tiles(self.model, image, tiling, batch_size=self.batch_size, kept=kept, is_shown=is_shown)

    def tiling_of(self, image_size: tuple[int, int]) -> Tiling:
        """How a picture of (height, width) is divided, if it is."""
        anchors, is_auto = self.settings.anchors, self.tile == "auto"
        # An anchor's longer side is its size times the root of its ratio, or of one over that.
        longest = max(anchors.sizes) * max(max(ratio, 1 / ratio) for ratio in anchors.ratios) ** 0.5
        is_for_counts = self.model.box_head.rules.score_threshold > COUNTING_SCORE
        return choose_tiling(
            self.model.resize,
            longest,
            image_size,
            self.tile,
            self.overlap,
            is_auto and is_for_counts,
            self.max_detections,
            self.model.normalise.pad_divisor,
        )

    def _is_again(self, found: Instances) -> bool:
        """Whether a picture that was seen whole is done again in tiles, for a limit that nobody asked for."""
        is_for_counts = self.model.box_head.rules.score_threshold > COUNTING_SCORE
        may_be = self.tile == "auto" and is_for_counts and bool(found.ceilings)
        return may_be and bool(unasked(found.ceilings, self.max_detections))

    def _part_seen(self, image_size: tuple[int, int]) -> float:
        """Of its usual size: what the limit of the input's longer side leaves of a picture."""
        rule = self.model.resize
        if rule.mode == "square":
            return 1.0
        seen, wanted = rule.output_size(image_size), replace(rule, longest_edge=10**9).output_size(image_size)
        return max(seen) / max(wanted)

    def _shrinking(self, image: np.ndarray) -> tuple[str, ...]:
        """A sentence when the limit of the input's longer side made the network see less than it should."""
        part, limit = self._part_seen(_size(image)), self.model.resize.longest_edge
        if part >= WORTH_TELLING:
            return ()
        return (f"the network saw the image at {part:.0%} of its usual size (resize.longest_edge {limit})",)


def _size(image: np.ndarray | Source) -> tuple[int, int]:
    return (image.shape[0], image.shape[1]) if isinstance(image, np.ndarray) else image.size


def network_batches(model: MaskRCNN, images: Sequence[np.ndarray]) -> Iterator[tuple[list[int], ImageBatch]]:
    """The network's inputs for RGB uint8 (H, W, 3) `images`, and for each input the indices of the images in it.

    Only images of one padded size share an input, so that each is padded as it is alone: a smaller one beside a larger
    one would have its features computed, at its border, from more padding. On a CPU each has its own, since together
    they leave the processor's caches and take longer.
    """
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    groups: dict[object, list[int]] = {}
    for i, size in enumerate(sizes):
        padded = tuple(math.ceil(side / model.normalise.pad_divisor) for side in model.resize.output_size(size))
        groups.setdefault(i if model.device.type == "cpu" else padded, []).append(i)
    for rows in groups.values():
        resized = [model.resize(images[i]) for i in rows]
        yield rows, model.normalise(resized, [sizes[i] for i in rows], model.device)


def _count_intervals(checkpoint: Checkpoint, settings: ModelSettings) -> CountIntervals | None:
    """What the weights know of the errors of their counts, which holds for their own settings alone."""
    stored = checkpoint.card.get("count_intervals")
    if stored is None or settings != checkpoint.settings:
        return None
    intervals = CountIntervals.from_dict(stored)
    is_own = intervals.class_names == settings.class_names
    return intervals if is_own and intervals.score_threshold == settings.detection.score_threshold else None


def _score_calibration(checkpoint: Checkpoint, settings: ModelSettings) -> ScoreCalibration | None:
    """What the weights know of their scores as chances, which holds at every score threshold."""
    stored = checkpoint.card.get("score_calibration")
    own = checkpoint.settings
    if stored is None or settings.model_copy(update={"detection": own.detection}) != own:
        return None
    return ScoreCalibration.from_dict(stored)


def describe_weights(checkpoint: Checkpoint) -> str:
    """What the weights are: as recognised, where they came from another package."""
    settings = checkpoint.settings
    classes = f"{settings.num_classes} class{'es' * (settings.num_classes != 1)}"
    if settings.semantic_head is not None:
        classes += f" and {len(settings.semantic_head.stuff_names)} of stuff"
    return (
        checkpoint.card.get("imported")
        or f"{settings.family} {body_name(settings.backbone.model_dump(), settings.neck)}, {classes}"
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
