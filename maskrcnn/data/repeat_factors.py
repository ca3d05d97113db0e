"""How often an image is seen in an epoch, so that rare classes are seen often enough (I images, K classes).

Paper: arXiv:1908.03195, section 4.1.
"""

import numpy as np

from maskrcnn.data.annotations import Annotations


def repeat_factors(dataset: Annotations, threshold: float) -> np.ndarray:
    """(I,) float64, at least 1: the largest max(1, sqrt(threshold / f)) of the classes in the image.

    f is the part of all images that a class is in; an image without objects is seen once.
    """
    is_present = np.zeros((len(dataset), len(dataset.class_names)), bool)
    is_present[dataset.image[dataset.is_object], dataset.labels[dataset.is_object]] = True
    frequency = is_present.mean(axis=0)
    factors = np.sqrt(threshold / np.maximum(frequency, np.finfo(float).tiny)).clip(1)
    return np.where(is_present, factors, 1.0).max(axis=1, initial=1.0)
