"""The moving average of the weights: on paper, and that it can be stopped and resumed."""

import io

import pytest
import torch
from torch import nn

from maskrcnn.training.averaging import WeightAverage


def model_of(value: float) -> nn.Module:
    """A linear layer without bias whose only weight is `value`."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_on_paper():
    # The decays of the first updates are 2 / 11 and 3 / 12, as long as they are below the given one.
    average = WeightAverage(model_of(100.0), 0.9)
    average.update(model_of(11.0))
    first = 100 * 2 / 11 + 11 * 9 / 11
    assert average.tensors["weight"].item() == pytest.approx(first, rel=1e-5)
    average.update(model_of(4.0))
    assert average.tensors["weight"].item() == pytest.approx(first * 3 / 12 + 4 * 9 / 12, rel=1e-5)


def test_in_the_long_run_the_decay_is_the_given_one():
    average = WeightAverage(model_of(0.0), 0.5)
    for _ in range(30):
        average.update(model_of(0.0))
    average.update(model_of(8.0))
    assert average.tensors["weight"].item() == pytest.approx(4, rel=1e-5)


def test_an_average_of_the_same_is_the_same():
    average = WeightAverage(model_of(3.0), 0.99)
    for _ in range(5):
        average.update(model_of(3.0))
    assert average.tensors["weight"].item() == pytest.approx(3, rel=1e-6)


def test_statistics_are_averaged_and_counters_copied():
    norm = nn.BatchNorm1d(3)
    average = WeightAverage(norm, 0.9)
    norm.train()(torch.randn(8, 3) + 5)
    average.update(norm)
    assert average.tensors["num_batches_tracked"].item() == 1
    torch.testing.assert_close(average.tensors["running_mean"], norm.running_mean * 9 / 11)


def test_is_a_copy():
    model = model_of(1.0)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model.weight, 7.0)
    assert average.tensors["weight"].item() == 1
    average.update(model)
    assert not average.tensors["weight"].requires_grad
    assert model.weight.item() == 7


def test_goes_on_where_it_was_saved():
    first = WeightAverage(model_of(1.0), 0.9)
    first.update(model_of(2.0))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = WeightAverage(model_of(50.0), 0.9)
    second.load_state_dict(torch.load(file, weights_only=True))
    for average in (first, second):
        average.update(model_of(3.0))
    assert torch.equal(first.tensors["weight"], second.tensors["weight"])
    assert first.num_updates == second.num_updates == 2
