"""Objects left out by size and place."""

from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.report.selection import Selection, select
from maskrcnn.structures.instances import Instances


def _found() -> Instances:
    """Squares of 4, 9, 16 px; the first at the border."""
    boxes = torch.tensor([[0.0, 5, 2, 7], [5, 5, 8, 8], [10, 10, 14, 14]])
    return Instances((20, 20), boxes, torch.zeros(3, dtype=torch.int64), torch.ones(3), torch.ones(3, 28, 28), ("a",))


@pytest.mark.parametrize(
    ("limits", "areas"),
    [
        ({}, [4, 9, 16]),
        ({"min_area": 9}, [9, 16]),  # both ends are in
        ({"max_area": 9}, [4, 9]),
        ({"min_area": 9, "max_area": 9}, [9]),
        ({"exclude_border": True}, [9, 16]),
        ({"min_area": 17}, []),
    ],
)
def test_selecting(limits: dict[str, Any], areas: list[int]) -> None:
    kept = select(_found(), **limits)
    assert kept.areas().tolist() == areas
    assert np.array_equal(select(kept, **limits).areas(), kept.areas())


def test_nothing_to_leave_out() -> None:
    found = _found()
    assert select(found) is found
    assert len(select(Instances.empty((4, 5), ("a",)), min_area=3, exclude_border=True)) == 0


def test_in_words() -> None:
    assert not Selection()
    assert str(Selection(50, 900.5, True)) == "of at least 50 px, of at most 900.5 px, not at the border"
    assert str(Selection(max_area=9)) == "of at most 9 px"


@pytest.mark.parametrize("limits", [{"min_area": -1}, {"max_area": float("nan")}, {"min_area": 5, "max_area": 4}])
def test_limits_that_nothing_meets(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(min|max)_area: expected"):
        Selection(**limits)
