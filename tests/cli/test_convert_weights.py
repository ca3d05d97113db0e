"""A file of another package becomes one of ours, with the same results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.checkpoint import load_checkpoint
from tests.cli.conftest import Said, Tool
from tests.oracles import torchvision_models

CLASS_NAMES = "cat, dog"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training checkpoint of torchvision's reference scripts: ResNet-18-FPN, two classes."""
    torch.manual_seed(0)
    model = torchvision_models.build("resnet18", num_classes=3)
    torchvision_models.condition(model, torch.rand(3, 200, 260))
    path = tmp_path_factory.mktemp("theirs") / "model_25.pth"
    torch.save({"model": model.state_dict(), "epoch": 25}, path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def error(said: Said) -> str:
    assert said.status == 1
    assert "Traceback" not in said.err
    return said.err.removeprefix("error: ").rstrip()


def test_the_same_results_from_the_file_itself_and_from_ours(tool: Tool, theirs: Path, picture: Path) -> None:
    said = tool("convert_weights", theirs, "ours.safetensors", "--class-names", CLASS_NAMES)
    assert said.status == 0, said.err
    sentence = "torchvision v1 R18-FPN, 2 classes, RGB, stride in 3x3; assumed: the usual sizes, anchors and thresholds"
    assert said.out.splitlines()[0] == f"model_25.pth: {sentence}"
    for name, weights in (("theirs", theirs), ("ours", Path("ours.safetensors"))):
        said = tool("infer", picture, "--weights", weights, "--score", "0.05", "--device", "cpu", "--out", name)
        assert said.out.splitlines()[0].startswith(f"{weights.name}: {sentence}")
    theirs_json, ours_json = (json.loads(Path(name, "instances.json").read_text()) for name in ("theirs", "ours"))
    assert ours_json["annotations"] == theirs_json["annotations"]
    assert [one["name"] for one in ours_json["categories"]] == ["cat", "dog"]
    assert len(maskrcnn.Predictor("ours.safetensors", score=0.05, device="cpu")(picture)) > 10


def test_converting_twice_gives_the_same_bytes(tool: Tool, theirs: Path) -> None:
    tool("convert_weights", theirs, "one.safetensors", "--class-names", CLASS_NAMES)
    tool("convert_weights", theirs, "two.safetensors", "--class-names", CLASS_NAMES)
    tool("convert_weights", "one.safetensors", "three.safetensors")
    one, two, three = (Path(f"{name}.safetensors").read_bytes() for name in ("one", "two", "three"))
    assert one == two == three


def test_half_precision_is_half_the_size(tool: Tool, theirs: Path) -> None:
    tool("convert_weights", theirs, "whole.safetensors")
    tool("convert_weights", theirs, "half.safetensors", "--half")
    sizes = [Path(f"{name}.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.01)


def test_a_file_that_does_not_fit_is_told_by_a_table_and_loaded_in_part_on_request(
    tool: Tool, theirs: Path, picture: Path
) -> None:
    state = torch.load(theirs, weights_only=True)["model"]
    del state["backbone.fpn.layer_blocks.1.0.bias"]
    state["quantum.weight"] = torch.zeros(1)
    state["roi_heads.box_head.fc7.weight"] = torch.zeros(7, 1024)
    torch.save(state, "odd.pth")
    lines = error(tool("convert_weights", "odd.pth", "odd.safetensors")).splitlines()
    assert lines[0] == "odd.pth: the weights do not fit the model; partial loading takes what does; --partial does that"
    assert {
        "missing: fpn.output.1.conv.bias",
        "unexpected: quantum.weight",
        "shape: box_head.fcs.2.weight is (7, 1024), the model has (1024, 1024)",
    } <= set(lines)
    assert not Path("odd.safetensors").exists()

    said = tool("convert_weights", "odd.pth", "odd.safetensors", "--partial")
    assert said.status == 0
    assert "missing: fpn.output.1.conv.bias" in said.out
    assert "2 tensors are random; fine-tune before use" in said.out
    assert load_checkpoint("odd.safetensors").untrained == ("fpn.output.1.conv.bias", "box_head.fcs.2.weight")
    refused = error(tool("infer", picture, "--weights", "odd.safetensors", "--device", "cpu"))
    assert refused.startswith("2 of the")
    assert "never trained" in refused
    assert tool("infer", picture, "--weights", "odd.safetensors", "--device", "cpu", "--force").status == 0


def test_a_backbone_alone_is_no_mask_rcnn_but_a_start(tool: Tool, theirs: Path) -> None:
    state = torch.load(theirs, weights_only=True)["model"]
    body = {name.removeprefix("backbone.body."): t for name, t in state.items() if name.startswith("backbone.body.")}
    torch.save(body, "resnet18.pth")
    assert error(tool("convert_weights", "resnet18.pth", "a.safetensors")) == (
        "resnet18.pth: not a whole Mask R-CNN: it has no feature pyramid (such as backbone.fpn.inner_blocks.0.0.weight)"
        ", no region proposal network (such as rpn.head.conv.0.0.weight), no box head (such as "
        "roi_heads.box_head.fc6.weight), no mask head (such as roi_heads.mask_head.0.0.weight); partial loading takes "
        "what there is, the rest is random; --partial does that"
    )
    assert tool("convert_weights", "resnet18.pth", "a.safetensors", "--partial").status == 0
    assert load_checkpoint("a.safetensors").settings.backbone.depth == 18


def test_mistakes_are_one_sentence(tool: Tool, theirs: Path) -> None:
    for options, sentence in (
        (("gone.pth", "a.safetensors"), "no weights named 'gone.pth' and no such file"),
        ((theirs, "a.pth"), "expected OUT to end in .safetensors, got a.pth"),
        ((theirs, "a.safetensors", "--class-names", "cat"), f"{theirs}: 2 classes, got 1 names"),
        ((theirs, "a.safetensors", "--class-names", "cat,"), f"{theirs}: a class without a name: got 'cat', ''"),
        ((theirs, "a.safetensors", "--class-names", "cat, cat"), f"{theirs}: two classes of the name 'cat'"),
        (
            (theirs, "a.safetensors", "--preset", "matterport"),
            f"{theirs}: weights of torchvision, so the preset is torch",
        ),
    ):
        assert error(tool("convert_weights", *options)).startswith(sentence)


def test_ours_becomes_a_file_of_another_package(tool: Tool, theirs: Path) -> None:
    said = tool("convert_weights", theirs, "ours.safetensors", "--class-names", CLASS_NAMES)
    assert said.status == 0, said.err
    said = tool("convert_weights", "ours.safetensors", "back.pth", "--to", "torchvision")
    assert said.status == 0, said.err
    assert "written for torchvision: back.pth; it is loaded there by" in said.out
    assert 'model.load_state_dict(torch.load("back.pth", weights_only=True))' in said.out
    expected, found = torch.load(theirs)["model"], torch.load("back.pth")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        rows = {"bbox_pred": 4, "mask_fcn_logits": 1}.get(
            name.split(".")[-2], 0
        )  # of the background, which no one reads
        assert torch.equal(tensor[rows:] if rows else tensor, expected[name][rows:] if rows else expected[name]), name


def test_what_another_package_would_compute_otherwise_is_said(tool: Tool, theirs: Path) -> None:
    tool("convert_weights", theirs, "ours.safetensors", "--class-names", CLASS_NAMES)
    said = tool("convert_weights", "ours.safetensors", "out/other.pth", "--to", "detectron2")
    assert "detectron2 would compute otherwise: " in error(said)
    assert "anchors.rounded is True, there False" in said.err
    assert not list(Path().glob("out/*"))
    assert "expected OUT to end in .pth" in error(
        tool("convert_weights", "ours.safetensors", "a.pt", "--to", "detectron2")
    )
    assert "read here, and not written" in error(tool("convert_weights", theirs, "a.h5", "--to", "matterport"))
    assert "--half" in error(tool("convert_weights", theirs, "a.pth", "--to", "torchvision", "--half"))
