"""What is decayed, and the learning rate of every step on paper."""

import copy

import pytest
import torch
from torch import nn

from maskrcnn.config import TrainSettings
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.training.schedule import build_optimizer, build_schedule, learning_rate_factor, load_optimizer
from tests.tiny import batch, scene, tiny_model


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


class TestAStateThatIsNotOfTheOptimiser:
    @pytest.mark.parametrize(
        ("kind", "change", "sentence"),
        [
            ("sgd", lambda state: state["param_groups"][1].update(lr="fast"), "lr cannot be"),
            ("sgd", lambda state: state["param_groups"][1].update(momentum=float("nan")), "momentum cannot be"),
            ("sgd", lambda state: state["param_groups"][0].pop("nesterov"), "nesterov cannot be"),
            ("adamw", lambda state: state["param_groups"][0].update(betas=(0.9,)), "betas cannot be"),
            ("sgd", lambda state: state["state"].pop(1), "for some parameters only"),
            ("sgd", lambda state: state["state"][1].update(momentum_buffer=torch.ones(1)), r"of shape \(2, 4\)"),
            ("sgd", lambda state: state["state"][1].update(momentum_buffer=3), r"momentum_buffer is not"),
            ("adamw", lambda state: state["state"][1].update(step=torch.ones(2)), r"step is not"),
        ],
    )
    def test_is_refused_before_a_step_is_done_with_it(self, kind, change, sentence: str):
        net = small_net()
        optimizer = build_optimizer(net, TrainSettings(optimizer=kind))
        net(torch.ones(2, 3, 1, 1)).sum().backward()
        optimizer.step()
        state = copy.deepcopy(optimizer.state_dict())
        load_optimizer(optimizer, state)
        change(state)
        with pytest.raises(TypeError, match=sentence):
            load_optimizer(optimizer, state)


class TestOneKernelForAll:
    """Fused kernels read memory in order, whatever the strides say: networks here are channels-last."""

    @pytest.mark.parametrize("kind", ["sgd", "adamw"])
    def test_steps_are_those_of_the_plain_optimiser(self, kind):
        settings = TrainSettings(optimizer=kind, learning_rate=0.01, weight_decay=0.1)
        weights = []
        for is_fused in (True, False):
            model = model_with_gradients()
            optimizer = build_optimizer(model, settings)
            assert [group["fused"] for group in optimizer.param_groups] == [True, True]
            for group in optimizer.param_groups:
                group.update(fused=is_fused, foreach=False)
            for _ in range(3):
                optimizer.step()
            weights.append(model.state_dict())
        for name, tensor in weights[0].items():
            torch.testing.assert_close(tensor, weights[1][name], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("kind", ["sgd", "adamw"])
    def test_goes_on_from_what_a_plain_one_saved_in_another_memory_order(self, kind):
        settings = TrainSettings(optimizer=kind, learning_rate=0.01)
        model, other_model = model_with_gradients(), model_with_gradients()
        plain, fused = build_optimizer(model, settings), build_optimizer(other_model, settings)
        for group in plain.param_groups:
            group.update(fused=None, foreach=False)
        plain.step()
        other_model.load_state_dict(model.state_dict())
        state = plain.state_dict()
        state["state"] = {
            i: {key: value.contiguous() if isinstance(value, torch.Tensor) else value for key, value in values.items()}
            for i, values in state["state"].items()
        }
        load_optimizer(fused, copy.deepcopy(state))
        assert [group["fused"] for group in fused.param_groups] == [True, True]
        plain.step()
        fused.step()
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, other_model.state_dict()[name], rtol=1e-5, atol=1e-6)

    def test_not_under_the_scaler_of_fp16_which_skips_steps(self):
        groups = build_optimizer(small_net(), TrainSettings(precision="fp16")).param_groups
        assert [group["fused"] for group in groups] == [False, False]


def model_with_gradients() -> MaskRCNN:
    """Of one picture, in the strides that autograd gives them."""
    model = tiny_model().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    image, targets = scene([("square", 6, 8, 40), ("disc", 50, 40, 36)])
    torch.manual_seed(2)
    torch.stack(list(model(batch(model, [image]), [targets]).values())).sum().backward()
    return model


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
