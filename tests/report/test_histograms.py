"""Histograms of measurements: of every column that has a number, of every class, of nothing."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from maskrcnn.report.histograms import MAX_CLASSES, draw_histograms, plot_histograms
from maskrcnn.report.measure import measure
from maskrcnn.report.written import is_ours
from tests.report.test_regions import objects


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Label, heights and edges of all that is drawn."""
    drawn: list[tuple[str, np.ndarray, np.ndarray]] = []
    stairs = Axes.stairs

    def noted(axes: Axes, heights: Any, edges: Any, **options: Any) -> Any:
        drawn.append((options["label"], heights, edges))
        return stairs(axes, heights, edges, **options)

    monkeypatch.setattr(Axes, "stairs", noted)
    return drawn


def test_every_object_is_in_every_histogram(bars: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    rng = np.random.default_rng(0)
    table = {"area_px": rng.lognormal(5, 1, 400), "circularity": rng.uniform(0, 1, 400)}
    classes = ["a"] * 300 + ["b"] * 100
    picture = draw_histograms(table, classes)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert [label for label, _, _ in bars] == ["a: 300", "b: 100"] * 2
    assert [int(heights.sum()) for _, heights, _ in bars] == [300, 100] * 2  # also those beyond the axis
    assert np.array_equal(bars[0][2], bars[1][2])


def test_a_table_of_measure(tmp_path: Path, bars: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    image = np.random.default_rng(0).integers(0, 9, (40, 40, 2), dtype=np.uint16)
    plot_histograms(tmp_path / "measurements.png", measure(objects(), image, channel_names=["DAPI", "$odd"]))
    assert is_ours(tmp_path / "measurements.png")
    assert cv2.imread(str(tmp_path / "measurements.png")) is not None
    labels = {label for label, _, _ in bars}
    assert labels == {"bolt: 2", "nut: 2"}
    # area, diameter, circularity, eccentricity, solidity, score and two intensities, of two classes
    assert len(bars) == 8 * 2
    assert [int(heights.sum()) for _, heights, _ in bars[:2]] == [2, 2]  # an area of 0 is one
    assert int(bars[-2][1].sum()) == 1  # an intensity of no pixel is none


def test_nothing_and_one_value(bars: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    assert draw_histograms({"area_px": np.zeros(0)}, []).ndim == 3
    assert draw_histograms({}, []).ndim == 3
    assert not bars
    draw_histograms({"area_px": np.full(3, 7.0), "solidity": np.full(3, np.nan)}, ["a"] * 3)
    assert [int(heights.sum()) for _, heights, _ in bars] == [3, 0]


def test_rare_classes_are_one(bars: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    classes = [f"c{i}" for i in range(MAX_CLASSES + 4) for _ in range(20 - i)]
    draw_histograms({"area_px": np.arange(len(classes), dtype=float)}, classes)
    assert len(bars) == MAX_CLASSES + 1
    assert bars[-1][0].startswith("4 other classes: ")
    assert sum(int(heights.sum()) for _, heights, _ in bars) == len(classes)
