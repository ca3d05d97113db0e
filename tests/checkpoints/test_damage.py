"""Files of every family that lack something or hold what no network has: one sentence that names file and entry."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from maskrcnn.checkpoints import importing
from maskrcnn.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from maskrcnn.checkpoints.families import detectron2, matterport, mmdetection, torchvision
from maskrcnn.checkpoints.source import Source, damage_in
from maskrcnn.checkpoints.structure import NEEDED
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import model_settings
from maskrcnn.model.build import build_model
from tests.oracles import torchvision_models
from tests.oracles.detectron2_layout import to_detectron2
from tests.oracles.matterport_layout import to_matterport
from tests.oracles.mmdetection_layout import to_mmdetection, to_mmdetection_1x
from tests.tiny import tiny_model, tiny_settings

PATH = Path("somewhere/weights.pth")
FAMILIES = {
    "torchvision": torchvision,
    "detectron2": detectron2,
    "mmdetection": mmdetection,
    "mmdetection 1.x": mmdetection,
    "matterport": matterport,
}
ANCHORS = {f"proposal_generator.anchor_generator.cell_anchors.{i}": torch.tensor([[-8.0, -8, 8, 8]]) for i in range(5)}


def slim(preset: str, depth: int) -> dict[str, Tensor]:
    settings: dict[str, Any] = {
        "backbone": {"depth": depth, "stem_channels": 16, "stride_in_1x1": depth > 34},
        "fpn": {"channels": 32},
        "box_head": {"fc_channels": 64},
        "mask_head": {"channels": 32},
    }
    torch.manual_seed(0)
    return build_model(model_settings(preset, "test", class_names=["a", "b", "c"], **settings)).state_dict()


def written(family: str) -> dict[str, Tensor]:
    """What a file of the family holds."""
    match family:
        case "torchvision":
            with torch.device("meta"):
                state = torchvision_models.build("resnet18", num_classes=4).state_dict()
            box_head = {n: t[:32] if "fc6" in n or n.endswith("fc7.bias") else t for n, t in state.items()}
            narrow = {n: t[:32, :32] if "fc7.w" in n else t for n, t in box_head.items()}
            last = {n: t[:, :32] for n, t in state.items() if "box_predictor" in n and t.ndim == 2}
            return {name: torch.ones(tensor.shape) for name, tensor in {**narrow, **last}.items()}
        case "detectron2":
            return to_detectron2(slim("detectron2_msra", 18)) | {"pixel_mean": torch.zeros(3)}
        case "mmdetection":
            return to_mmdetection(slim("mmdet_pytorch", 18)) | {"data_preprocessor.std": torch.ones(3, 1, 1)}
        case "mmdetection 1.x":
            return to_mmdetection_1x(slim("mmdet_pytorch", 18))
    return to_matterport(slim("matterport", 50))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def tensors(family: str) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in written(family).items()}


class File:
    """A file whose content changes from one reading to the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = Source(PATH, {})
        monkeypatch.setattr("maskrcnn.checkpoints.weights.weights_path", lambda _: PATH)
        monkeypatch.setattr(importing, "read_source", lambda _: self.source)

    def loads(self, tensors: dict[str, Tensor]) -> str | None:
        """None, or the sentence about it."""
        self.source = replace(self.source, tensors=tensors)
        try:
            load_weights(PATH)
        except ValueError as error:
            return str(error)
        return None


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> File:
    return File(monkeypatch)


def module_of(family: str) -> ModuleType:
    return FAMILIES[family]


def test_the_entries_that_a_family_is_known_by_are_those_that_are_needed(family: str) -> None:
    ours = {ours: module_of(family).our_name(theirs) for ours, theirs in module_of(family).ENTRIES.items()}
    assert ours == {name: name for name in NEEDED}


