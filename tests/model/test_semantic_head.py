"""The semantic branch: its convolutions, its loss, and the labels it gives a picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskrcnn.model import semantic_head
from maskrcnn.model.semantic_head import SemanticHead
from maskrcnn.prediction.detecting import detect
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.label_map import VOID_LABEL, LabelMap
from maskrcnn.structures.targets import Targets
from tests.tiny import batch, scene, tiny_model

BRANCH = {"class_names": ("things", "grass", "sky"), "channels": 32, "norm": "none", "min_stuff_area": 1}


def head_and_levels(norm: str = "none") -> tuple[SemanticHead, list[torch.Tensor]]:
    torch.manual_seed(0)
    head = SemanticHead(8, 3, channels=32, norm=norm)  # pyright: ignore[reportArgumentType]
    return head, [torch.randn(2, 8, 32 // 2**i, 64 // 2**i) for i in range(5)]


@pytest.mark.parametrize("norm", ["none", "gn"])
def test_levels_meet_at_the_finest(norm: str):
    head, levels = head_and_levels(norm)
    assert [len(convs) for convs in head.levels] == [1, 1, 2, 3]  # figure 3 of the paper
    assert head(levels).shape == (2, 3, 32, 64)
    # Straight down, with nothing of the class but its weights.
    total = torch.zeros(2, 32, 32, 64)
    for k, x in enumerate(levels[:4]):
        for i in range(max(1, k)):
            conv = f"levels.{k}.{i}"
            state = head.state_dict()
            x = F.conv2d(x, state[f"{conv}.conv.weight"], state.get(f"{conv}.conv.bias"), padding=1)
            if norm == "gn":
                x = F.group_norm(x, 32, state[f"{conv}.norm.weight"], state[f"{conv}.norm.bias"])
            x = x.relu()
            if k:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        total = total + x
    expected = F.conv2d(total, head.predictor.weight, head.predictor.bias)
    assert torch.allclose(head(levels), expected, atol=1e-5)


def images_of(*sizes: tuple[int, int], origins: tuple[tuple[int, int], ...] | None = None) -> ImageBatch:
    return ImageBatch(torch.zeros(len(sizes), 3, 128, 256), sizes, sizes, origins or ((0, 0),) * len(sizes))


def test_the_loss_is_a_mean_over_labelled_pixels():
    head, levels = head_and_levels()
    images = images_of((100, 200), (128, 256), origins=((7, 11), (0, 0)))
    first, second = np.full((100, 200), VOID_LABEL, np.uint8), np.full((128, 256), VOID_LABEL, np.uint8)
    first[10:20, 30:50], second[:2, :3] = 2, 1
    targets = [replace(Targets.empty(), label_map=LabelMap.of_pixels(labels)) for labels in (first, second)]
    losses = head.losses(levels, images, [], targets)
    assert losses.counts == {"semantic": 206}
    log_probs = F.interpolate(head(levels), scale_factor=4, mode="bilinear", align_corners=False).log_softmax(dim=1)
    expected = -(log_probs[0, 2, 17:27, 41:61].sum() + log_probs[1, 1, :2, :3].sum()) / 206 * 0.5
    assert torch.allclose(losses.means["semantic"], expected, rtol=1e-4)


def test_without_labels_the_loss_is_zero_and_reaches_every_weight():
    head, levels = head_and_levels("gn")
    losses = head.losses(levels, images_of((100, 200), (128, 256)), [], [Targets.empty(), Targets.empty()])
    assert losses.means["semantic"] == 0.0
    assert losses.counts == {"semantic": 0}
    losses.means["semantic"].backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_labels_are_those_of_the_upsampled_logits(monkeypatch: pytest.MonkeyPatch):
    model = tiny_model(semantic_head=BRANCH).eval()
    pictures = [scene([("square", 10, 12, 30)])[0], scene([("disc", 3, 5, 20)], (41, 70))[0]]
    found = [detect(model, [picture])[0] for picture in pictures]
    for one, picture in zip(found, pictures, strict=True):
        images = batch(model, [picture])
        with torch.inference_mode():
            logits = model.get_submodule("semantic_head")(model.dense(images.pixels).levels)
        seen = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        height, width = picture.shape[:2]
        seen = F.interpolate(seen[..., :height, :width], size=(height, width), mode="bilinear", align_corners=False)
        assert one.maps["semantic"].dtype == torch.uint8
        assert torch.equal(one.maps["semantic"].long(), seen[0].argmax(dim=0))
        assert one[:0].maps["semantic"].shape == (height, width)
    monkeypatch.setattr(semantic_head, "VALUES_AT_ONCE", 1)  # one label at a time
    for one, picture in zip(found, pictures, strict=True):
        assert torch.equal(one.maps["semantic"], detect(model, [picture])[0].maps["semantic"])


def test_the_objects_stay_the_same():
    picture = scene([("square", 10, 12, 30)])[0]
    with_branch, without = tiny_model(semantic_head=BRANCH), tiny_model()
    with_branch.load_state_dict(without.state_dict(), strict=False)
    (one,), (other,) = detect(with_branch.eval(), [picture]), detect(without.eval(), [picture])
    assert torch.equal(one.boxes, other.boxes)
    assert torch.equal(one.mask_probs, other.mask_probs)
    assert other.maps == {}
    assert with_branch.loss_names == (*without.loss_names, "semantic")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"pad": {"divisor": 16}}, "pad.divisor that is a multiple of 32"),
        ({"semantic_head": {**BRANCH, "channels": 40, "norm": "gn"}}, "multiple of 32 channels"),
    ],
)
def test_what_cannot_be_built_is_refused(groups: dict, message: str):
    with pytest.raises(ValueError, match=message):
        tiny_model(**{"semantic_head": BRANCH, **groups})
