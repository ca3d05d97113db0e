"""The masks that a model draws in the true boxes of annotated images, judged by their IoU with the true masks."""

from dataclasses import dataclass

import numpy as np
import pycocotools.mask

from maskrcnn.data.annotations import Annotations
from maskrcnn.prediction.detecting import share_of_images
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.text import NO_VALUE, grid, shorten
from maskrcnn.structures.instances import Instances


@dataclass(frozen=True)
class BoxScore:
    """IoU of each mask, by the class of its object."""

    iou: np.ndarray
    """(N,) float64, 0..1."""
    labels: np.ndarray
    """(N,) int64, index into `class_names`."""
    class_names: tuple[str, ...]
    num_images: int

    @property
    def mean_iou(self) -> float | None:
        """Over all objects."""
        return float(self.iou.mean()) if len(self.iou) else None

    def table(self) -> str:
        """Text for a terminal: objects, mean and median IoU, and the share of masks at IoU .50 and .75."""
        rows = [["class", "objects", "mean IoU", "median", "at .50", "at .75"], self._row("all", self.iou)]
        if len(self.class_names) > 1:
            rows += [self._row(name, self.iou[self.labels == k]) for k, name in enumerate(self.class_names)]
        return "\n".join([f"masks in the true boxes of {self.num_images} images", grid(rows)])

    def _row(self, name: str, iou: np.ndarray) -> list[str]:
        if not len(iou):
            return [shorten(name), "0", *[NO_VALUE] * 4]
        shares = [f"{(iou >= least).mean():.1%}" for least in (0.5, 0.75)]
        return [shorten(name), str(len(iou)), f"{iou.mean():.3f}", f"{np.median(iou):.3f}", *shares]


def masks_in_true_boxes(predictor: Predictor, dataset: Annotations) -> BoxScore:
    """Outline every object of `dataset` in its true box, of its true class, and compare the masks.

    The box is tight around the true mask. Crowd regions are left out.

    Raises:
        ValueError: the data lack a class of the model, or an image cannot be used.
    """
    ids = dataset.category_ids_of(predictor.class_names)
    label_of = {category: label for label, category in enumerate(ids)}
    iou: list[float] = []
    labels: list[int] = []
    for index in share_of_images(len(dataset), "boxes"):
        rows = dataset.rows(index)
        rows = rows[dataset.is_object[rows]]
        known = [label_of.get(dataset.category_ids[label]) for label in dataset.labels[rows].tolist()]
        kept = np.array([label is not None for label in known], bool)
        rows, own = rows[kept], [label for label in known if label is not None]
        found = predictor.masks_for(dataset.read_checked(index), dataset.corners(rows).astype(float), own)
        assert isinstance(found, Instances)
        true = [dataset.rle(row) for row in rows.tolist()]
        iou += [_iou(a, b) for a, b in zip(true, found.rles(), strict=True)]
        labels += own
    return BoxScore(np.array(iou, np.float64), np.array(labels, np.int64), predictor.class_names, len(dataset))


def _iou(true: object, found: object) -> float:
    return float(pycocotools.mask.iou([found], [true], [0])[0, 0])  # pyright: ignore
