"""Semantic weights by name and by content; what they do not fit is said."""

from pathlib import Path

import pytest
import torch

from maskrcnn.checkpoints import semantic_weights
from maskrcnn.checkpoints.manifest import Entry
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint, load_semantic, save_semantic_weights
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.semantic.torchvision_networks import VOC_CLASSES, build_torchvision

NAME = "lraspp_mobilenet_v3_large"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_torchvision(NAME, 21).state_dict()


@pytest.fixture(scope="module")
def file(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("semantic") / "some.pth"
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}, path)
    return path


def name_of(found: SemanticCheckpoint) -> str | None:
    return getattr(found.settings.network, "name", None)


def test_a_file_is_known_by_its_content(file: Path, state: dict[str, torch.Tensor]):
    found = load_semantic(file)
    assert found is not None
    assert name_of(found) == NAME
    assert found.class_names == VOC_CLASSES
    assert found.sentence == f"torchvision {NAME}, 21 classes; assumed: the 21 classes of PASCAL VOC"
    own = found.build().body.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def test_a_name_is_downloaded_once_and_verified(file: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def fetch(entry: Entry) -> Path:
        asked.append(entry.url)
        return file

    monkeypatch.setattr("maskrcnn.checkpoints.weights.fetch", fetch)
    found = load_semantic(NAME)
    assert found is not None
    assert name_of(found) == NAME
    assert asked == ["https://download.pytorch.org/models/lraspp_mobilenet_v3_large-d234d4ea.pth"]
    with pytest.raises(ValueError, match=f"{NAME}: a semantic network, which gives a class for every pixel"):
        load_weights(NAME)
    assert len(asked) == 1, "refused before it is downloaded"


def test_the_auxiliary_classifier_is_for_training(tmp_path: Path):
    with torch.device("meta"):
        names = build_torchvision("fcn_resnet50", 3, has_auxiliary=True).state_dict()
    state = {name: torch.zeros(tensor.shape, dtype=torch.float16) for name, tensor in names.items()}
    torch.save(state, tmp_path / "fcn.pth")
    found = load_semantic(tmp_path / "fcn.pth")
    assert found is not None
    assert (name_of(found), found.class_names) == ("fcn_resnet50", ("background", "class 1", "class 2"))
    assert not [name for name in found.tensors if name.startswith("aux")]
    named = load_semantic(tmp_path / "fcn.pth", ("sky", "road", "car"))
    assert named is not None
    assert named.class_names == ("sky", "road", "car")
    with pytest.raises(ValueError, match="expected 3 different class names, got 'a', 'a'"):
        load_semantic(tmp_path / "fcn.pth", ("a", "a"))


def test_weights_that_find_objects_are_of_another_kind(tmp_path: Path):
    assert load_semantic(None) is None
    assert load_semantic("nuclei") is None
    assert load_semantic("coco") is None
    torch.save({"backbone.body.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "mask.pth")
    assert load_semantic(tmp_path / "mask.pth") is None
    with pytest.raises(FileNotFoundError, match=r"no weights named 'deeplabv3_resnet5'.*deeplabv3_resnet50"):
        load_semantic("deeplabv3_resnet5")


def test_damage_and_misfits_are_said(file: Path, state: dict[str, torch.Tensor], tmp_path: Path):
    with pytest.raises(ValueError, match=r"some\.pth: a semantic network, which gives a class for every pixel"):
        load_weights(file)
    broken = tmp_path / "broken.pth"
    torch.save({**state, "classifier.low_classifier.bias": torch.full((21,), torch.nan)}, broken)
    with pytest.raises(ValueError, match="holds NaN or infinity in 21 of 21 places"):
        load_semantic(broken)
    torch.save({name: tensor for name, tensor in state.items() if "high_classifier" not in name}, broken)
    with pytest.raises(ValueError, match=rf"broken\.pth: the weights do not fit {NAME}\n(?s:.*)missing"):
        load_semantic(broken)
    assert semantic_weights.AUXILIARY == "aux_classifier."


def test_own_files_are_known_by_their_content_and_checked(tmp_path: Path):
    settings = validate(SemanticSettings, {"network": {"channels": 2, "levels": 2}, "class_names": ("a", "b")}, "test")
    tensors = build_semantic(settings).body.state_dict()
    path = tmp_path / "unet.safetensors"
    save_semantic_weights(path, {**tensors, "aux_classifier.0.weight": torch.zeros(1)}, settings, {"made": "here"})
    found = load_semantic(path)
    assert found is not None
    assert (found.settings, found.card, found.sentence) == (
        settings,
        {"made": "here"},
        "U-Net, 2 levels from 2 channels, 2 classes",
    )
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert found.tensors.keys() == tensors.keys()
    named = load_semantic(path, ("c", "d"))
    assert named is not None
    assert named.class_names == ("c", "d")
    with pytest.raises(ValueError, match=r"unet\.safetensors: a semantic network, which gives a class for every pixel"):
        load_weights(path)
    save_semantic_weights(path, {n: t for n, t in tensors.items() if n != "logits.bias"}, settings, {})
    with pytest.raises(ValueError, match=r"do not fit their settings\n(?s:.*)missing: logits.bias"):
        load_semantic(path)
    save_semantic_weights(path, tensors, settings, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_semantic(path)
