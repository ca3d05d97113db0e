"""Files of every family through the public doors: what is said of them, and the same results by every way.

Shown with `pytest -s`: the sentence for each file.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

import maskrcnn
from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.transfer import settings_from, transfer
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.config import Config, model_settings, validate
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.model.build import build_model
from maskrcnn.report.written import write_image
from maskrcnn.structures.instances import Instances
from tests.conditioning import condition
from tests.oracles.detectron2_layout import to_detectron2, write_pkl
from tests.oracles.detectron2_layout import write_pth as write_detectron2_pth
from tests.oracles.matterport_layout import to_matterport, write_h5
from tests.oracles.mmdetection_layout import to_mmdetection, to_mmdetection_1x
from tests.oracles.mmdetection_layout import write_pth as write_mmdetection_pth

SLIM: dict[str, dict[str, Any]] = {
    "backbone": {"depth": 50, "stem_channels": 16},
    "fpn": {"channels": 32},
    "box_head": {"fc_channels": 64, "conv_channels": 32},
    "mask_head": {"channels": 32},
}
CAFFE = "model = dict(backbone=dict(depth=50, norm_cfg=dict(type='BN'), style='caffe'))\n" + (
    "img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)\n"
)


@dataclass(frozen=True)
class Case:
    """A file of a family, how it is written, and what must be said of it."""

    preset: str
    file: str
    write: Callable[[Path, dict[str, Tensor]], None]
    sentence: str
    num_classes: int = 3
    beside: dict[str, str] = field(default_factory=dict)


D2_YAML = yaml.safe_dump(
    {"INPUT": {"FORMAT": "RGB"}, "MODEL": {"RESNETS": {"STRIDE_IN_1X1": False}, "PIXEL_STD": [58.4, 57.1, 57.4]}}
)
CASES = {
    "detectron2 pkl": Case(
        "detectron2_msra",
        "model_final.pkl",
        lambda path, state: write_pkl(path, to_detectron2(state)),
        "detectron2 R50-FPN, 3 classes; assumed: ",
    ),
    "detectron2 pth, config beside it": Case(
        "detectron2_msra",
        "model_final.pth",
        lambda path, state: write_detectron2_pth(path, to_detectron2(state)),
        "detectron2 R50-FPN, 3 classes, RGB, divided by a std, stride in 3x3: from the config config.yaml beside it",
        beside={"config.yaml": D2_YAML},
    ),
    "detectron2 LSJ": Case(
        "detectron2_lsj",
        "lsj.pkl",
        lambda path, state: write_pkl(path, to_detectron2(state)),
        "detectron2 R50-FPN, 80 classes; assumed: ",
        num_classes=80,
    ),
    "mmdetection 2.x": Case(
        "mmdet_pytorch",
        "epoch_12.pth",
        lambda path, state: write_mmdetection_pth(path, to_mmdetection(state), CLASSES=("cat", "dog", "eel")),
        "mmdetection R50-FPN, 3 classes",
    ),
    "mmdetection 2.x, caffe by the config inside": Case(
        "mmdet_caffe",
        "latest.pth",
        lambda path, state: write_mmdetection_pth(path, to_mmdetection(state), config=CAFFE),
        "mmdetection R50-FPN, 3 classes, BGR, stride in 1x1",
    ),
    "mmdetection 1.x": Case(
        "mmdet_pytorch",
        "old.pth",
        lambda path, state: write_mmdetection_pth(path, to_mmdetection_1x(state)),
        "mmdetection 1.x R50-FPN, 3 classes",
    ),
    "matterport": Case(
        "matterport",
        "mask_rcnn_shapes_0040.h5",
        lambda path, state: write_h5(path, to_matterport(state)),
        "matterport R50-FPN, 3 classes",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "matterport":
        pytest.importorskip("h5py")
    return CASES[request.param]


@pytest.fixture(scope="module")
def file(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    names = [f"class {i + 1}" for i in range(case.num_classes)]
    model = build_model(model_settings(case.preset, "test", class_names=names, **SLIM))
    condition(model, [draw_sample((160, 200))[0]])
    path = tmp_path_factory.mktemp("family") / case.file
    case.write(path, model.state_dict())
    for name, text in case.beside.items():
        (path.parent / name).write_text(text)
    return path


def test_what_it_is_is_told_from_its_content(case: Case, file: Path, tmp_path: Path) -> None:
    imported = import_checkpoint(file)
    print(f"\n{file.name}: {imported.sentence}")
    assert imported.sentence.startswith(case.sentence)
    assert imported.settings.family == case.preset
    renamed = tmp_path / "weights"  # a name that says nothing
    renamed.write_bytes(file.read_bytes())
    for name, text in case.beside.items():
        (tmp_path / name).write_text(text)
    assert import_checkpoint(renamed).settings == imported.settings


def results(weights: Path, preset: str | None = None) -> Instances:
    predictor = maskrcnn.Predictor(weights, score=0.05, device="cpu", resize=200, preset=preset)
    return predictor(draw_sample((150, 210), seed=3)[0])


def test_every_way_gives_the_same_results(case: Case, file: Path, tmp_path: Path) -> None:
    expected = results(file)
    assert len(expected) > 10
    for target in ("one", "two"):
        assert run_tool("convert_weights", [str(file), str(tmp_path / f"{target}.safetensors")]) == 0
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    copy = tmp_path / "copy.safetensors"  # the bare state dict, as people exchange it
    source = read_source(file)
    save_file({name: tensor.contiguous() for name, tensor in source.tensors.items()}, copy)
    for name, text in case.beside.items():
        (tmp_path / name).write_text(text)
    for path in (tmp_path / "one.safetensors", copy):
        found = results(path, case.preset if path == copy else None)
        for ours, theirs in ((found.boxes, expected.boxes), (found.scores, expected.scores)):
            assert torch.equal(ours, theirs)
        assert torch.equal(found.mask_probs, expected.mask_probs)


def test_infer_takes_the_file_as_it_is(case: Case, file: Path, tmp_path: Path, capsys: Any) -> None:
    write_image(tmp_path / "a.png", draw_sample((100, 120))[0])
    arguments = [str(tmp_path / "a.png"), "--weights", str(file), "--out", str(tmp_path), "--device", "cpu"]
    assert run_tool("infer", [*arguments, "--resize", "200"]) == 0
    assert capsys.readouterr().out.startswith(f"{file.name}: {case.sentence}")


def test_the_user_can_say_what_the_file_does_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(model_settings("mmdet_pytorch", "test", class_names=["a", "b"], **SLIM))
    write_mmdetection_pth(tmp_path / "x.pth", to_mmdetection(model.state_dict()))
    assert import_checkpoint(tmp_path / "x.pth").settings.pixels.order == "rgb"
    told = import_checkpoint(tmp_path / "x.pth", preset="mmdet_caffe", class_names=("cat", "dog"))
    assert told.settings.pixels.order == "bgr"
    assert told.settings.backbone.stride_in_1x1
    assert told.settings.class_names == ("cat", "dog")
    with pytest.raises(ValueError, match=r"x\.pth"):
        import_checkpoint(tmp_path / "x.pth", preset="matterport")
    with pytest.raises(ValueError, match=r"unknown preset 'mmdet'; did you mean mmdet_\w+\?; known: "):
        load_weights(tmp_path / "x.pth", preset="mmdet")


def test_what_was_taken_of_several_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = to_mmdetection(
        build_model(model_settings("mmdet_pytorch", "test", class_names=["a", "b"], **SLIM)).state_dict()
    )
    average = {f"module.{name}": tensor + 1 for name, tensor in state.items()} | {"n_averaged": torch.tensor(3)}
    torch.save({"model": state, "model_ema": average}, tmp_path / "both.pth")
    both = import_checkpoint(tmp_path / "both.pth")
    assert "; assumed: the weights under model, not those under model_ema, RGB, stride in 3x3, " in both.sentence
    torch.save(average, tmp_path / "average.pth")
    bias = "box_head.class_logits.bias"
    assert torch.equal(import_checkpoint(tmp_path / "average.pth").tensors[bias], both.tensors[bias] + 1)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a", "", "b"), "a class without a name: got 'a', '', 'b'"),
        (("a", "b", "a"), "two classes of the name 'a': got 'a', 'b', 'a'"),
        (("a", "b", "c"), "2 classes, got 3 names"),
    ],
)
def test_class_names_that_are_none_are_refused(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    model = build_model(model_settings("mmdet_pytorch", "test", class_names=["a", "b"], **SLIM))
    write_mmdetection_pth(tmp_path / "x.pth", to_mmdetection(model.state_dict()))
    with pytest.raises(ValueError, match=rf"x\.pth: {sentence}"):
        import_checkpoint(tmp_path / "x.pth", class_names=names)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a", "b", "c", "d"), "got 4 tensors named a, b, c, ..."),
        ((), "holds no named tensors"),
        (("backbone.stem.conv.weight",), "the state of a training run of this package; for use take best"),
    ],
)
def test_other_networks_are_named(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=rf"x\.pth.*{sentence}"):
        import_checkpoint(tmp_path / "x.pth")


def test_fine_tuning_starts_from_every_family(case: Case, file: Path) -> None:
    source = load_weights(file)
    kept = source.settings.class_names[1]
    model_class_names = {"class_names": ("new", kept)}
    config, _ = settings_from(validate(Config, {}, "test"), source)
    settings = config.model.model_copy(update=model_class_names)
    done = transfer(build_model(settings), settings, source)
    assert done.kept_classes == (kept,)
    assert {name.rpartition(".")[0] for name in done.fitted} == {
        "box_head.class_logits",
        "box_head.deltas",
        "mask_head.logits",
    }
    assert done.reinitialised == ()
    assert done.unused == ()