def sample(family: str, tensors: dict[str, Tensor]) -> list[str]:
    """Every kind of entry, and those by which the network is known."""
    entries = [name for name in tensors if module_of(family).our_name(name) in NEEDED]
    kinds = {(name.partition(".")[0], name.rpartition(".")[2], t.ndim): name for name, t in tensors.items()}
    heads = ("logits", "deltas", "delta", "pred", "fc_reg", "rpn_class_raw", "rpn_reg", "mrcnn_bbox_fc")
    outputs = [name for name in tensors if any(head in name for head in heads)]
    others = [*kinds.values(), *outputs]
    return list(dict.fromkeys([*entries, *others[:: max(1, len(others) // 6)]]))


def test_an_entry_that_lacks_or_has_another_shape_gives_a_sentence(
    family: str, tensors: dict[str, Tensor], file: File
) -> None:
    assert file.loads(tensors) is None
    damaged = (torch.tensor(1.0), torch.ones(7), torch.ones(0))
    for i, name in enumerate(sample(family, tensors)):
        less = {n: t for n, t in tensors.items() if n != name}
        for what in (None, damaged[i % 3], damaged[(i + 1) % 3]):
            sentence = file.loads(less if what is None else {**less, name: what})
            if sentence is None:  # not an entry of the network
                assert module_of(family).our_name(name) == name
                continue
            first, *table = sentence.splitlines()
            assert first.startswith(f"{PATH}: ")
            assert name.rpartition("/")[0] in first or module_of(family).our_name(name) in "".join(table), name


def test_damaged_anchors_are_named(file: File) -> None:
    for damaged in (torch.tensor(1.0), torch.ones(4), torch.ones(0, 4), torch.zeros(3, 4)):
        name = "proposal_generator.anchor_generator.cell_anchors.2"
        sentence = file.loads(written("detectron2") | ANCHORS | {name: damaged})
        assert sentence == f"{PATH}: {name}: expected a box in each of its rows, got the shape {tuple(damaged.shape)}"
    sentence = file.loads(written("matterport") | {"rpn_class_raw/bias": torch.ones(0)})
    assert sentence == f"{PATH}: rpn_class_raw/bias is empty, expected two numbers for each anchor at a place"


def test_a_bias_that_goes_into_a_norm_may_not_lack(file: File) -> None:
    state = written("matterport")
    del state["mrcnn_mask_conv2/bias"]
    assert "missing: mask_head.convs.1.norm.running_mean" in (file.loads(state) or "").splitlines()


def test_a_faster_rcnn_is_called_so(family: str, tensors: dict[str, Tensor], file: File) -> None:
    boxes = {n: t for n, t in tensors.items() if not module_of(family).our_name(n).startswith("mask_head.")}
    example = module_of(family).ENTRIES["mask_head.convs.0.conv.weight"]
    assert file.loads(boxes) == (
        f"{PATH}: this is a Faster R-CNN: it has no mask head (such as {example}); partial loading takes what there "
        "is, the rest is random"
    )
    assert importing.import_checkpoint(PATH, is_partial=True).settings.num_classes == 3


def test_numbers_that_no_network_has_are_refused(family: str, tensors: dict[str, Tensor], file: File) -> None:
    name = module_of(family).ENTRIES["box_head.class_logits.weight"]
    name = name if name in tensors else name.removeprefix("roi_head.")  # as 1.x spells it
    damaged = tensors[name].clone()
    damaged[0, 3], damaged[1, 0] = float("nan"), float("-inf")
    assert file.loads({**tensors, name: damaged}) == (
        f"{PATH}: {name} holds NaN or infinity in 2 of {damaged.numel()} places, so the weights are of no use"
    )
    name = next(name for name in tensors if name.endswith(("running_var", "moving_variance")))
    sentence = file.loads({**tensors, name: tensors[name] - 2})
    assert sentence is not None
    assert sentence.startswith(f"{PATH}: {name} holds a variance of -")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_damage_is_found_in_every_type(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert damage_in({"a": tensor.to(dtype), "b.running_var": torch.zeros(2), "n": torch.tensor(-1)}) is None
    assert damage_in({"none": torch.zeros(0, 3).to(dtype)}) is None
    tensor[1, 0] = float("nan")
    sentence = damage_in({"a": tensor.to(dtype)})
    assert sentence is not None
    assert sentence.startswith("a holds NaN or infinity in 1 of 4 places")


def test_a_checkpoint_of_ours_is_looked_at_too(tmp_path: Path) -> None:
    tensors = dict(tiny_model().state_dict())
    tensors["rpn.objectness.bias"] = torch.full((3,), float("inf"))
    save_checkpoint(tmp_path / "a.safetensors", tensors, tiny_settings(), {})
    with pytest.raises(ValueError, match=r"a\.safetensors: rpn\.objectness\.bias holds NaN or infinity in 3 of 3"):
        load_checkpoint(tmp_path / "a.safetensors")
