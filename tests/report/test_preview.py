import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn.report import preview as module
from maskrcnn.report.preview import Unsure, preview, slide_preview
from maskrcnn.structures.instances import Instances


def filled(boxes: list[tuple[int, int, int, int]], image_size: tuple[int, int], scores: list[float]) -> Instances:
    """Objects that fill their boxes."""
    return Instances(
        image_size=image_size,
        boxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        scores=torch.tensor(scores),
        mask_probs=torch.ones(len(boxes), 28, 28),
        class_names=("cat",),
    )


def picture_of(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data)))


def points(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?[0-9.]+", path), float).reshape(-1, 2)


def test_outlines_lie_in_the_small_picture() -> None:
    instances = filled([(100, 60, 300, 160), (0, 0, 20, 20)], (320, 640), [0.9, 0.4])
    image = np.zeros((320, 640, 3), np.uint8)
    image[60:160, 100:300] = (200, 30, 30)
    made = preview(image, instances)
    small = picture_of(made["picture"])
    assert small.size == tuple(made["size"]) == (320, 160)
    # Half the size, through the middle of the outer pixels.
    outline = points(made["paths"][0])
    assert outline.min(axis=0).tolist() == [50.2, 30.2]
    assert outline.max(axis=0).tolist() == [149.8, 79.8]
    red = np.asarray(small.convert("RGB"))[..., 0]
    assert red[40:70, 60:140].min() > 150
    assert red[90:].max() < 60
    assert (made["labels"], made["scores"]) == ([0, 0], [0.9, 0.4])


def test_the_least_sure_are_shown_with_what_is_around_them() -> None:
    instances = filled([(10 * i, 10, 10 * i + 8, 18) for i in range(6)], (60, 90), [0.9, 0.2, 0.8, 0.1, 0.7, 0.3])
    unsure = preview(np.zeros((60, 90, 3), np.uint8), instances)["unsure"]
    assert [(one["number"], one["score"]) for one in unsure] == [(4, 0.1), (2, 0.2), (6, 0.3)]
    # 8 px and 0.35 * 8 + 2 around on each side, which are 18.
    assert unsure[0]["size"] == [18, 18]
    assert points(unsure[0]["path"]).min() == 5.5
    assert picture_of(unsure[0]["picture"]).size == (18, 18)


def test_parts_give_what_the_whole_gives() -> None:
    boxes = [(10 * i, 10, 10 * i + 8, 18) for i in range(6)]
    instances = filled(boxes, (60, 90), [0.9, 0.2, 0.8, 0.1, 0.7, 0.3])
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    parts = Unsure((60, 90))
    for i in range(0, 6, 2):
        parts.add(instances[i : i + 2])
    cut = parts.shown(lambda w: image[w[0] : w[2], w[1] : w[3]])
    assert cut == preview(image, instances)["unsure"]


def test_of_nothing_there_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    made = preview(np.zeros((5, 9, 3), np.uint8), Instances.empty((5, 9), ("cat",)))
    assert (made["size"], made["paths"], made["unsure"]) == ([9, 5], [], [])
    assert Unsure((5, 9)).shown(lambda window: np.zeros((0, 0, 3), np.uint8)) == []
    # Of many objects the first have outlines, and what is too large for memory is not shown by itself.
    monkeypatch.setattr(module, "MAX_OUTLINES", 2)
    monkeypatch.setattr(module, "MAX_CROP_PIXELS", 400)
    boxes = [(0, 0, 8, 8), (10, 10, 18, 18), (0, 0, 60, 50)]
    made = preview(np.zeros((60, 90, 3), np.uint8), filled(boxes, (60, 90), [0.9, 0.5, 0.1]))
    assert len(made["paths"]) == len(made["labels"]) == len(made["scores"]) == 2
    assert [one["number"] for one in made["unsure"]] == [2, 1]


def test_a_slide_is_its_overview_with_and_without_the_density() -> None:
    plain = np.zeros((1500, 2000, 3), np.uint8)
    made = slide_preview(plain, plain + 200, [])
    assert made["size"] == [1024, 768]
    assert np.asarray(picture_of(made["picture"])).max() < 10
    assert np.asarray(picture_of(made["shaded"])).min() > 190
