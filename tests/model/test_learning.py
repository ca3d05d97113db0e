"""Life: a small model learns two pictures by heart, and then counts, names and outlines what is in them."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.detecting import detect
from maskrcnn.structures.boxes import box_iou
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.targets import Targets
from tests.tiny import batch, scene, tiny_model

SCENES = [
    scene([("square", 10, 12, 30), ("disc", 52, 50, 36), ("disc", 60, 8, 24)]),
    scene([("square", 50, 44, 40), ("square", 14, 60, 22)], (96, 104)),
]
SURE = 0.5  # scores are near 1 after the training
LEARNER = {
    "rpn": {
        "pre_nms_top_n": 100,
        "post_nms_top_n": 50,
        "train_pre_nms_top_n": 100,
        "train_post_nms_top_n": 50,
        "anchors_per_image": 64,
        "foreground_iou": 0.6,
    },
    "roi": {"proposals_per_image": 32, "positive_fraction": 0.5},
}


@dataclass(frozen=True)
class Learned:
    model: MaskRCNN
    """In eval mode."""
    first: float
    """Sum of the losses before the first step."""
    last: float
    """Mean over the last ten steps."""


def learn(model: MaskRCNN, steps: int) -> Learned:
    """AdamW with a rate that rises over ten steps and then falls to 0."""
    torch.manual_seed(0)
    images, targets = batch(model, [image for image, _ in SCENES]), [target for _, target in SCENES]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    totals = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1, (step + 1) / 10) * (1 - step / steps)
        total = torch.stack(list(model(images, targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        totals.append(total.item())
    return Learned(model.eval(), totals[0], sum(totals[-10:]) / 10)


@pytest.fixture(
    scope="module",
    params=[False, True],
    ids=["own boxes and masks for each class", "class-agnostic"],
)
def learned(request: pytest.FixtureRequest) -> Learned:
    heads = {"box_head": {"fc_channels": 128, "class_agnostic": request.param}}
    return learn(tiny_model(**LEARNER | heads, mask_head={"class_agnostic": request.param}), 170)


def sure(found: Instances) -> Instances:
    return found[found.scores > SURE]


def truth(target: Targets, size: tuple[int, int]) -> list[np.ndarray]:
    """Full-size bool bitmap of each object."""
    bitmaps = []
    for g, (x0, y0, x1, y1) in enumerate(target.masks.windows.tolist()):
        bitmap = np.zeros(size, bool)
        pixels = target.masks.pixels[target.masks.offsets[g] : target.masks.offsets[g + 1]]
        bitmap[y0:y1, x0:x1] = pixels.view(y1 - y0, x1 - x0).numpy().astype(bool)
        bitmaps.append(bitmap)
    return bitmaps


def test_the_loss_falls(learned: Learned):
    assert learned.last < 0.3 * learned.first


def test_every_object_is_found_once_named_and_outlined(learned: Learned):
    found = [sure(f) for f in detect(learned.model, [image for image, _ in SCENES])]
    for instances, (image, target) in zip(found, SCENES, strict=True):
        assert len(instances) == len(target)
        bitmaps, objects = instances.bitmaps(), truth(target, image.shape[:2])
        iou = torch.tensor([[(a & b).sum() / (a | b).sum() for b in objects] for a in bitmaps])
        best, object_idx = iou.max(dim=1)
        assert best.min() > 0.7
        assert sorted(object_idx.tolist()) == list(range(len(target)))
        assert instances.labels.tolist() == target.labels[object_idx].tolist()
        assert box_iou(instances.boxes, target.boxes).max(dim=1).values.min() > 0.8
        assert instances.ceilings == ()


def test_an_image_alone_is_the_same_in_a_padded_batch(learned: Learned, monkeypatch: pytest.MonkeyPatch):
    # With frames of a multiple of 128 px both images come to 128 x 128 alone too: only the company changes. In a frame
    # of another size nothing need be equal: group norm's statistics and the features near the border see the padding.
    normalise = dataclasses.replace(learned.model.normalise, pad_divisor=128)
    monkeypatch.setattr(learned.model, "normalise", normalise)
    images = [image for image, _ in SCENES]
    for together, image in zip(detect(learned.model, images), images, strict=True):
        (alone,) = detect(learned.model, [image])
        a, b = sure(together), sure(alone)
        assert a.labels.tolist() == b.labels.tolist()
        torch.testing.assert_close(a.boxes, b.boxes, rtol=0, atol=0.01)
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-3)
        torch.testing.assert_close(a.mask_probs, b.mask_probs, rtol=0, atol=1e-3)


def test_batch_norm_learns_too():
    norms = {"backbone": {"norm": "bn"}, "fpn": {"norm": "bn"}, "mask_head": {"norm": "bn"}}
    result = learn(tiny_model(**LEARNER | norms), 40)
    assert result.last < 0.7 * result.first
