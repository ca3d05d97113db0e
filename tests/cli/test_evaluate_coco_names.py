"""Models of other packages, which have their own names and numbers of classes, on data with COCO's categories."""

import json
from pathlib import Path

import pytest
import torch

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES, CLASS_NAMES_WITH_GAPS
from maskrcnn.model.build import build_model
from tests.cli.conftest import Tool
from tests.coco_files import CATEGORY_IDS as FILE_IDS
from tests.coco_files import SMALL
from tests.tiny import tiny_settings


def write_weights(path: Path, class_names: tuple[str, ...], card: dict[str, str]) -> None:
    settings = tiny_settings("maskrcnn", **SMALL).model_copy(update={"class_names": class_names})
    torch.manual_seed(1)
    model = build_model(settings)
    with torch.no_grad():  # sure of a class that stands for no category, and of one that stands for a motorcycle
        model.box_head.class_logits.bias[class_names.index("unused 12") if "unused 12" in class_names else 0] += 9
        model.box_head.class_logits.bias[3] += 9
    save_checkpoint(path, model.state_dict(), settings, card)


@pytest.fixture
def with_cocos_categories(coco: Path) -> Path:
    content = json.loads((coco / "val.json").read_text())
    renamed = dict(zip(FILE_IDS, (4, 90), strict=True))
    for annotation in content["annotations"]:
        annotation["category_id"] = renamed[annotation["category_id"]]
    content["categories"] = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, CLASS_NAMES, strict=True)]
    (coco / "val.json").write_text(json.dumps(content))
    return coco / "val.json"


def test_torchvisions_90_names_are_measured_on_cocos_80_categories(tool: Tool, with_cocos_categories: Path) -> None:
    write_weights(Path("90.safetensors"), CLASS_NAMES_WITH_GAPS, {"imported": "torchvision v1 R18-FPN, 90 classes"})
    args = ("--annotations", "data/val.json", "--images", "data/images", "--device", "cpu", "--out", "judged")
    said = tool("evaluate", *args, "--weights", "90.safetensors")
    assert (said.status, said.err) == (0, "")
    assert "2 images, 3 objects" in said.out
    figures = json.loads(Path("judged/evaluation.json").read_text())
    assert tuple(figures["class_names"]) == CLASS_NAMES_WITH_GAPS
    assert figures["overall"]["count"]["total_predicted"] > 0
    assert figures["overall"]["count"]["total_true"] == 3
    assert figures["unknown_categories"] == []


def test_names_that_are_not_the_datas_can_be_given(tool: Tool, with_cocos_categories: Path) -> None:
    names = tuple(f"class {i + 1}" for i in range(4))
    write_weights(Path("4.safetensors"), names, {"imported": "mmdetection R18-FPN, 4 classes"})
    args = ("--annotations", "data/val.json", "--images", "data/images", "--weights", "4.safetensors")
    said = tool("evaluate", *args)
    assert said.status == 1
    (line,) = said.err.splitlines()
    assert "data/val.json has no category named class 1" in line
    assert line.endswith("; convert_weights can name the classes of another package's file")
