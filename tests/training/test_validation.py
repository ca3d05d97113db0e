"""What a run is told about val: losses over all objects, scores at the model's own threshold, pictures as users see."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.config import Config, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.model.mask_rcnn import Losses
from maskrcnn.model.preprocess import Resize
from maskrcnn.structures.instances import Instances
from maskrcnn.training import validation as module
from maskrcnn.training.validation import Judgement, Validation, validation_losses
from tests.coco_files import SMALL, VAL_SCENES, write_coco
from tests.tiny import CLASS_NAMES, tiny_model, tiny_settings


@pytest.fixture
def val(tmp_path: Path) -> Annotations:
    path = write_coco(tmp_path, "val", VAL_SCENES)  # one square; a disc and a square
    return load_annotations(path, tmp_path / "images")


def config(score_threshold: float, **train: Any) -> Config:
    groups = {**SMALL, "detection": {**SMALL["detection"], "score_threshold": score_threshold}}
    return validate(Config, {"model": tiny_settings("maskrcnn", **groups).model_dump(), "train": train}, "test")


class Scripted:
    """A model whose losses are means over so many things: more of them in the picture with two objects."""

    loss_names = ("class", "mask", "box")
    device = torch.device("cpu")
    resize = Resize(mode="scale", scale=0.5)

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def normalise(self, images: list[torch.Tensor], sizes: list[tuple[int, int]], device: torch.device) -> object:
        assert [tuple(image.shape) for image in images] == [(3, *size) for size in sizes]
        self.seen += images
        return images

    def losses(self, images: object, targets: list[Any], generators: object) -> Losses:
        if len(targets[0]) == 1:
            return Losses(means(2.0, 1.0, 0.0), counts={"class": 4, "mask": 1, "box": 0})
        return Losses(means(1.0, 4.0, 0.0), counts={"class": 12, "mask": 3, "box": 0})


def means(*values: float) -> dict[str, torch.Tensor]:
    return dict(zip(Scripted.loss_names, map(torch.tensor, values), strict=True))


def test_losses_are_means_over_all_objects_not_over_pictures(val: Annotations) -> None:
    model = Scripted()
    losses = validation_losses(model, val, "fp32")  # pyright: ignore[reportArgumentType]
    # class: (4 * 2 + 12 * 1) / 16; mask: (1 * 1 + 3 * 4) / 4; of no boxes at all 0.
    assert losses == {"val_loss": 4.5, "val_class": 1.25, "val_mask": 3.25, "val_box": 0.0}
    expected = [model.resize(val.load(i).image) for i in range(2)]
    assert [image.shape for image in model.seen] == [(3, 32, 32)] * 2
    assert all(torch.equal(a, b) for a, b in zip(model.seen, expected, strict=True))


@pytest.mark.parametrize("score_threshold", [0.04, 0.35])
def test_scores_are_those_of_the_threshold_that_users_get(
    val: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_threshold: float
) -> None:
    asked: dict[str, Any] = {}

    def evaluate(
        results: Any, table: Any, category_ids: Any, max_detections: int, threshold: float, *, panoptic: None
    ) -> Any:
        asked.update(results=results, threshold=threshold, max_detections=max_detections, category_ids=category_ids)
        return SimpleNamespace(summary=lambda: {"mask_ap": 0.5})

    monkeypatch.setattr(module, "evaluate", evaluate)
    settings = config(score_threshold, val_loss=False)
    model = tiny_model("maskrcnn", **SMALL).eval()
    judged = Validation(val, CLASS_NAMES, settings, tmp_path).judge(model)
    assert judged.summary == {"mask_ap": 0.5}
    assert judged.evaluation is not None
    assert asked["threshold"] == score_threshold
    assert asked["max_detections"] == 20
    assert asked["category_ids"] == (3, 7)
    assert asked["results"] == judged.results
    assert model.box_head.rules.score_threshold == 0.05  # AP needs the weak detections as well


def test_val_losses_are_left_out_where_they_are_not_wanted(
    val: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "evaluate", lambda *args, panoptic: SimpleNamespace(summary=lambda: {"mask_ap": 0.5}))
    monkeypatch.setattr(module, "validation_losses", lambda *args: {"val_loss": 2.0})
    monkeypatch.setattr(module, "detect_all", lambda *args, judge: {})
    model = tiny_model("maskrcnn", **SMALL).eval()
    for wanted, summary in ((True, {"mask_ap": 0.5, "val_loss": 2.0}), (False, {"mask_ap": 0.5})):
        assert Validation(val, CLASS_NAMES, config(0.3, val_loss=wanted), tmp_path).judge(model).summary == summary


def test_pictures_show_what_is_above_the_threshold(
    val: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[float]] = []

    def figure(image: np.ndarray, found: Instances) -> np.ndarray:
        drawn.append([round(score, 2) for score in found.scores.tolist()])
        return image

    monkeypatch.setattr(module, "figure", figure)
    found = Instances(
        image_size=(64, 64),
        boxes=torch.tensor([[0.0, 0, 9, 9], [20, 20, 40, 40], [5, 30, 15, 60]]),
        labels=torch.tensor([0, 1, 0]),
        scores=torch.tensor([0.9, 0.36, 0.34]),
        mask_probs=torch.ones(3, 28, 28),
        class_names=CLASS_NAMES,
    )
    Validation(val, CLASS_NAMES, config(0.35), tmp_path).draw(
        Judgement({}, results=dict.fromkeys(val.image_ids, found)), step=7
    )
    assert drawn == [[0.9, 0.36]] * 2
    names = sorted(path.name for path in (tmp_path / "predictions").iterdir())
    assert names == ["val_1_000007.png", "val_2_000007.png"]


def test_of_many_pictures_four_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_coco(tmp_path, "val", [[("square", 20, 20, 24)]] * 6)
    val = load_annotations(path, tmp_path / "images")
    monkeypatch.setattr(module, "figure", lambda image, found: image)
    nothing = Instances.empty((64, 64), CLASS_NAMES)
    Validation(val, CLASS_NAMES, config(0.35), tmp_path).draw(
        Judgement({}, results=dict.fromkeys(val.image_ids, nothing)), step=1
    )
    assert len(list((tmp_path / "predictions").iterdir())) == 4


def test_a_loss_of_one_thing_is_its_own_mean(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "val", VAL_SCENES[:1])
    losses = validation_losses(Scripted(), load_annotations(path, tmp_path / "images"), "fp32")  # pyright: ignore
    assert losses == {"val_loss": 3.0, "val_class": 2.0, "val_mask": 1.0, "val_box": 0.0}
