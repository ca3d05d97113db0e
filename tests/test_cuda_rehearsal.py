"""The way over a GPU, rehearsed on the CPU: no tensor meets one of another device, and few things make the host wait.

What is found there is what is found on the CPU, number for number, so nothing depends on a device by mistake.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn.config.presets import PRESETS
from maskrcnn.model.box_head import to_cpu
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.ops.nms import grouped_nms
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.targets import Targets
from maskrcnn.training.averaging import WeightAverage
from maskrcnn.training.schedule import load_optimizer
from tests.conditioning import condition
from tests.pretend_cuda import DEVICE, DeviceMismatchError, Rehearsal
from tests.tiny import batch, scene, tiny_model

IMAGE, TARGETS = scene([("disc", 10, 12, 30), ("square", 50, 40, 28)])
SMALLER, OTHERS = scene([("disc", 30, 22, 30), ("square", 10, 50, 28)], (90, 80))
BATCHES = {1: [IMAGE], 4: [IMAGE, SMALLER, IMAGE, SMALLER]}

UPLOADS = 2
"""Of a batch: pixels, and where its images lie in it."""
WAITS = 8
"""Of a batch: two NMS and what of each is kept, what scores, the levels that boxes and masks are read from, and at last
all that was found."""

BRANCH = {"class_names": ("things", "grass", "sky"), "channels": 32, "norm": "none", "min_stuff_area": 1}

# Their bodies or heads are not made small by tests/tiny.py.
LARGE = {"detectron2_c4", "detectron2_dc5"}
SMALL = sorted(set(PRESETS) - LARGE)


def conditioned(preset: str, background_logit: float = 1.0) -> MaskRCNN:
    torch.manual_seed(0)
    model = tiny_model(preset).eval()
    condition(model, [IMAGE], background_logit)
    return model


@torch.inference_mode()
def found_by(model: MaskRCNN, images: Sequence[np.ndarray]) -> list[Instances]:
    return model.detect(batch(model, images))


def assert_same(found: Sequence[Instances], expected: Sequence[Instances]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.ceilings == other.ceilings
        for name in ("boxes", "labels", "scores", "mask_probs"):
            own = getattr(one, name)
            assert own.device.type == "cpu"
            # Both ways of NMS and of RoIAlign are in here; they round differently.
            torch.testing.assert_close(own, getattr(other, name), rtol=1e-4, atol=1e-4)


class TestInference:
    @pytest.mark.parametrize("preset", SMALL)
    def test_presets(self, preset: str):
        model = conditioned(preset)
        expected = {num: found_by(model, images) for num, images in BATCHES.items()}
        assert all(map(len, expected[1]))
        with Rehearsal():
            model.to(DEVICE)
            found_by(model, [IMAGE])  # constants are brought over once
        for num, images in BATCHES.items():
            with Rehearsal() as rehearsal:
                found = found_by(model, images)
            assert_same(found, expected[num])
            assert rehearsal.uploads.total() <= UPLOADS, rehearsal.uploads
            assert rehearsal.waits.total() <= WAITS, rehearsal.waits

    def test_nothing_is_found(self):
        model = conditioned("maskrcnn", background_logit=100.0)
        with Rehearsal() as rehearsal:
            model.to(DEVICE)
            found = found_by(model, BATCHES[4])
        assert [len(one) for one in found] == [0] * 4
        assert rehearsal.waits.total() <= WAITS, rehearsal.waits

    def test_scenes(self):
        model = tiny_model(semantic_head=BRANCH).eval()
        condition(model, [IMAGE], 1.0)
        expected = found_by(model, BATCHES[4])
        with Rehearsal() as rehearsal:
            model.to(DEVICE)
            found = found_by(model, BATCHES[4])
        assert_same(found, expected)
        for one, other in zip(found, expected, strict=True):
            assert (one.maps["semantic"] != other.maps["semantic"]).float().mean() < 0.001
        assert rehearsal.waits.total() <= WAITS, rehearsal.waits

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype: torch.dtype):
        model = conditioned("maskrcnn").to(dtype)
        with Rehearsal() as rehearsal:
            model.to(DEVICE)
            found = found_by(model, [IMAGE])
        assert len(found[0]) > 5
        assert found[0].scores.dtype == torch.float32
        assert rehearsal.waits.total() <= WAITS, rehearsal.waits

    def test_a_device_that_is_not_cuda(self):
        model = conditioned("maskrcnn")
        expected = found_by(model, BATCHES[4])
        with Rehearsal(is_cuda=False):
            model.to(DEVICE)
            assert_same(found_by(model, BATCHES[4]), expected)


def crowded(targets: Targets) -> Targets:
    return replace(targets, ignore_boxes=torch.tensor([[0.0, 0, 20, 20], [60, 60, 90, 90]]))


KINDS = {
    "objects": [TARGETS, OTHERS],
    "nothing": [Targets.empty(), Targets.empty()],
    "one without": [TARGETS, Targets.empty()],
    "crowds": [crowded(TARGETS), crowded(Targets.empty())],
}


class TestTraining:
    @pytest.mark.parametrize("preset", ["maskrcnn", "mmdet_caffe"])
    def test_steps(self, preset: str):
        model, elsewhere = tiny_model(preset), tiny_model(preset)
        with Rehearsal():
            elsewhere.to(DEVICE)
        for targets in KINDS.values():
            expected = losses_of(model, targets)
            with Rehearsal():
                found = losses_of(elsewhere, targets)
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)

    def test_the_waits_of_a_step(self):
        model = tiny_model()
        with Rehearsal() as rehearsal:
            model.to(DEVICE)
            losses_of(model, KINDS["objects"])
            rehearsal.waits.clear()
            losses_of(model, KINDS["objects"])
        ours = {line: num for line, num in rehearsal.waits.items() if not line.startswith("outside")}
        # Who may be drawn is looked at twice in each image, and for the positives and the negatives.
        assert sum(num for line, num in ours.items() if line.startswith("ops/sampling.py")) == 4 * 2
        assert not any(line.startswith("ops/sampling.py") for line in rehearsal.uploads)  # drawn on the device
        # NMS, what of it is kept, and the levels that boxes and masks are read from.
        assert sum(num for line, num in ours.items() if not line.startswith("ops/sampling.py")) == 4

    def test_a_run_goes_on(self):
        with Rehearsal():
            model, again = tiny_model().to(DEVICE), tiny_model().to(DEVICE)
            # Not the trainer's own, whose fused kernels torch allows on devices that it knows by name.
            optimizer, other = (torch.optim.SGD(one.parameters(), lr=1e-3, momentum=0.9) for one in (model, again))
            losses_of(model, KINDS["objects"], optimizer)
            again.load_state_dict(model.state_dict())
            load_optimizer(other, optimizer.state_dict())
            for _ in range(2):
                assert losses_of(again, KINDS["crowds"], other) == losses_of(model, KINDS["crowds"], optimizer)

    def test_an_average_of_weights(self):
        with Rehearsal() as rehearsal:
            model = tiny_model().to(DEVICE)
            average = WeightAverage(model, 0.9)
            losses_of(model, KINDS["objects"])
            rehearsal.waits.clear()
            rehearsal.uploads.clear()
            average.update(model)
            again = WeightAverage(model, 0.9)
            again.load_state_dict(average.state_dict())
        assert not rehearsal.waits
        assert not rehearsal.uploads
        assert all(tensor.device == DEVICE for tensor in again.tensors.values())


def losses_of(
    model: MaskRCNN, targets: Sequence[Targets], optimizer: torch.optim.Optimizer | None = None
) -> dict[str, float]:
    """Of one step, with gradients for every parameter and a change of the weights."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=1e-3)
    optimizer.zero_grad()
    images = batch(model, [IMAGE, SMALLER])
    generators = [torch.Generator(model.device).manual_seed(i) for i in range(len(targets))]
    losses = model.losses(images, [one.to(model.device) for one in targets], generators)
    torch.stack(list(losses.means.values())).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    optimizer.step()
    return {name: loss.item() for name, loss in losses.means.items()}


