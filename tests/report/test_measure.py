"""Measurements equal those of scikit-image, and are right on paper where there is little to measure."""

import csv
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from maskrcnn.report.measure import METRIC, Measurements, measure
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

Crop = tuple[int, int, np.ndarray]

SAME = {
    "area": "area_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "orientation": "orientation",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}


def of_crops(crops: list[Crop], size: tuple[int, int] = (60, 80)) -> Instances:
    runs = Runs.of_crops(crops, size)
    num = len(crops)
    return Instances(
        image_size=size,
        boxes=torch.from_numpy(runs.windows()).float(),
        labels=torch.arange(num) % 2,
        scores=torch.linspace(0.9, 0.5, num),
        mask_probs=torch.zeros(num, 1, 1),
        class_names=("nucleus", "=cell"),
        pixels=runs,
    )


def made_up(rng: np.random.Generator, num: int = 40) -> list[Crop]:
    """Smooth and ragged masks, convex and not, with holes, in one part or several."""
    crops = []
    while len(crops) < num:
        h, w = rng.integers(1, 40, 2)
        noise = cv2.GaussianBlur(rng.normal(size=(h, w)), (0, 0), rng.uniform(0.3, 4))
        mask = noise >= np.quantile(noise, rng.uniform(0.1, 0.9))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        crops.append((int(rng.integers(0, 81 - mask.shape[1])), int(rng.integers(0, 61 - mask.shape[0])), mask))
    return crops


def test_equal_to_regionprops() -> None:
    oracle = pytest.importorskip("skimage.measure", reason="scikit-image is the oracle; it comes with the extra test")
    rng = np.random.default_rng(0)
    crops = made_up(rng)
    ring = cv2.circle(np.zeros((25, 25), np.uint8), (12, 12), 11, 1, 3) > 0
    line = np.eye(15, dtype=bool)
    crops += [(1, 2, ring), (0, 0, line), (30, 3, line[:, ::-1]), (79, 59, np.ones((1, 1), bool))]
    image = rng.integers(0, 60000, (60, 80, 2)).astype(np.uint16)
    found = measure(of_crops(crops), image)
    for i, (x0, y0, mask) in enumerate(crops):
        under = image[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        (true,) = oracle.regionprops(mask.astype(np.uint8), under)
        is_turned = true.eccentricity > 1e-3  # a circle, or a pixel, has no direction
        for name, column in SAME.items():
            if name != "orientation" or is_turned:
                assert found[column][i] == pytest.approx(float(getattr(true, name)), abs=1e-6), (i, name)
        assert found["centroid_y"][i] == pytest.approx(true.centroid[0] + y0 + 0.5, abs=1e-6)
        assert found["centroid_x"][i] == pytest.approx(true.centroid[1] + x0 + 0.5, abs=1e-6)
        for channel in (0, 1):
            assert found[f"mean_intensity_{channel}"][i] == pytest.approx(true.intensity_mean[channel], rel=1e-12)
            assert found[f"min_intensity_{channel}"][i] == true.intensity_min[channel]
            assert found[f"max_intensity_{channel}"][i] == true.intensity_max[channel]
            assert found[f"sum_intensity_{channel}"][i] == under[..., channel][mask].sum()


def test_no_column_is_without_an_oracle() -> None:
    """Every column is compared with scikit-image above, or made from those that are, or no measurement of the mask."""
    columns = set(
        measure(of_crops(made_up(np.random.default_rng(1), 3)), np.zeros((60, 80), np.uint8), pixel_size_um=2)
    )
    compared = {*SAME.values(), "centroid_x", "centroid_y"}
    compared |= {f"{kind}_intensity" for kind in ("mean", "min", "max", "sum")}
    derived = {"circularity", "touches_border", *METRIC}  # in tests of their own below
    given = {"id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1"}
    assert columns == compared | derived | given


def test_derived_columns() -> None:
    found = measure(of_crops(made_up(np.random.default_rng(2))), pixel_size_um=0.25)
    for area, perimeter, circularity in zip(
        *(found[name] for name in ("area_px", "perimeter_px", "circularity")), strict=True
    ):
        assert perimeter == 0 or circularity == pytest.approx(4 * math.pi * area / perimeter**2, rel=1e-12)
    assert np.allclose(found["area_um2"], found["area_px"] / 16, rtol=1e-12)
    for name in METRIC[1:]:
        assert np.allclose(found[name], found[f"{name.removesuffix('_um')}_px"] / 4, rtol=1e-12)


def test_on_paper() -> None:
    # 4 wide and 2 high: the variance of x is (1.5^2 + 0.5^2) / 2 = 1.25, of y 0.25; axes are 4 standard deviations.
    # Its border pixels are all 8; the line through their centres is 3 + 1 + 3 + 1 long.
    found = measure(of_crops([(10, 20, np.ones((2, 4), bool))]), pixel_size_um=0.5)
    expected = {
        "id": 1,
        "class": "nucleus",
        "centroid_x": 12,
        "centroid_y": 21,
        "box_x0": 10,
        "box_y1": 22,
        "area_px": 8,
        "equivalent_diameter_px": math.sqrt(32 / math.pi),
        "perimeter_px": 8,
        "major_axis_px": 4 * math.sqrt(1.25),
        "minor_axis_px": 2,
        "orientation": math.pi / 2,  # across
        "eccentricity": math.sqrt(0.8),
        "solidity": 1,
        "circularity": math.pi / 2,
        "touches_border": False,
        "area_um2": 2,
        "perimeter_um": 4,
        "minor_axis_um": 1,
    }
    assert {name: found[name][0] for name in expected} == pytest.approx(expected)


def test_leaning_objects_turn_as_on_the_screen() -> None:
    down = np.eye(9, dtype=bool)  # from the left top to the right bottom
    steep = np.repeat(down, 3, axis=0)
    angles = measure(of_crops([(3, 3, down), (3, 3, down[:, ::-1]), (3, 3, steep), (3, 3, steep[:, ::-1])]))[
        "orientation"
    ]
    assert angles[:2] == pytest.approx([math.pi / 4, -math.pi / 4])
    assert 0 < angles[2] < math.pi / 4
    assert angles[3] == pytest.approx(-angles[2])


def test_one_pixel_and_none() -> None:
    none = np.zeros((0, 0), bool)
    found = measure(of_crops([(0, 0, none), (5, 6, np.ones((1, 1), bool))]), np.full((60, 80), 7, np.float32))
    empty, pixel = ({name: found[name][i] for name in found} for i in (0, 1))
    assert (empty["area_px"], empty["touches_border"]) == (0, False)
    words = {"id", "class", "score", "area_px", "touches_border"} | {name for name in empty if name.startswith("box_")}
    assert all(math.isnan(empty[name]) for name in empty if name not in words)
    assert (pixel["centroid_x"], pixel["centroid_y"], pixel["perimeter_px"], pixel["major_axis_px"]) == (5.5, 6.5, 0, 0)
    assert (pixel["eccentricity"], pixel["solidity"], pixel["mean_intensity"], pixel["sum_intensity"]) == (0, 1, 7, 7)
    assert math.isnan(pixel["circularity"])


def test_nothing_found() -> None:
    found = measure(Instances.empty((6, 7), ("cat",)), np.zeros((6, 7, 3), np.uint8), pixel_size_um=1)
    assert len(found) == 0
    assert "sum_intensity_blue" in list(found)
    assert list(found) == list(
        measure(of_crops([(0, 0, np.ones((1, 1), bool))], (6, 7)), np.zeros((6, 7, 3)), pixel_size_um=1)
    )


@pytest.mark.parametrize(
    ("x0", "y0", "touches"), [(1, 1, False), (0, 1, True), (1, 0, True), (76, 1, True), (1, 57, True)]
)
def test_the_border(x0: int, y0: int, touches: bool) -> None:
    found = measure(of_crops([(x0, y0, np.ones((3, 4), bool))]))
    assert bool(found["touches_border"][0]) is touches


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64, np.float16, np.float64])
def test_intensities_of_every_type(dtype: Any) -> None:
    image = np.arange(60 * 80).reshape(60, 80) % 97 % 2 if dtype is bool else np.arange(60 * 80).reshape(60, 80) % 97
    image = image.astype(dtype)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    found = measure(of_crops([(4, 8, mask)]), image)
    under = image[8:10, 4:7][mask].astype(float)
    got = [found[f"{kind}_intensity"][0] for kind in ("mean", "min", "max", "sum")]
    assert got == [under.mean(), under.min(), under.max(), under.sum()]


