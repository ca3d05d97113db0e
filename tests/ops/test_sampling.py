"""Balanced sampling: what holds for every draw."""

import pytest
import torch

from maskrcnn.ops.sampling import sample_balanced


def kinds(num_positive: int, num_negative: int, num_neither: int) -> torch.Tensor:
    parts = [torch.ones(num_positive), torch.zeros(num_negative), -torch.ones(num_neither)]
    return torch.cat(parts).to(torch.int8)[torch.randperm(num_positive + num_negative + num_neither)]


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ((100, 100, 9), (8, 24)),  # a quarter of 32
        ((3, 100, 9), (3, 29)),  # negatives fill up
        ((100, 5, 9), (8, 5)),  # positives do not
        ((0, 100, 9), (0, 32)),
        ((100, 0, 0), (8, 0)),
        ((0, 0, 50), (0, 0)),
        ((0, 0, 0), (0, 0)),
    ],
)
def test_numbers(available: tuple[int, int, int], expected: tuple[int, int], device: torch.device):
    kind = kinds(*available).to(device)
    positives, negatives = sample_balanced(kind, 32, 0.25)
    assert (len(positives), len(negatives)) == expected
    assert (positives.dtype, negatives.dtype) == (torch.int64, torch.int64)
    assert bool((kind[positives] == 1).all())
    assert bool((kind[negatives] == 0).all())
    drawn = torch.cat([positives, negatives]).tolist()
    assert len(set(drawn)) == len(drawn)


def test_every_candidate_can_be_drawn():
    kind = kinds(6, 6, 3)
    drawn: set[int] = set()
    for _ in range(100):
        drawn.update(torch.cat(sample_balanced(kind, 4, 0.5)).tolist())
    assert drawn == set((kind >= 0).nonzero().squeeze(1).tolist())


def test_a_seed_decides_the_draw(device: torch.device):
    kind = kinds(50, 50, 0).to(device)
    draws = []
    for seed in (7, 7, 8):
        generator = torch.Generator(device).manual_seed(seed)
        draws.append(torch.cat(sample_balanced(kind, 16, 0.5, generator)).tolist())
    assert draws[0] == draws[1] != draws[2]
    torch.manual_seed(7)
    first = torch.cat(sample_balanced(kind, 16, 0.5)).tolist()
    torch.manual_seed(7)
    assert torch.cat(sample_balanced(kind, 16, 0.5)).tolist() == first
