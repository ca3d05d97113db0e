"""What the documents show is run; every file in configs/ loads."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from maskrcnn.checkpoints import weights
from maskrcnn.checkpoints.manifest import load_manifest
from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.config import load_config, model_settings
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.model.build import build_model
from maskrcnn.report.written import write_json
from maskrcnn.structures.rle import encode
from tests.oracles.detectron2_layout import to_detectron2, write_pth
from tests.oracles.matterport_layout import to_matterport, write_h5

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
needs_weights = pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def tool_lines() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.startswith("python tools/")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds the files the README speaks of."""
    monkeypatch.chdir(tmp_path)
    picture, _ = draw_sample((96, 128))
    (tmp_path / "plates").mkdir()
    (tmp_path / "images").mkdir()
    Image.fromarray(picture).save("cells.png")
    Image.fromarray(picture).save("plates/one.tif")
    for name, numbers in (("train", range(4)), ("val", range(4, 6))):
        annotations = []
        for i in numbers:
            image = np.zeros((64, 64, 3), np.uint8)
            image[10:40, 10 + i : 30 + i] = 200
            Image.fromarray(image).save(f"images/{i}.png")
            annotations.append(
                {
                    "id": i + 1,
                    "image_id": i,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [10 + i, 10, 20, 30],
                    "area": 600,
                    "segmentation": encode(image[..., 0] > 0),
                }
            )
        images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in numbers]
        categories = [{"id": 1, "name": "nucleus"}]
        write_json(f"{name}.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def test_two_setup_commands():
    setup = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("pip install")]
    assert len(setup) == 2
    assert setup[0].endswith("&& python tools/infer.py")
    assert "pytest" in setup[1]


@needs_weights
def test_first_command_counts_the_sample(tmp_path: Path):
    command = [sys.executable, str(ROOT / "tools" / "infer.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "synthetic" in done.stdout
    assert (tmp_path / "out" / "sample_instances.png").is_file()


@needs_weights
def test_count_commands(folder: Path):
    (line,) = (line for line in tool_lines() if "cells.png" in line)
    _, tool, *arguments = shlex.split(line)
    assert run_tool(Path(tool).stem, arguments) == 0
    assert (folder / "results" / "one_instances.png").is_file()


@needs_weights
def test_series_and_region_commands(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Each as it is in the README, with stacks of small images."""
    picture = draw_sample((96, 128))[0][..., 0]
    stack = np.stack([picture, np.roll(picture, 9, axis=1)])
    tifffile.imwrite("film.tif", stack, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite("stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    Path("plate").mkdir()
    names = {"Channel": {"Name": ["GFP", "DAPI"]}}
    tifffile.imwrite("plate/a.ome.tif", stack, metadata={"axes": "CYX", **names})
    half = [[0, 0], [64, 0], [64, 96], [0, 96], [0, 0]]
    write_json("fields.geojson", {"type": "Polygon", "coordinates": [half]})
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("maskrcnn infer ")]
    assert len(lines) == 5
    num_rows = []
    for line in lines:
        _, _, *arguments = shlex.split(line, comments=True)
        files = [str(path) for path in Path().glob(arguments[0])]
        assert run_tool("infer", [*files, *arguments[1:], "--out", "found"]) == 0
        num_rows.append(len(Path("found/counts.csv").read_text().splitlines()) - 1)
    assert num_rows == [2, 1, 1, 1, 1]
    assert len(Path("found/regions.csv").read_text().splitlines()) == 2
    assert Path("found/measurements.png").is_file()


@needs_weights
def test_library_block(folder: Path, capsys: pytest.CaptureFixture[str]):
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    assert "nucleus" in capsys.readouterr().out
    drawing = names["drawing"]
    assert isinstance(drawing, np.ndarray)
    assert drawing.shape == (96, 128, 3)


def test_training_commands(folder: Path, monkeypatch: pytest.MonkeyPatch):
    lines = [line for line in tool_lines() if "train.json" in line or "run/best" in line]
    tools = ["tools/check_dataset.py", "tools/train.py", "tools/evaluate.py", "tools/infer.py"]
    assert [shlex.split(line)[1] for line in lines] == tools
    config = (ROOT / "configs" / "nuclei.yaml").read_text(encoding="utf-8")
    config = config.replace("batch_size: 8", "batch_size: 2").replace("crop: 256", "crop: 64")
    (folder / "configs").mkdir()
    (folder / "configs" / "nuclei.yaml").write_text(config, encoding="utf-8")
    for line in lines:
        _, tool, *arguments = shlex.split(line)
        shortened = [*arguments, "--steps", "2"] if "train.py" in tool else arguments
        assert run_tool(Path(tool).stem, shortened) == 0
    assert (folder / "found" / "counts.csv").is_file()
    for report in ("check", "judged", "run/evaluation"):
        assert (folder / report / "report.html").is_file()


def test_checkpoint_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """With made-up files in the place of those that would be downloaded or brought along."""
    pytest.importorskip("h5py")
    block = next(block for block in blocks("bash") if "maskrcnn zoo" in block)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    torch.manual_seed(0)
    slim = {"backbone": {"depth": 50, "stem_channels": 16}, "fpn": {"channels": 32}, "box_head": {"fc_channels": 64}}
    settings = {
        name: model_settings(name, class_names=["a", "b"], **slim) for name in ("matterport", "detectron2_msra")
    }
    states = {name: build_model(one).state_dict() for name, one in settings.items()}
    write_h5(folder / "mask_rcnn_coco.h5", to_matterport(states["matterport"]))
    write_pth(folder / "model_final.pth", to_detectron2(states["detectron2_msra"]))
    monkeypatch.setattr(weights, "fetch", lambda entry: folder / "model_final.pth")
    Image.fromarray(draw_sample((96, 128))[0]).save("photo.jpg")
    for line in lines:
        name, arguments = (line[1], line[2:]) if line[0] == "maskrcnn" else (Path(line[1]).stem, line[2:])
        shortened = [*arguments, "--resize", "96", "--device", "cpu"] if name == "infer" else arguments
        assert run_tool(name, shortened) == 0, line
    assert (folder / "mine.safetensors").is_file()
    assert "28 public files" in block
    assert len(load_manifest()) == 28


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_loads(path: Path):
    load_config(path)


def test_the_map_names_every_folder():
    folders = {p.name for p in (ROOT / "maskrcnn").iterdir() if p.is_dir() and (p / "__init__.py").is_file()}
    named = set(re.findall(r"`maskrcnn/(\w+)/`", README))
    assert named == folders


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
