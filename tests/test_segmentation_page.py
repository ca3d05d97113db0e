"""The commands and the code of docs/segmentation.md, run on small data in the place of the reader's."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn.checkpoints import weights
from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.config import load_config
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.report.written import write_json
from maskrcnn.semantic.torchvision_networks import build_torchvision
from maskrcnn.structures.rle import encode
from tests.class_sets import make_scene, write_class_set

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "segmentation.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the page speaks of; what would be downloaded is made here."""
    monkeypatch.chdir(tmp_path)
    for name in ("images", "photos", "configs"):
        (tmp_path / name).mkdir()
    cells, _ = draw_sample((72, 96))
    Image.fromarray(cells).save("cells.png")
    Image.fromarray(make_scene(9)[0]).save("photo.jpg")
    Image.fromarray(make_scene(8)[0]).save("photos/street.jpg")
    for split, numbers in (("train", range(2)), ("val", range(2, 4))):
        images, annotations = [], []
        for i in numbers:
            image = np.zeros((64, 64, 3), np.uint8)
            image[10:40, 10 + i : 30 + i] = 200
            Image.fromarray(image).save(f"images/{i}.png")
            images.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
            mask = {"segmentation": encode(image[..., 0] > 0), "bbox": [10 + i, 10, 20, 30], "area": 600}
            annotations.append({"id": i + 1, "image_id": i, "category_id": 1, "iscrowd": 0, **mask})
        categories = [{"id": 1, "name": "nucleus"}]
        write_json(f"{split}.json", {"images": images, "annotations": annotations, "categories": categories})
    Path("boxes.csv").write_text("0.png,8,8,32,42\n2.png,10,8,34,42,nucleus\n", encoding="utf-8")
    write_class_set(tmp_path / "camvid", {"train": range(2), "val": range(2, 4)})
    for name in ("unet_camvid", "unet_nuclei"):
        text = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
        text = re.sub(r"class_weights: .*", "class_weights: {hut: 2}", text)
        small = re.sub(r"batch_size: \d+", "batch_size: 2", re.sub(r"workers: \d+", "workers: 0", text))
        Path(f"configs/{name}.yaml").write_text(small, encoding="utf-8")
    torch.manual_seed(0)
    torch.save(build_torchvision("lraspp_mobilenet_v3_large", 21).state_dict(), "my_fcn_resnet50.pth")
    monkeypatch.setattr(weights, "fetch", lambda entry: tmp_path / "my_fcn_resnet50.pth")
    return tmp_path


def test_every_command(folder: Path):
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    assert len(lines) == 15
    for line in lines:
        program, tool, *arguments = shlex.split(line)
        assert program == "maskrcnn"
        shorter = ["--steps", "2"] if tool == "train" else []
        assert run_tool(tool, [*arguments, *shorter]) == 0, line
    for file in (
        *("found/street_semantic.png", "compared/comparison.html", "check/report.html", "run/curves.png"),
        *("judged/report.html", "run/evaluation/report.html", "cells/best.safetensors", "outlined/0_instances.png"),
    ):
        assert (folder / file).is_file(), file


def test_the_code(folder: Path):
    code = "import maskrcnn\n" + "\n".join(blocks("python"))
    exec(code.replace("steps=1000", "steps=2").replace('"deeplabv3_resnet50"', '"lraspp_mobilenet_v3_large"'), {})


def test_the_settings(folder: Path):
    (text,) = blocks("yaml")
    variants = [line.strip().removeprefix("# ") for line in text.splitlines() if "network:" in line]
    assert len(variants) == 3
    rest = [line for line in text.splitlines() if "network:" not in line]
    for number, network in enumerate(variants):
        Path(f"{number}.yaml").write_text("\n".join([rest[0], f"  {network}", *rest[1:]]), encoding="utf-8")
        assert load_config(f"{number}.yaml").semantic is not None
