"""A result in the hands of other libraries, and back."""

import html
import io
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.optional import MissingPackageError
from maskrcnn.report.measure import measure
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import decode
from maskrcnn.structures.svg import SIDE_PX, svg_path


@pytest.fixture
def instances() -> Instances:
    """Two objects that overlap, and one without a pixel."""
    probs = torch.ones(3, 28, 28)
    probs[0, 10:18, 10:18] = 0  # a hole
    probs[2] = 0
    return Instances(
        image_size=(40, 60),
        boxes=torch.tensor([[2.0, 3, 30, 31], [20.5, 10, 50, 39], [1, 1, 5, 5]]),
        labels=torch.tensor([0, 1, 1]),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        mask_probs=probs,
        class_names=("cell", "<b>"),
        extra={"track_ids": torch.tensor([7, 3, 4]), "keypoints": torch.zeros(3, 5, 2)},
    )


def test_coco_has_what_is_known(instances: Instances) -> None:
    found = instances.to_coco([5, 9])
    assert [one["category_id"] for one in found] == [5, 9, 9]
    assert [one["bbox"] for one in found] == [[2, 3, 28, 28], [20.5, 10, 29.5, 29], [1, 1, 4, 4]]
    assert [one["area"] for one in found] == instances.areas().tolist()
    assert all(np.array_equal(decode(a["segmentation"]), b) for a, b in zip(found, instances.bitmaps(), strict=True))
    assert [one["category_id"] for one in instances.to_coco()] == [1, 2, 2]
    assert instances[[]].to_coco() == []
    with pytest.raises(ValueError, match="2 distinct category ids"):
        instances.to_coco([5, 5])
    bad = replace(instances, scores=torch.tensor([0.9, np.nan, 0.7]))
    with pytest.raises(ValueError, match="scores of object 1 are no finite numbers"):
        bad.to_coco()


@pytest.mark.extra
def test_supervision_and_back(instances: Instances) -> None:
    supervision = pytest.importorskip("supervision")
    found = instances.to_supervision()
    assert isinstance(found, supervision.Detections)
    back = Instances(
        image_size=found.mask.shape[1:],
        boxes=torch.from_numpy(found.xyxy),
        labels=torch.from_numpy(found.class_id),
        scores=torch.from_numpy(found.confidence),
        mask_probs=instances.mask_probs,
        class_names=instances.class_names,
    )
    assert back.rles() == instances.rles()
    for name in ("boxes", "labels", "scores"):
        assert torch.equal(getattr(back, name), getattr(instances, name))
    assert np.array_equal(found.mask, instances.bitmaps())
    assert found.data["class_name"].tolist() == ["cell", "<b>", "<b>"]
    assert found.tracker_id.tolist() == [7, 3, 4]
    assert found.data["keypoints"].shape == (3, 5, 2)
    # It filters, and draws nothing that it was not given.
    assert len(found[found.confidence > 0.75]) == 2
    assert instances.to_supervision(masks=False).mask is None
    nothing = instances[[]].to_supervision()
    assert (len(nothing), nothing.mask.shape) == (0, (0, 40, 60))


@pytest.mark.extra
def test_pandas_and_back(instances: Instances) -> None:
    pandas = pytest.importorskip("pandas")
    table = instances.to_pandas()
    again = pandas.read_csv(io.StringIO(table.to_csv(index=False)))
    assert again["class"].tolist() == ["cell", "<b>", "<b>"]
    assert again["id"].tolist() == [1, 2, 3]
    boxes = torch.tensor(again[["box_x0", "box_y0", "box_x1", "box_y1"]].to_numpy(), dtype=torch.float32)
    assert torch.equal(boxes, instances.boxes)
    assert torch.equal(torch.tensor(again["score"].to_numpy(), dtype=torch.float32), instances.scores)
    assert again["area_px"].tolist() == instances.areas().tolist()
    assert again["track_ids"].tolist() == [7, 3, 4]
    assert "keypoints" not in again
    assert instances[[]].to_pandas().columns.tolist() == table.columns.tolist()
    measured = measure(instances)
    assert measured.to_pandas().columns.tolist() == list(measured)


@pytest.mark.parametrize(("package", "method"), [("supervision", "to_supervision"), ("pandas", "to_pandas")])
def test_a_package_that_is_not_there_is_named_with_its_extra(
    instances: Instances, package: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf'{method} needs {package}: pip install "maskrcnn\[interop\]"'):
        getattr(instances, method)()


def test_a_notebook_shows_outlines(instances: Instances) -> None:
    shown: Any = instances._repr_html_()
    assert html.escape(repr(instances)) in shown
    assert "<b>" not in shown
    assert shown.count("<path") == 3
    assert "&lt;b&gt; 0.80</title>" in shown
    assert 'viewBox="0 0 60 40"' in shown
    assert svg_path(instances.crops()[0], 1.0) in shown
    large = replace(instances, image_size=(4000, 2000))._repr_html_()
    assert f'height="{SIDE_PX}"' in large
    assert "<path" not in instances[[]]._repr_html_()


def test_an_outline_runs_through_the_middle_of_the_outer_pixels() -> None:
    square = np.ones((3, 5), bool)
    assert svg_path((10, 20, square), 1.0) == "M10.5 20.5 10.5 22.5 14.5 22.5 14.5 20.5z"
    assert svg_path((10, 20, square), 2.0) == "M21 41 21 45 29 45 29 41z"
    assert svg_path((0, 0, np.zeros((0, 0), bool)), 1.0) == ""
