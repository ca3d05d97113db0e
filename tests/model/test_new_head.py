"""A new head is a file of its own: what the rest of the package needs to know of it comes from the model."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskrcnn.model.box_head import Detections
from maskrcnn.model.mask_rcnn import Head, MaskRCNN
from maskrcnn.model.roi_targets import RoITargets
from maskrcnn.prediction.detecting import detect
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.targets import Targets
from tests.tiny import batch, scene, tiny_model

ROUNDNESS = {0: 0.0, 1: 1.0}  # of a square and a disc


class RoundnessHead(nn.Module):
    """How round an object is, from a field of its annotation."""

    loss_names = ("roundness",)

    def __init__(self, channels: int, pooler) -> None:
        super().__init__()
        self.pooler = pooler
        self.output = nn.Linear(channels, 1)

    def forward(self, levels: Sequence[Tensor], boxes: Tensor, image_idx: Tensor, images: ImageBatch) -> Tensor:
        return self.output(self.pooler(levels, boxes, image_idx, images.padded_size, 4).mean(dim=(2, 3)))[:, 0]

    def losses(
        self, levels: Sequence[Tensor], images: ImageBatch, rois: Sequence[RoITargets], targets: Sequence[Targets]
    ) -> Losses:
        boxes = torch.cat([r.boxes[: len(r.object_idx)] for r in rois])
        image_idx = torch.cat([torch.full_like(r.object_idx, i) for i, r in enumerate(rois)])
        wanted = torch.cat([t.extra["roundness"][r.object_idx] for t, r in zip(targets, rois, strict=True)])
        loss = (self(levels, boxes, image_idx, images) - wanted).square().sum() / max(len(boxes), 1)
        return Losses({"roundness": loss}, {"roundness": len(boxes)})

    def detect(self, levels: Sequence[Tensor], images: ImageBatch, found: Detections) -> Detections:
        values = self(levels, found.boxes, found.image_idx, images)
        return replace(found, extra={**found.extra, "roundness": values})


def with_roundness(model: MaskRCNN) -> MaskRCNN:
    heads: dict[str, Head] = {name: getattr(model, name) for name in model.head_names}
    return MaskRCNN(
        resize=model.resize,
        normalise=model.normalise,
        backbone=model.backbone,
        fpn=model.fpn,
        rpn=model.rpn,
        box_head=model.box_head,
        heads={**heads, "roundness_head": RoundnessHead(model.fpn.channels, model.box_head.pooler)},
        class_names=model.class_names,
    )


def test_its_losses_weights_and_fields_are_those_of_the_model():
    model = with_roundness(tiny_model())
    assert model.loss_names == ("rpn_objectness", "rpn_box", "class", "box", "mask", "roundness")
    assert {name.split(".")[0] for name in model.state_dict()} >= {"mask_head", "roundness_head"}
    image, targets = scene([("square", 10, 12, 30), ("disc", 52, 50, 36)])
    targets = replace(targets, extra={"roundness": torch.tensor([ROUNDNESS[k] for k in targets.labels.tolist()])})
    losses = model.losses(batch(model, [image]), [targets])
    assert tuple(losses.means) == tuple(losses.counts) == model.loss_names
    assert losses.counts["roundness"] == losses.counts["mask"] > 0
    losses.means["roundness"].backward()
    assert model.get_parameter("roundness_head.output.weight").grad is not None
    other = scene([], (41, 70))[0]
    for found in detect(model.eval(), [image, other]):
        assert found.extra["roundness"].shape == (len(found),)
        assert len(found) > 0
        assert torch.equal(found[:2].extra["roundness"], found.extra["roundness"][:2])


def test_other_heads_and_what_they_find_stay_the_same():
    image = scene([("square", 10, 12, 30)])[0]
    without = detect(tiny_model().eval(), [image])[0]
    beside = detect(with_roundness(tiny_model()).eval(), [image])[0]
    assert torch.equal(beside.boxes, without.boxes)
    assert torch.equal(beside.mask_probs, without.mask_probs)
    assert without.extra == {}
