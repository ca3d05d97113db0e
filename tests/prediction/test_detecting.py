"""One batch and one set of pictures through a model: whose share is whose, and in which order it comes back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction import detecting as module
from maskrcnn.prediction.detecting import autocast, detect, detect_all, share_of_images, with_low_threshold
from maskrcnn.structures.instances import Instances
from tests.coco_files import SMALL, TRAIN_SCENES, write_coco
from tests.tiny import scene, tiny_model


@pytest.mark.parametrize(("rank", "expected"), [(0, [0, 3, 6]), (1, [1, 4]), (2, [2, 5])])
def test_processes_share_the_images_and_the_first_shows_it(
    rank: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, Any] = {}
    monkeypatch.setattr(module, "rank", lambda: rank)
    monkeypatch.setattr(module, "world_size", lambda: 3)
    monkeypatch.setattr(module, "is_first", lambda: rank == 0)
    monkeypatch.setattr(module, "tqdm", lambda own, **options: shown.update(options) or own)
    assert list(share_of_images(7, "val")) == expected
    assert shown["disable"] is (None if rank == 0 else True)  # None: where there is a terminal
    assert shown["desc"] == "val"


def test_results_come_in_the_order_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_annotations(write_coco(tmp_path, "val", TRAIN_SCENES), tmp_path / "images")
    model = tiny_model("maskrcnn", **SMALL).eval()
    found = detect_all(model, data)
    assert list(found) == list(data.image_ids)
    for index, image_id in enumerate(data.image_ids):
        alone = detect(model, [data.load(index).image])[0]
        assert torch.equal(found[image_id].boxes, alone.boxes)
        assert found[image_id].boxes.device.type == "cpu"
    tiled = Instances.empty((63, 61), data.class_names)
    assert all(one.image_size == (63, 61) for one in detect_all(model, data, in_tiles=lambda image: tiled).values())

    # Of two processes the first gets all, put in order, and the other nothing.
    def gathered(own: dict[int, Instances]) -> Sequence[dict[int, Instances]] | None:
        others = {image_id: one for image_id, one in found.items() if image_id not in own}
        return [others, own] if module.rank() == 0 else None

    monkeypatch.setattr(module, "world_size", lambda: 2)
    monkeypatch.setattr(module, "gather_to_first", gathered)
    assert list(detect_all(model, data)) == list(data.image_ids)
    monkeypatch.setattr(module, "rank", lambda: 1)
    assert detect_all(model, data) == {}


@pytest.mark.parametrize(("own", "expected"), [(0.7, 0.05), (0.05, 0.05), (0.01, 0.01)])
def test_an_evaluation_keeps_weak_detections_and_a_lower_threshold(own: float, expected: float) -> None:
    model = tiny_model("maskrcnn", detection={"score_threshold": own})
    assert with_low_threshold(model) is model
    assert model.box_head.rules.score_threshold == expected


def test_pictures_of_several_sizes_go_together(tmp_path: Path) -> None:
    model = tiny_model("maskrcnn", **SMALL).eval()
    pictures = [scene([("square", 8, 8, 24)], size)[0] for size in ((64, 80), (96, 64))]
    assert [one.image_size for one in detect(model, pictures)] == [(64, 80), (96, 64)]
    assert not any(one.boxes.requires_grad for one in detect(model, [np.zeros((64, 64, 3), np.uint8)]))


def test_the_precision_is_that_of_the_dense_layers() -> None:
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(torch.device("cpu"), precision):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
