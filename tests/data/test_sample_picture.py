"""The sample picture is what it says: nuclei on a dark ground, as many as it reports."""

import cv2
import numpy as np

from maskrcnn.data.sample_picture import draw_sample


def test_form_and_number() -> None:
    image, number = draw_sample()
    assert image.shape == (512, 512, 3)
    assert image.dtype == np.uint8
    assert (image == image[..., :1]).all(), "grey"
    assert 50 <= number <= 60


def test_same_arguments_same_picture() -> None:
    first, again, other = draw_sample((96, 128)), draw_sample((96, 128)), draw_sample((96, 128), seed=1)
    assert first[1] == again[1]
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_the_nuclei_can_be_counted() -> None:
    # Otsu's threshold splits objects from ground; touching ones run together, so fewer parts than nuclei are seen.
    image, number = draw_sample()
    _, bright = cv2.threshold(cv2.GaussianBlur(image[..., 0], (0, 0), 1), 0, 255, cv2.THRESH_OTSU)
    parts, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    large = int((stats[1:, cv2.CC_STAT_AREA] > 30).sum())
    assert parts > 1
    assert 0.5 * number < large <= number
    assert np.median(image) < 40


def test_small_pictures() -> None:
    for size in ((1, 1), (16, 40), (64, 64)):
        image, number = draw_sample(size)
        assert image.shape == (*size, 3)
        assert number >= 0