class TestTheRehearsal:
    def test_tensors_of_two_devices_do_not_meet(self):
        with Rehearsal():
            there = torch.ones(3).to(DEVICE)
            with pytest.raises(DeviceMismatchError):
                there + torch.ones(3)
            assert (there + 1).tolist() == [2, 2, 2]
            assert (there * torch.tensor(2.0)).tolist() == [2, 2, 2]  # a number of the CPU may meet anything

    def test_counts(self):
        with Rehearsal() as rehearsal:
            there = torch.tensor([3.0, 1.0], device=DEVICE)
            there.new_tensor([1.0])
            assert rehearsal.uploads.total() == 2
            assert not rehearsal.waits
            there.sum().item()
            there.tolist()
            there[there > 2]
            there.nonzero()
            assert rehearsal.waits.total() == 4
            there[there > 2] = 0
            torch.zeros(3, device=DEVICE)
        assert (rehearsal.uploads.total(), rehearsal.waits.total()) == (2, 4)
        assert torch.ones(2).is_cuda is False


def test_many_tensors_come_over_in_one_copy():
    tensors = [
        torch.ones(3, dtype=torch.bool),
        torch.arange(5),
        torch.rand(2, 0),
        torch.rand(3, 2).T,
        torch.tensor(2.5),
    ]
    assert [one is other for one, other in zip(to_cpu(tensors), tensors, strict=True)] == [True] * 5
    with Rehearsal() as rehearsal:
        there = [tensor.to(DEVICE) for tensor in tensors]
        here = to_cpu(there)
    assert rehearsal.waits.total() == 1
    for own, tensor in zip(here, tensors, strict=True):
        assert own.dtype == tensor.dtype
        assert torch.equal(own, tensor)


def test_nms_where_there_is_no_float64():
    boxes, scores = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [40, 40, 50, 50]]), torch.tensor([0.8, 0.9, 0.7])
    groups = torch.zeros(3, dtype=torch.int64)
    with Rehearsal(is_cuda=False):
        kept = grouped_nms(boxes.to(DEVICE), scores.to(DEVICE), groups.to(DEVICE), 0.5)
        assert kept.device == DEVICE
        assert kept.tolist() == grouped_nms(boxes, scores, groups, 0.5).tolist() == [1, 2]
