import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from maskrcnn.checkpoints.families.torchvision import conventions, convert, is_family
from maskrcnn.checkpoints.source import Conventions, Source
from maskrcnn.checkpoints.structure import missing_parts, structure_of
from maskrcnn.config import model_settings
from maskrcnn.model.build import build_model
from tests.oracles import torchvision_models

NUM_PARAMETERS = {"resnet50": 44_401_393, "resnet101": 63_341_297, "resnet50_v2": 46_359_409}  # published, or computed
DEPTHS = {"resnet18": 18, "resnet50": 50, "resnet101": 101, "resnet50_v2": 50}


def state_of(body: str, num_classes: int = 91) -> dict[str, Tensor]:
    with torch.device("meta"):
        return torchvision_models.build(body, num_classes=num_classes).state_dict()


def in_old_spelling(name: str) -> str:
    """As in the published v1 file, of before torchvision 0.13."""
    name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name)
    name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    return re.sub(r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name)


@pytest.mark.parametrize("body", DEPTHS)
def test_names_and_shapes_are_our_models(body: str) -> None:
    converted = convert(state_of(body))
    settings = model_settings(
        "torchvision_v2" if body == "resnet50_v2" else "torchvision_v1",
        backbone={"depth": DEPTHS[body]},
        class_names=[str(i) for i in range(90)],
    )
    with torch.device("meta"):
        own = build_model(settings).state_dict()
    assert {name: tensor.shape for name, tensor in converted.items()} == {n: t.shape for n, t in own.items()}


@pytest.mark.parametrize("body", NUM_PARAMETERS)
def test_the_oracle_has_the_published_number_of_parameters(body: str) -> None:
    with torch.device("meta"):
        model = torchvision_models.build(body)
    assert sum(p.numel() for p in model.parameters()) == NUM_PARAMETERS[body]


def test_old_spelling_gives_the_same() -> None:
    state = state_of("resnet50")
    old = {in_old_spelling(name): tensor for name, tensor in state.items()}
    assert len(set(old) - set(state)) == 2 * (4 + 4 + 1 + 4)  # weight and bias of FPN, RPN and mask head
    assert {n: t.shape for n, t in convert(old).items()} == {n: t.shape for n, t in convert(state).items()}


def test_background_moves_last_or_goes() -> None:
    # Background and two classes; the value of a row says whose it is.
    rows = torch.tensor([0.0, 1.0, 2.0])
    converted = convert(
        {
            "roi_heads.box_predictor.cls_score.bias": rows,
            "roi_heads.box_predictor.bbox_pred.bias": rows.repeat_interleave(4),
            "roi_heads.mask_predictor.mask_fcn_logits.weight": rows[:, None],
            "rpn.head.cls_logits.bias": rows,  # three ratios, no classes
        }
    )
    assert converted["box_head.class_logits.bias"].tolist() == [1, 2, 0]
    assert converted["box_head.deltas.bias"].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert converted["mask_head.logits.weight"].tolist() == [[1], [2]]
    assert converted["rpn.objectness.bias"].tolist() == [0, 1, 2]


def test_an_unknown_entry_keeps_its_name() -> None:
    assert list(convert({"backbone.body.gate.weight": torch.zeros(1)})) == ["backbone.body.gate.weight"]


def test_a_resnet_alone_is_a_backbone() -> None:
    with torch.device("meta"):
        state = torchvision.models.resnet34(weights=None).state_dict()
    assert is_family(state)
    converted = convert(state)
    assert all(name.startswith("backbone.") for name in converted)
    with torch.device("meta"):
        own = build_model(model_settings("torchvision_v1", backbone={"depth": 34, "norm": "bn"})).backbone.state_dict()
    assert {name.removeprefix("backbone."): t.shape for name, t in converted.items()} == {
        name: t.shape for name, t in own.items()
    }


def test_another_body_is_no_resnet() -> None:
    with torch.device("meta"):
        body = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)
        state = MaskRCNN(body, num_classes=4).state_dict()
    assert is_family(state)
    assert missing_parts(convert(state)) == ["backbone"]


def told(body: str, num_classes: int = 91, preset: str | None = None) -> Conventions:
    return conventions_of(state_of(body, num_classes), preset)


def conventions_of(state: dict[str, Tensor], preset: str | None = None) -> Conventions:
    converted = convert(state)
    num_classes = converted["box_head.class_logits.weight"].shape[0] - 1
    return conventions(Source(Path("x.pth"), state), num_classes, structure_of(converted), preset)


def test_the_norm_eps_is_that_of_who_made_the_file() -> None:
    # torchvision sets it to 0 for its published v1 file alone, whose names are of before 0.13.
    published = {in_old_spelling(name): tensor for name, tensor in state_of("resnet50").items()}
    assert conventions_of(published).differences == {}
    assert "norm eps 0: the spelling of the published file" in conventions_of(published).facts
    sentence = "norm eps 0 as when fine-tuned from the published file (else preset torchvision_own)"
    assert sentence in told("resnet50").assumptions
    few = {in_old_spelling(name): tensor for name, tensor in state_of("resnet50", num_classes=4).items()}
    assert sentence in conventions_of(few).assumptions  # of before 0.13, but it has other classes
    assert told("resnet101").differences == {"backbone": {"norm_eps": 1e-5}}
    with torch.device("meta"):  # no pretrained weights: torchvision then takes trained norms
        fresh = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    assert conventions_of(fresh).differences == {"backbone": {"norm": "bn", "norm_eps": 1e-5}}


def test_a_file_trained_from_an_imagenet_body_has_torchvisions_own_eps() -> None:
    own = told("resnet50", num_classes=4, preset="torchvision_own")
    assert (own.family, own.preset, own.differences) == ("torchvision v1", "torchvision_own", {})
    assert own.facts == ("RGB", "stride in 3x3", "norm eps 1e-5 (preset torchvision_own)")
    assert own.assumptions == ()
    assert model_settings("torchvision_own").backbone.norm_eps == 1e-5
    published = told("resnet50", num_classes=4, preset="torchvision_v1")
    assert published.facts[-1] == "norm eps 0 (preset torchvision_v1)"
    assert published.assumptions == ()


def test_the_version_is_seen_and_can_be_said() -> None:
    assert (told("resnet50").preset, told("resnet50_v2").preset) == ("torchvision_v1", "torchvision_v2")
    assert told("resnet50", preset="torchvision_v2").preset == "torchvision_v2"
    with pytest.raises(
        ValueError, match=r"x\.pth: weights of torchvision, so the preset is torchvision_v1 or torchvision_own or"
    ):
        told("resnet50", preset="matterport")


def test_coco_is_assumed_of_ninety_classes_only() -> None:
    assert told("resnet50").class_names[0] == "person"
    assert "the class names of COCO" in told("resnet50").assumptions
    assert told("resnet50", num_classes=4).class_names == ()


def test_what_only_a_config_says_is_assumed() -> None:
    for body in DEPTHS:
        assert told(body).assumptions[0] == "the usual sizes, anchors and thresholds"
