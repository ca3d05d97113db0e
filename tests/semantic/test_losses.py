"""Losses of pixels against PyTorch's and torchvision's own, against sums on paper, and as parts of a batch."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from maskrcnn.semantic.losses import NAMES, LossRules, binary_cross_entropy, cross_entropy, dice, focal
from maskrcnn.structures.label_map import VOID_LABEL

Loss = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, float]]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "dice": dice,
    "focal": lambda logits, labels, weights: focal(logits, labels, 2.0, weights),
}
WEIGHTS = torch.tensor([0.5, 2.0, 3.0])


def example(num_images: int = 3, num_classes: int = 3) -> tuple[Tensor, Tensor]:
    """Logits and labels with void ones, and an image without the last class."""
    logits = 2 * torch.randn(num_images, num_classes, 5, 7)
    labels = torch.randint(num_classes, (num_images, 5, 7))
    labels[0][labels[0] == num_classes - 1] = 0
    labels[:, :2, 3] = VOID_LABEL
    return logits, labels


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_pytorchs(weights: Tensor | None):
    logits, labels = example()
    expected = F.cross_entropy(logits, labels, weight=weights, ignore_index=VOID_LABEL)
    mean, count = cross_entropy(logits, labels, weights)
    torch.testing.assert_close(mean, expected)
    if weights is None:
        assert count == (labels != VOID_LABEL).sum()


def test_binary_cross_entropy_is_the_mean_over_classes_and_labelled_pixels():
    logits, labels = example()
    known = labels != VOID_LABEL
    chosen = logits.permute(0, 2, 3, 1)[known]  # (P, K)
    expected = F.binary_cross_entropy_with_logits(chosen, F.one_hot(labels[known], 3).float())
    torch.testing.assert_close(binary_cross_entropy(logits, labels)[0], expected)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_of_two_classes_is_torchvisions(gamma: float):
    logits, labels = example(num_classes=2)
    known = labels != VOID_LABEL
    difference = (logits[:, 1] - logits[:, 0])[known]
    expected = sigmoid_focal_loss(difference, labels[known].float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal(logits, labels, gamma)[0], expected)


def test_focal_without_focus_is_cross_entropy_and_sure_pixels_have_a_gradient():
    logits, labels = example()
    torch.testing.assert_close(focal(logits, labels, 0.0, WEIGHTS)[0], cross_entropy(logits, labels, WEIGHTS)[0])
    sure = (100 * F.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float()).requires_grad_()
    focal(sure, labels, 0.5)[0].backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_dice_on_paper():
    # Four pixels, one of them void. p of class 1: 0.5 at all (equal logits); truth 1, 0, 0.
    logits, labels = torch.zeros(1, 2, 2, 2), torch.tensor([[[1, 0], [0, VOID_LABEL]]])
    # class 0: 2 * (0.5 + 0.5) / (1.5 + 2) = 4 / 7; class 1: 2 * 0.5 / (1.5 + 1) = 2 / 5
    mean, count = dice(logits, labels)
    assert mean.item() == pytest.approx(((1 - 4 / 7) + (1 - 2 / 5)) / 2)
    assert count == 2
    # With weights 1 and 3 they count so often.
    assert dice(logits, labels, torch.tensor([1.0, 3.0]))[0].item() == pytest.approx(((1 - 4 / 7) + 3 * 0.6) / 4)


def test_dice_of_a_class_that_an_image_lacks_has_no_term():
    logits, labels = torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 0]]])
    # p = 1 / 3 everywhere: 2 * 2 / 3 / (2 / 3 + 2) = 1 / 2
    mean, count = dice(logits, labels)
    assert (mean.item(), count) == (pytest.approx(0.5), 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_parts_of_a_batch_give_what_the_whole_gives(name: str, weights: Tensor | None):
    logits, labels = example(num_images=5)
    labels[4] = VOID_LABEL
    whole, total = LOSSES[name](logits, labels, weights)
    parts = [LOSSES[name](logits[cut], labels[cut], weights) for cut in (slice(0, 2), slice(2, 4), slice(4, 5))]
    assert sum(count for _, count in parts) == pytest.approx(total)
    torch.testing.assert_close(sum(mean * count for mean, count in parts) / total, whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_map_costs_nothing_and_nothing_to_learn_costs_zero(name: str):
    _, labels = example()
    perfect = 200 * F.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float() - 100
    assert LOSSES[name](perfect, labels, None)[0].item() == pytest.approx(0, abs=1e-5)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    mean, count = LOSSES[name](logits, torch.full((2, 4, 4), VOID_LABEL), None)
    assert (mean.item(), count) == (0.0, 0.0)
    mean.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_sum_has_each_loss_times_its_weight():
    logits, labels = example()
    rules = LossRules(
        (("cross_entropy", 0.5), ("binary_cross_entropy", 0.0), ("dice", 2.0), ("focal", 1.0)), 3.0, (1, 2, 0)
    )
    assert rules.names == ("cross_entropy", "dice", "focal")
    found, weights = rules(logits, labels), torch.tensor([1.0, 2.0, 0.0])
    assert [*found] == [*rules.names]
    torch.testing.assert_close(found["cross_entropy"][0], 0.5 * cross_entropy(logits, labels, weights)[0])
    torch.testing.assert_close(found["dice"][0], 2 * dice(logits, labels, weights)[0])
    torch.testing.assert_close(found["focal"][0], focal(logits, labels, 3.0, weights)[0])


def test_of_equal_logits_the_cross_entropy_is_log_k():
    labels = torch.randint(4, (1, 3, 3))
    assert cross_entropy(torch.zeros(1, 4, 3, 3), labels)[0].item() == pytest.approx(math.log(4))
