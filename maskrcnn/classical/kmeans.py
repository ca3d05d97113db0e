"""Pixels grouped by colour.

K clusters; P pixels that the centres are found from; D numbers of a colour.
"""

from typing import Literal

import cv2
import numpy as np

ColorSpace = Literal["rgb", "lab", "hsv", "grey"]
MAX_PIXELS = 50_000
"""That the centres are found from; more do not move them, and take minutes."""
_ITERATIONS, _EPSILON, _ATTEMPTS = 50, 0.2, 3
_ROWS = 256  # of the image that are compared with the centres at a time


def kmeans(
    image: np.ndarray, num_clusters: int = 3, *, space: ColorSpace = "lab", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster uint8 (H, W) of every pixel, 0 the darkest, and the mean RGB uint8 (K, 3) of each cluster.

    The centres are those of OpenCV's k-means++ for at most `MAX_PIXELS` pixels drawn by `seed`; every pixel belongs to
    the nearest. The same image and seed give the same clusters. `space`: "lab" is near to what eyes tell apart; in
    "hsv" the hue is taken as a direction, so that both ends of its scale are one red.

    Raises:
        ValueError: not 2 to 254 clusters, or more than the image has pixels.
    """
    num_pixels = image.shape[0] * image.shape[1]
    if not 2 <= num_clusters <= min(254, num_pixels):
        raise ValueError(f"clusters: expected 2 to {min(254, num_pixels)}, got {num_clusters}")
    chosen = np.random.default_rng(seed).permutation(num_pixels)[:MAX_PIXELS]
    sample = _colors(image.reshape(1, -1, 3)[:, chosen], space)[0]
    cv2.setRNGSeed(seed & 0x7FFFFFFF)  # of this thread, for k-means++
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, _ITERATIONS, _EPSILON)
    centres = cv2.kmeans(sample, num_clusters, np.empty(0), stop, _ATTEMPTS, cv2.KMEANS_PP_CENTERS)[2]
    clusters = np.empty(image.shape[:2], np.uint8)
    for top in range(0, image.shape[0], _ROWS):
        colors = _colors(image[top : top + _ROWS], space)
        # |c - m|^2 without |c|^2, which is the same for all centres.
        distance = (centres**2).sum(axis=1) - 2 * (colors @ centres.T)
        clusters[top : top + _ROWS] = distance.argmin(axis=-1)
    means = _means(image, clusters, num_clusters)
    rank = np.argsort(np.argsort(means @ (0.299, 0.587, 0.114), kind="stable"), kind="stable").astype(np.uint8)
    means[rank] = means.copy()
    return rank[clusters], np.rint(means).astype(np.uint8)


def _colors(image: np.ndarray, space: ColorSpace) -> np.ndarray:
    """(h, w, D) float32 of RGB uint8 (h, w, 3)."""
    image = np.ascontiguousarray(image)
    if space == "grey":
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    if space == "lab":
        return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    if space == "hsv":
        hue, saturation, value = np.moveaxis(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV), -1, 0)
        angle = np.deg2rad(hue)
        return np.stack([saturation * np.cos(angle), saturation * np.sin(angle), value], axis=-1) * 255
    return image.astype(np.float32)


def _means(image: np.ndarray, clusters: np.ndarray, num_clusters: int) -> np.ndarray:
    """Mean RGB float64 (K, 3); 0 of a cluster that has no pixel."""
    flat = clusters.ravel()
    pixels = np.bincount(flat, minlength=num_clusters)
    sums = [np.bincount(flat, weights=image[..., c].ravel(), minlength=num_clusters) for c in range(3)]
    return np.stack(sums, axis=1) / np.maximum(pixels, 1)[:, None]
