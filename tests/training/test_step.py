"""The gradients of a batch do not depend on the parts in which it goes through the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from maskrcnn.config import TrainSettings
from maskrcnn.data.loading import Batch
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.training import step as module
from maskrcnn.training.step import TrainingStep, unchanged_statistics
from tests.tiny import Shape, scene, tiny_model

# Of four images one is empty and one has most of the objects, so a mean of the parts' means is another loss.
SCENES: list[list[Shape]] = [
    [("square", 6, 8, 20), ("disc", 34, 30, 24), ("square", 60, 60, 30), ("disc", 8, 50, 28)],
    [],
    [("disc", 40, 40, 40)],
    [("square", 10, 10, 12)],
]


def batch_of(scenes: list[list[Shape]]) -> Batch:
    pairs = [scene(shapes) for shapes in scenes]
    images = [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image, _ in pairs]
    return Batch(images, [targets for _, targets in pairs], ["x.png"] * len(pairs), list(range(len(pairs))))


def gradients(model: MaskRCNN, accumulate: int, scenes: list[list[Shape]], **settings: Any) -> dict[str, torch.Tensor]:
    """Of every parameter, and the losses under their own names."""
    model.zero_grad(set_to_none=True)
    step = TrainingStep(model, TrainSettings(accumulate=accumulate, **settings), torch.device("cpu"))
    losses = step.gradients(batch_of(scenes))
    named = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(named) == len(list(model.parameters()))
    return named | {f"loss {name}": torch.tensor(value) for name, value in losses.items()}


@pytest.mark.parametrize("accumulate", [2, 3, 4, 9])
def test_parts_give_the_gradients_of_the_whole(accumulate: int):
    model = tiny_model()
    whole, parts = gradients(model, 1, SCENES), gradients(model, accumulate, SCENES)
    assert whole["loss mask"] > 0
    for name, expected in whole.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(
            parts[name], expected, rtol=1e-3, atol=1e-4 * scale + 1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_empty_image_would_be_felt():
    """The case above can fail: without its empty image the batch has other gradients."""
    model = tiny_model()
    whole, without = gradients(model, 1, SCENES), gradients(model, 1, [SCENES[0], *SCENES[2:]])
    name = "rpn.objectness.weight"
    assert (whole[name] - without[name]).norm() > 0.02 * whole[name].norm()


def test_nothing_at_all():
    model = tiny_model()
    for accumulate in (1, 2):
        found = gradients(model, accumulate, [[], []])
        assert found["loss mask"] == found["loss box"] == found["loss rpn_box"] == 0
        assert found["loss rpn_objectness"] > 0
        assert all(bool(value.isfinite().all()) for value in found.values())


def test_statistics_are_learnt_once_from_each_part():
    """Batch norms see a part at its counting too, and must not learn from it twice."""
    model = tiny_model(backbone={"norm": "bn"})
    gradients(model, 2, SCENES)
    counters = [int(buffer) for name, buffer in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert counters
    assert set(counters) == {2}
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with unchanged_statistics(model):
        gradients(model, 1, SCENES)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


class Exchange(torch.nn.Module):
    """In the place of DistributedDataParallel: says when gradients would be exchanged."""

    def __init__(self, module: torch.nn.Module, device_ids: list[torch.device] | None) -> None:
        super().__init__()
        self.module, self.device_ids, self.is_quiet = module, device_ids, False
        self.exchanged: list[bool] = []

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.is_quiet = True
        yield
        self.is_quiet = False

    def forward(self, *args: Any) -> Any:
        if torch.is_grad_enabled():
            self.exchanged.append(not self.is_quiet)
        return self.module(*args)


def test_processes_exchange_gradients_once_a_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "DistributedDataParallel", Exchange)
    monkeypatch.setattr(module, "sum_over_ranks", lambda values: 2 * values)  # the other has just the same
    settings, cpu = TrainSettings(accumulate=3), torch.device("cpu")
    model = tiny_model()
    alone = gradients(model, 3, SCENES)
    assert not isinstance(TrainingStep(model, settings, cpu).network, Exchange)
    monkeypatch.setattr(module, "world_size", lambda: 2)
    assert not isinstance(TrainingStep(model, settings, cpu, is_alone=True).network, Exchange)
    step = TrainingStep(model, settings, cpu)
    assert isinstance(step.network, Exchange)
    assert step.network.device_ids is None
    model.zero_grad(set_to_none=True)
    losses = step.gradients(batch_of(SCENES))
    assert step.network.exchanged == [False, False, True]
    # Of twice as many things in all, over two processes whose gradients are averaged: as alone.
    assert losses == pytest.approx({name: alone[f"loss {name}"].item() for name in losses}, rel=1e-4)
    name, parameter = next((n, p) for n, p in model.named_parameters() if n == "rpn.objectness.weight")
    torch.testing.assert_close(parameter.grad, alone[name], rtol=1e-3, atol=1e-6)
