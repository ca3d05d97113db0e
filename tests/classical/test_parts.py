"""Thresholds, edges, clusters and the flood, each beside a slow version that says the same."""

import cv2
import numpy as np
import pytest

from maskrcnn.classical.edges import edge_strength, enclosed, fill_holes
from maskrcnn.classical.grey import background_of, grey_of
from maskrcnn.classical.kmeans import kmeans
from maskrcnn.classical.threshold import default_window, grey_level, local_threshold, threshold
from maskrcnn.classical.watershed import distance_markers, watershed

GREY = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


def test_levels_count_the_thresholds_below():
    levels, cuts = threshold(GREY, (200, "mean", 30.5))
    assert cuts == tuple(sorted((200.0, float(GREY.mean()), 30.5)))
    assert np.array_equal(levels, sum((cut < GREY).astype(int) for cut in cuts))


def test_otsu_parts_the_two_sides_with_the_least_variance():
    grey = np.clip(np.random.default_rng(1).normal([[60]] * 30 + [[180]] * 30, 12, (60, 40)), 0, 255).astype(np.uint8)

    def within(cut: int) -> float:
        sides = [grey[grey <= cut], grey[grey > cut]]
        return sum(side.size * side.var() for side in sides if side.size)

    best = min(range(1, 255), key=within)
    assert within(int(grey_level(grey, "otsu"))) == pytest.approx(within(best))


@pytest.mark.parametrize("cuts", [(), (300,), (-1,)])
def test_thresholds_out_of_range(cuts: tuple[int, ...]):
    with pytest.raises(ValueError, match="threshold: expected"):
        threshold(GREY, cuts)


@pytest.mark.parametrize("offset", [5.0, -5.0])
def test_the_surroundings_decide(offset: float):
    levels = local_threshold(GREY, window_px=7, weighting="mean", offset=offset)
    padded = np.pad(GREY.astype(float), 3, mode="edge")
    means = np.array([[padded[y : y + 7, x : x + 7].mean() for x in range(50)] for y in range(40)])
    expected = np.rint(means) + offset < GREY  # OpenCV rounds the mean
    assert (levels == expected).mean() > 0.99
    with pytest.raises(ValueError, match="window_px: expected an odd number of at least 3, got 8"):
        local_threshold(GREY, window_px=8)
    assert default_window((40, 50)) == 9


def test_sobel_shows_the_edges_of_its_direction():
    grey = np.zeros((20, 20), np.uint8)
    grey[:, 10:] = 100  # a vertical edge
    assert edge_strength(grey, "sobel_v").max() == 255
    assert edge_strength(grey, "sobel_h").max() == 0
    assert np.array_equal(edge_strength(grey, "sobel"), edge_strength(grey, "sobel_v"))
    assert np.flatnonzero(edge_strength(grey, "sobel")[5]).tolist() == [9, 10]
    assert set(np.unique(edge_strength(grey, "canny"))) == {0, 255}
    assert edge_strength(np.zeros((9, 9), np.uint8), "laplacian").max() == 0


def test_closed_contours_are_filled_and_open_lines_are_not():
    strength = np.zeros((60, 60), np.uint8)
    cv2.rectangle(strength, (5, 5), (25, 25), 255)
    strength[5, 12] = 0  # a gap
    cv2.line(strength, (35, 35), (55, 50), 255)
    inside, edges = enclosed(strength, gap_px=3)
    assert inside[6:25, 6:25].all()
    assert not inside[30:, 30:].any()
    assert edges.sum() == (strength > 0).sum()
    assert not enclosed(strength, gap_px=0)[0].any()


def test_holes_are_what_the_outside_does_not_reach():
    mask = np.zeros((8, 8), np.uint8)
    mask[1:6, 1:6] = 1
    mask[3, 3] = 0
    mask[7, 0] = 1
    filled = fill_holes(mask)
    assert filled.sum() == mask.sum() + 1
    assert filled[3, 3] == 1
    assert fill_holes(np.ones((3, 3), np.uint8)).all()
    assert not fill_holes(np.zeros((3, 3), np.uint8)).any()


def test_the_background_is_what_the_border_is():
    levels = np.ones((6, 6), np.uint8)
    levels[1:5, 1:5] = 0
    levels[0, :2] = 0
    assert background_of(levels, 2, "auto") == 1
    assert background_of(levels, 2, "light") == 0
    assert background_of(levels, 2, "dark") == 1


@pytest.mark.parametrize("space", ["rgb", "lab", "hsv", "grey"])
def test_clusters_are_of_the_seed_and_from_dark_to_light(space):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    clusters, means = kmeans(image, 4, space=space, seed=3)
    again = kmeans(image, 4, space=space, seed=3)[0]
    assert np.array_equal(clusters, again)
    luma = [float((image[clusters == k] @ (0.299, 0.587, 0.114)).mean()) for k in range(4)]
    assert luma == sorted(luma)
    for k in range(4):
        assert np.abs(image[clusters == k].mean(axis=0) - means[k]).max() <= 0.51
    with pytest.raises(ValueError, match="clusters: expected 2 to 254, got 1"):
        kmeans(image, 1)


def test_each_pixel_is_in_the_nearest_cluster():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    clusters, _ = kmeans(image, 3, space="rgb")
    means = np.stack([image[clusters == k].mean(axis=0) for k in range(3)])
    distance = ((image[:, :, None].astype(float) - means) ** 2).sum(axis=-1)
    assert (distance.argmin(axis=-1) == clusters).mean() > 0.98  # k-means stops within its tolerance


def test_every_pixel_of_the_mask_has_a_number_and_no_other():
    rng = np.random.default_rng(0)
    mask = (cv2.GaussianBlur(rng.random((90, 120)).astype(np.float32), (0, 0), 4) > 0.5).astype(np.uint8)
    numbers = watershed(mask)
    assert np.array_equal(numbers > 0, mask > 0)
    assert np.unique(numbers[numbers > 0]).tolist() == list(range(1, int(numbers.max()) + 1))
    for number in range(1, int(numbers.max()) + 1):  # an object is in one piece
        assert cv2.connectedComponents((numbers == number).astype(np.uint8))[0] == 2
    assert watershed(np.zeros((5, 6), np.uint8)).max() == 0


def test_a_disc_has_one_middle_and_two_discs_have_two():
    y, x = np.mgrid[:50, :90]
    one = ((x - 25) ** 2 + (y - 25) ** 2 < 300).astype(np.uint8)
    assert distance_markers(one).max() == 1
    assert distance_markers(one)[25, 25] == 1
    two = one | ((x - 52) ** 2 + (y - 25) ** 2 < 200)
    assert distance_markers(two.astype(np.uint8)).max() == 2
    waist = one | ((x - 32) ** 2 + (y - 25) ** 2 < 300)  # hardly narrower in the middle
    assert distance_markers(waist.astype(np.uint8)).max() == 1


def test_markers_that_do_not_fit():
    mask = np.ones((4, 4), np.uint8)
    with pytest.raises(ValueError, match="markers: expected integers of shape"):
        watershed(mask, np.zeros((4, 5), np.int32))
    with pytest.raises(ValueError, match="expected 0 where there is none and numbers from 1 on, got -1"):
        watershed(mask, np.full((4, 4), -1))


def test_grey_is_that_of_the_eye():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert grey_of(image)[0].tolist() == [76, 150, 29]
    with pytest.raises(ValueError, match="smooth_px: expected 0 or more, got -1"):
        grey_of(image, -1)
