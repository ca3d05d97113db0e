"""The whole network: nothing, mixed batches, limits, and inclusive boxes. That it learns is in test_learning.py."""

import dataclasses

import pytest
import torch

from maskrcnn.model import mask_head
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.detecting import detect
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets
from tests.tiny import batch, scene, tiny_model

LOSSES = ["rpn_objectness", "rpn_box", "class", "box", "mask"]
VARIANTS = {
    "gn": {},
    "bn": {"backbone": {"norm": "bn"}, "fpn": {"norm": "bn"}, "mask_head": {"norm": "bn"}},
    "no norm in the heads": {"fpn": {"norm": "none"}, "backbone": {"norm": "frozen_bn"}},
    "class-agnostic": {"box_head": {"class_agnostic": True}, "mask_head": {"class_agnostic": True}},
    "convolutions in the box head": {"box_head": {"convs": 1, "conv_channels": 32, "conv_norm": "bn", "fcs": 1}},
    "crop_and_resize": {"roi": {"operation": "crop_and_resize"}},
    "adaptive RoIAlign": {"roi": {"sampling_ratio": 0}},
    "frozen stages": {"backbone": {"frozen_stages": 2}},
}
OBJECTS = scene([("square", 10, 12, 30), ("disc", 52, 50, 36)])
EMPTY = scene([])


def losses_of(model: MaskRCNN, scenes, device: torch.device | None = None) -> dict[str, torch.Tensor]:
    model.to(device or torch.device("cpu"))
    targets = [target.to(model.device) for _, target in scenes]
    return model(batch(model, [image for image, _ in scenes]), targets)


