"""What the plots of counts show: every number in view, and errors that a useless threshold does not flatten."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from maskrcnn.evaluation.count_plots import MAX_COLORS, plot_counts
from maskrcnn.evaluation.scores import ThresholdRow, ThresholdSweep


def sweep(*errors: float) -> ThresholdSweep:
    """Rows at 0.1, 0.2, ... with these mean absolute errors; of 10 objects fewer are predicted at each."""
    rows = [
        ThresholdRow(
            score_threshold=(k + 1) / 10,
            mae=error,
            total_relative_error=None,
            total_predicted=14 - k,
            total_true=10,
            image_mean50=0.5,
            pooled50=0.5,
        )
        for k, error in enumerate(errors)
    ]
    return ThresholdSweep(tuple(rows))


def drawn(counts: dict[str, tuple[list[int], list[int]]], errors: ThresholdSweep) -> Figure:
    arrays = {name: (np.array(true, int), np.array(predicted, int)) for name, (true, predicted) in counts.items()}
    return plot_counts(arrays, errors, 2, 0.25)


@pytest.mark.parametrize(
    ("counts", "largest"),
    [
        ({}, 1),
        ({"a": ([], [])}, 1),
        ({"a": ([0, 0], [0, 0])}, 1),  # never a plot without width
        ({"a": ([3, 4], [2, 7]), "b": ([5], [1])}, 7),
        ({"a": ([200, 3], [150, 4])}, 200),
    ],
)
def test_all_counts_are_in_view(counts: dict[str, tuple[list[int], list[int]]], largest: int) -> None:
    left = drawn(counts, sweep(1.0)).axes[0]
    assert left.get_xlim() == pytest.approx((-0.5, 1.15 * largest + 0.5))
    assert left.get_ylim() == left.get_xlim()
    assert left.get_xscale() == ("symlog" if largest > 100 else "linear")
    assert (left.get_legend() is not None) == (len(counts) > 1)
    points = [np.asarray(points.get_offsets()).tolist() for points in left.collections]
    assert points == [[list(pair) for pair in zip(*pairs, strict=True)] for pairs in counts.values()]


def test_too_many_names_are_not_told_apart() -> None:
    for num, expected in ((MAX_COLORS, MAX_COLORS), (MAX_COLORS + 1, 1)):
        left = drawn({str(k): ([k], [k]) for k in range(num)}, sweep(1.0)).axes[0]
        assert len(left.collections) == expected
        assert sum(len(np.asarray(points.get_offsets())) for points in left.collections) == num


def test_errors_of_a_useless_threshold_do_not_flatten_the_rest() -> None:
    right = drawn({"a": ([1], [1])}, sweep(100.0, 2.0, 3.0)).axes[1]
    assert right.get_ylim() == pytest.approx((-12, 12))  # six times the lowest
    right = drawn({"a": ([1], [1])}, sweep(4.0, 2.0, 3.0)).axes[1]
    assert right.get_ylim() == pytest.approx((-4.4, 4.4))  # all, with some room
    error, bias = right.lines[:2]
    assert np.asarray(error.get_xdata()).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert np.asarray(error.get_ydata()).tolist() == [4.0, 2.0, 3.0]
    assert np.asarray(bias.get_ydata()).tolist() == [2.0, 1.5, 1.0]  # (14 - 10) / 2 images, ...
    labels = [str(line.get_label()) for line in right.lines]
    assert "in use: 0.25" in labels
    assert "lowest error, 2.00: 0.2" in labels


def test_without_an_error_and_without_an_image() -> None:
    right = drawn({"a": ([1], [1])}, sweep(0.0, 0.0)).axes[1]
    assert right.get_ylim()[0] < 0 < right.get_ylim()[1]
    plot_counts({}, sweep(0.0), 0, 0.25)