def test_sums_beyond_the_pictures_type() -> None:
    whole = [(0, 0, np.ones((60, 80), bool))]
    assert measure(of_crops(whole), np.full((60, 80), 255, np.uint8))["sum_intensity"][0] == 60 * 80 * 255


def test_masks_in_boxes() -> None:
    # What a network gives: masks in the frame of their boxes, laid into the picture.
    instances = Instances(
        (20, 30), torch.tensor([[3.0, 4, 9, 12]]), torch.tensor([0]), torch.tensor([0.5]), torch.ones(1, 28, 28), ("a",)
    )
    found = measure(instances)
    assert (found["area_px"][0], found["centroid_x"][0], found["centroid_y"][0]) == (48, 6, 8)


def test_csv(tmp_path: Path) -> None:
    crops = [(0, 0, np.zeros((0, 0), bool)), (0, 6, np.ones((2, 2), bool))]
    measure(of_crops(crops), np.full((60, 80), 300, np.uint16)).to_csv(tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="") as file:
        empty, square = csv.DictReader(file)
    assert (empty["id"], empty["class"], empty["area_px"], empty["centroid_x"], empty["touches_border"]) == (
        "1",
        "nucleus",
        "0",
        "",
        "0",
    )
    assert (square["class"], square["centroid_x"], square["sum_intensity"], square["touches_border"]) == (
        "'=cell",
        "1",
        "1200",
        "1",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": np.zeros((5, 5))}, r"expected numbers \(60, 80\) or .* got \(5, 5\) float64"),
        ({"image": np.full((60, 80), "a")}, "expected numbers"),
        ({"image": np.zeros((60, 80, 2)), "channel_names": ["a"]}, "expected 2 different names"),
        ({"pixel_size_um": 0}, "expected micrometres above 0, got 0"),
        ({"pixel_size_um": math.nan}, "expected micrometres"),
    ],
)
def test_bad_input(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        measure(of_crops([(0, 0, np.ones((1, 1), bool))]), **change)


def test_a_table_is_a_value() -> None:
    table = Measurements({"id": np.arange(3)})
    assert (len(table), list(table)) == (3, ["id"])