def assert_all_have_gradients(model: MaskRCNN, losses: dict[str, torch.Tensor]) -> None:
    model.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in trainable.items() if p.grad is None] == []
    assert [name for name, p in trainable.items() if not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
class TestLosses:
    def test_no_object_costs_exactly_nothing(self, variant: dict):
        model = tiny_model(**variant)
        losses = losses_of(model, [EMPTY, EMPTY])
        assert list(losses) == LOSSES
        assert [losses[name].item() for name in ("rpn_box", "box", "mask")] == [0.0, 0.0, 0.0]
        assert losses["rpn_objectness"] > 0
        assert losses["class"] > 0
        assert_all_have_gradients(model, losses)

    def test_an_empty_image_among_others(self, variant: dict):
        model = tiny_model(**variant)
        losses = losses_of(model, [EMPTY, OBJECTS])
        assert all(loss.isfinite() and loss > 0 and loss.ndim == 0 for loss in losses.values())
        assert_all_have_gradients(model, losses)


def test_losses_on_every_device(device: torch.device):
    model = tiny_model()
    assert_all_have_gradients(model, losses_of(model, [EMPTY, OBJECTS], device))
    assert_all_have_gradients(model, losses_of(model, [EMPTY], device))


def test_losses_in_half_precision():
    whole = losses_of(tiny_model(), [EMPTY, OBJECTS])
    model = tiny_model()  # the same, and it leaves the same random state behind
    with torch.autocast("cpu", torch.bfloat16):
        half = losses_of(model, [EMPTY, OBJECTS])
    for loss in half.values():
        assert loss.dtype == torch.float32
        assert loss.isfinite()
    # Proposals may differ, which the heads' losses see; the RPN's look at the same anchors.
    torch.testing.assert_close(half["rpn_objectness"], whole["rpn_objectness"], rtol=0.05, atol=0.01)
    assert_all_have_gradients(model, half)


def test_no_positive_region():
    losses = losses_of(model := tiny_model(roi={"proposals_per_image": 32, "positive_fraction": 0.0}), [OBJECTS])
    assert losses["rpn_box"] > 0
    assert [losses[name].item() for name in ("box", "mask")] == [0.0, 0.0]
    assert_all_have_gradients(model, losses)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_no_region_at_all(variant: dict):
    # A crowd over the whole picture leaves neither anchors nor regions to learn from.
    crowd = dataclasses.replace(Targets.empty(), ignore_boxes=torch.tensor([[-999.0, -999, 999, 999]]))
    losses = losses_of(model := tiny_model(**variant), [(EMPTY[0], crowd)])
    assert [loss.item() for loss in losses.values()] == [0.0] * 5
    assert_all_have_gradients(model, losses)
    assert all(b.isfinite().all() for b in model.buffers())


def test_classes_have_their_own_or_common_boxes_and_masks():
    for agnostic in (False, True):
        model = tiny_model(box_head={"class_agnostic": agnostic}, mask_head={"class_agnostic": agnostic})
        assert model.box_head.deltas.out_features == (4 if agnostic else 8)
        assert model.mask_head.logits.out_channels == (1 if agnostic else 2)
        found = detect(model.eval(), [OBJECTS[0]])[0]
        assert len(found) > 0
        assert found.mask_probs.shape[1:] == (28, 28)


class TestDetect:
    def test_every_detection_lies_in_its_image(self):
        model = tiny_model(resize={"mode": "scale", "scale": 1.7}, detection={"score_threshold": 0.0}).eval()
        images = [OBJECTS[0], scene([], (41, 70))[0]]
        for found, image in zip(detect(model, images), images, strict=True):
            height, width = image.shape[:2]
            assert found.image_size == (height, width)
            assert len(found) > 0
            assert (found.boxes >= 0).all()
            assert (found.boxes <= torch.tensor([width, height] * 2)).all()
            assert (found.scores.diff() <= 0).all()
            assert ((found.mask_probs >= 0) & (found.mask_probs <= 1)).all()

    def test_nothing_found(self):
        found = detect(tiny_model(detection={"score_threshold": 1.0}).eval(), [EMPTY[0], OBJECTS[0]])
        assert [len(f) for f in found] == [0, 0]
        assert found[0].rles() == []

    def test_no_proposal_survives(self):
        found = detect(tiny_model(rpn={"min_size": 5000.0}).eval(), [OBJECTS[0]])[0]
        assert (len(found), found.mask_probs.shape) == (0, (0, 28, 28))

    def test_the_dense_part_does_not_mix_images(self):
        # In the same padded frame, since the padding behind an image's border is seen by the features before it.
        model = tiny_model().eval()
        model.normalise = dataclasses.replace(model.normalise, pad_divisor=128)
        images = [OBJECTS[0], scene([("disc", 8, 30, 40)], (100, 80))[0]]
        with torch.inference_mode():
            together = model.dense(batch(model, images).pixels)
            for i, image in enumerate(images):
                alone = model.dense(batch(model, [image]).pixels)
                for name in ("levels", "objectness_logits", "deltas"):
                    for ours, theirs in zip(getattr(together, name), getattr(alone, name), strict=True):
                        torch.testing.assert_close(ours[i : i + 1], theirs, rtol=1e-3, atol=1e-4)

    def test_masks_do_not_depend_on_how_they_are_cut_into_parts(self, monkeypatch: pytest.MonkeyPatch):
        model = tiny_model().eval()
        whole = detect(model, [OBJECTS[0]])[0]
        monkeypatch.setattr(mask_head, "CHUNK", 7)
        parts = detect(model, [OBJECTS[0]])[0]
        assert len(whole) > 7
        torch.testing.assert_close(parts.mask_probs, whole.mask_probs, rtol=1e-4, atol=1e-5)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, none is here")
    def test_a_gpu_sees_the_same(self):
        model = tiny_model().eval()
        images = batch(model, [OBJECTS[0]])
        with torch.inference_mode():
            cpu = model.dense(images.pixels)
            gpu = model.cuda().dense(images.pixels.cuda())
        for ours, theirs in zip(cpu.levels, gpu.levels, strict=True):  # convolutions may run in TF32 there
            torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-2, atol=1e-2)


