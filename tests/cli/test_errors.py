"""What an error says gets the option that helps, where the command has it."""

import argparse
from pathlib import Path

import pytest
import torch

from maskrcnn.cli.errors import HINTS, report
from tests.cli.conftest import Tool
from tests.oracles import torchvision_models


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's ResNet-18-FPN of two classes, without its mask head."""
    torch.manual_seed(0)
    state = torchvision_models.build("resnet18", num_classes=3).state_dict()
    path = tmp_path_factory.mktemp("theirs") / "boxes.pth"
    torch.save({name: tensor for name, tensor in state.items() if ".mask_" not in name}, path)
    return path


def test_options_about_a_file_of_another_package(tool: Tool, theirs: Path, weights: Path) -> None:
    command = ("convert_weights", theirs, "out.safetensors")
    said = tool(*command).err
    assert "boxes.pth: this is a Faster R-CNN: it has no mask head" in said
    assert said.endswith("; partial loading takes what there is, the rest is random; --partial does that\n")
    said = tool(*command, "--preset", "matterport", "--partial").err
    assert "so the preset is torchvision_v1 or" in said
    assert said.endswith("; choose it with --preset\n")
    said = tool(*command, "--class-names", "cat", "--partial").err
    assert said.endswith("boxes.pth: 2 classes, got 1 names; name them with --class-names\n")
    said = tool("convert_weights", weights, "out.safetensors", "--class-names", "a,b").err
    assert "carries its own settings and class names" in said
    assert tool(*command, "--partial").status == 0
    Path("a.png").write_bytes(b"")
    said = tool("infer", "a.png", "--weights", "out.safetensors").err
    assert said.endswith("; fine-tune them first; --force uses them all the same\n")
    said = tool("infer", "a.png", "--weights", weights, "--exclusive", "disc,cube").err
    assert "no class 'cube'" in said
    assert said.endswith("; they come from --exclusive\n")


def test_only_options_that_the_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("boxes.pth: partly there; partial loading takes what there is\na table of two\nlines")
    report(error, argparse.Namespace(debug=False, partial=False))
    report(error, argparse.Namespace(debug=False))
    with_option, without = capsys.readouterr().err.split("error: ")[1:]
    assert (
        with_option.splitlines()[0]
        == "boxes.pth: partly there; partial loading takes what there is; --partial does that"
    )
    assert with_option.splitlines()[1:] == without.splitlines()[1:] == ["a table of two", "lines"]
    assert "--" not in without


def test_every_hint_names_an_option() -> None:
    assert all("--" in hint for _, _, hint in HINTS)
