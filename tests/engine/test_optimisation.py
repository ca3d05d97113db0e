"""What is decayed, and the learning rate of every step on paper."""

import pytest
import torch
from torch import nn

from maskrcnn.config import TrainSettings
from maskrcnn.engine.optimisation import build_optimizer, build_schedule, learning_rate_factor
from tests.tiny import tiny_model


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class TestOptimizer:
    @pytest.mark.parametrize(("kind", "expected"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
    def test_settings_arrive(self, kind, expected: type):
        settings = TrainSettings(optimizer=kind, learning_rate=0.125, momentum=0.75, weight_decay=0.5)
        optimizer = build_optimizer(small_net(), settings)
        assert type(optimizer) is expected
        assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
        if kind == "sgd":
            assert [group["momentum"] for group in optimizer.param_groups] == [0.75, 0.75]

    def test_only_weights_of_convolutions_and_linear_layers_are_decayed(self):
        net = small_net()
        decayed, kept = (group["params"] for group in build_optimizer(net, TrainSettings()).param_groups)
        assert [id(p) for p in decayed] == [id(net[0].weight), id(net[3].weight)]
        assert [id(p) for p in kept] == [id(net[0].bias), id(net[1].weight), id(net[1].bias), id(net[3].bias)]

    def test_every_trainable_parameter_once_and_no_frozen_one(self):
        model = tiny_model(backbone={"frozen_stages": 2})
        groups = build_optimizer(model, TrainSettings()).param_groups
        ids = [id(p) for group in groups for p in group["params"]]
        assert sorted(ids) == sorted(id(p) for p in model.parameters() if p.requires_grad)
        assert len(ids) < len(list(model.parameters()))


class TestSchedule:
    def test_steps_on_paper(self):
        settings = TrainSettings(steps=900, schedule="step", milestones=(2 / 3, 8 / 9), warmup_steps=0)
        factors = [learning_rate_factor(step, settings) for step in (0, 599, 600, 799, 800, 899)]
        assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])

    def test_warmup_on_paper(self):
        settings = TrainSettings(steps=1000, schedule="step", warmup_steps=100)
        factors = [learning_rate_factor(step, settings) for step in (0, 50, 100, 101)]
        assert factors == pytest.approx([0.001, 0.5005, 1, 1])

    def test_cosine_on_paper(self):
        settings = TrainSettings(steps=100, schedule="cosine", warmup_steps=0)
        factors = [learning_rate_factor(step, settings) for step in (0, 25, 50, 75, 100, 120)]
        assert factors == pytest.approx([1, 0.853553, 0.5, 0.146447, 0, 0], abs=1e-6)

    @pytest.mark.parametrize("schedule", ["step", "cosine"])
    def test_the_optimiser_uses_it(self, schedule):
        settings = TrainSettings(steps=12, schedule=schedule, warmup_steps=3, learning_rate=0.5)
        optimizer = build_optimizer(small_net(), settings)
        scheduler = build_schedule(optimizer, settings)
        for step in range(12):
            expected = 0.5 * learning_rate_factor(step, settings)
            assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected] * 2)
            optimizer.step()
            scheduler.step()