class TestCeilings:
    """Every candidate looks like an object when the objectness has a large bias."""

    @staticmethod
    def ceilings(**variant: dict) -> tuple[str, ...]:
        model = tiny_model(**variant).eval()
        assert model.rpn.objectness.bias is not None
        torch.nn.init.constant_(model.rpn.objectness.bias, 5.0)
        return detect(model, [scene([], (48, 48))[0]])[0].ceilings

    def test_limits_that_are_touched_are_named(self):
        pre = self.ceilings(rpn={"pre_nms_top_n": 3, "post_nms_top_n": 1000})
        assert pre == ("more than 3 likely regions before NMS (rpn.pre_nms_top_n)",)
        post = self.ceilings(rpn={"pre_nms_top_n": 5000, "post_nms_top_n": 4})
        assert post == ("more than 4 likely proposals (rpn.post_nms_top_n)",)
        kept = self.ceilings(rpn={"pre_nms_top_n": 5000, "post_nms_top_n": 5000}, detection={"max_detections": 2})
        assert kept == ("more than 2 detections, the best 2 kept (detection.max_detections)",)

    def test_all_at_once(self):
        every = self.ceilings(rpn={"pre_nms_top_n": 20, "post_nms_top_n": 10}, detection={"max_detections": 2})
        assert len(every) == 3

    def test_no_limit_no_sentence(self):
        assert self.ceilings(rpn={"pre_nms_top_n": 5000, "post_nms_top_n": 5000}) == ()


MATTERPORT = {
    "resize": {"mode": "square", "shortest_edge": 96, "longest_edge": 128, "interpolation": "skimage"},
    "pad": {"position": "centre", "divisor": 128},
}


class TestInclusiveBoxes:
    """matterport codes boxes on the indices of their first and last pixels; an image is centred in a square."""

    def test_back_to_the_image_on_paper(self):
        # An image of 20 x 10 px, doubled, at y 5 and x 7 of the frame. Its last pixels there are 5 + 39 and 7 + 19.
        images = ImageBatch(torch.zeros(1, 3, 64, 64), ((40, 20),), ((20, 10),), ((5, 7),))
        boxes = torch.tensor([[7.0, 5, 26, 44], [7, 5, 7, 5], [16.5, 24.5, 26, 44]])
        # All of it; its first pixel; from its middle on, 4.5 and 9.5 of the pixels' indices 0..9 and 0..19.
        back = images.to_original(boxes, torch.zeros(len(boxes), dtype=torch.int64), edge=1.0)
        torch.testing.assert_close(back, torch.tensor([[0.0, 0, 10, 20], [0, 0, 1, 1], [4.5, 9.5, 10, 20]]))
        continuous = images.to_original(torch.tensor([[7.0, 5, 27, 45]]), torch.tensor([0]))
        assert continuous.tolist() == [[0, 0, 10, 20]]

    def test_detections_have_whole_corners_inside_their_image(self):
        groups = {**MATTERPORT, "detection": {"score_threshold": 0.0, "box_edges": "inclusive"}}
        model = tiny_model("matterport", **groups, mask_head={"paste": "integer", "channels": 32}).eval()
        images = [OBJECTS[0], scene([], (50, 96))[0]]
        for found, image in zip(detect(model, images), images, strict=True):
            assert len(found) > 0
            assert torch.equal(found.boxes, found.boxes.round())
            assert (found.boxes >= 0).all()
            assert (found.boxes <= torch.tensor([image.shape[1], image.shape[0]] * 2)).all()

    def test_training_reads_masks_up_to_the_edges_of_the_boxes(self, monkeypatch: pytest.MonkeyPatch):
        sampled = []
        sample = MaskCrops.sample

        def spy(masks: MaskCrops, boxes: torch.Tensor, *rest):
            sampled.extend(boxes.tolist())
            return sample(masks, boxes, *rest)

        monkeypatch.setattr(MaskCrops, "sample", spy)
        model = tiny_model("matterport", **MATTERPORT)
        losses = losses_of(model, [OBJECTS])
        assert all(loss.isfinite() and loss > 0 for loss in losses.values())
        assert_all_have_gradients(model, losses)
        for box in OBJECTS[1].boxes.tolist():  # the objects' own boxes are among the regions
            assert any(box == pytest.approx(b, abs=1e-3) for b in sampled)

    def test_an_object_of_one_pixel_has_a_finite_loss(self):
        losses = losses_of(tiny_model("matterport", **MATTERPORT), [scene([("square", 40, 40, 1)])])
        assert all(loss.isfinite() for loss in losses.values())
