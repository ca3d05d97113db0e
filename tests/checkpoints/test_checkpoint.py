"""Weights and their settings in one file: there and back, strictly, and readable errors."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maskrcnn.checkpoints.checkpoint import (
    METADATA_KEY,
    Checkpoint,
    is_own_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.detecting import detect
from tests.tiny import scene, tiny_model, tiny_settings

CARD = {"licence": "CC0", "mask_ap": 0.25, "made": {"by": "a test", "steps": 3}}


def saved(path: Path, model: MaskRCNN, **options) -> Path:
    save_checkpoint(path, model.state_dict(), tiny_settings(), CARD, **options)
    return path


def test_there_and_back(tmp_path: Path):
    model = tiny_model().to(memory_format=torch.channels_last)
    checkpoint = load_checkpoint(saved(tmp_path / "new" / "a.safetensors", model))
    assert checkpoint.settings == tiny_settings()
    assert checkpoint.card == CARD
    assert checkpoint.tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in model.state_dict().items())
    built = checkpoint.build()
    assert not built.training
    image, _ = scene([("disc", 30, 30, 40)])
    ours, theirs = detect(model.eval(), [image])[0], detect(built, [image])[0]
    assert len(ours) > 0
    torch.testing.assert_close(ours.boxes, theirs.boxes, rtol=1e-4, atol=1e-2)
    assert os.listdir(tmp_path / "new") == ["a.safetensors"]


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path: Path):
    model = tiny_model(backbone={"norm": "bn"})
    whole, half = (
        saved(tmp_path / f"{i}.safetensors", model, dtype=dtype)
        for i, dtype in enumerate((torch.float32, torch.float16))
    )
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    tensors = load_checkpoint(half).tensors
    for name, tensor in model.state_dict().items():
        assert tensors[name].dtype == tensor.dtype  # counters stay integers
        torch.testing.assert_close(tensors[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_variances_that_half_precision_cannot_hold_stay_as_they_are(tmp_path: Path, dtype: torch.dtype):
    tensors = dict(tiny_model(backbone={"norm": "bn"}).state_dict())
    name = "backbone.stem.norm.running_var"
    tensors[name] = torch.logspace(-30, 30, 32)  # float16 would make 0 and infinity of them
    save_checkpoint(tmp_path / "half.safetensors", tensors, tiny_settings(), {}, dtype)
    assert torch.equal(load_checkpoint(tmp_path / "half.safetensors").tensors[name], tensors[name])


def test_no_file(tmp_path: Path):
    for absent in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"no weights file {absent}"):
            load_checkpoint(absent)


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", None])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None):
    path = saved(tmp_path / "a.safetensors", tiny_model())
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(ValueError, match=r"a\.safetensors: no checkpoint of maskrcnn, or a damaged one"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "metadata", [None, {"other": "{}"}, {METADATA_KEY: "no json"}, {METADATA_KEY: "[]"}, {METADATA_KEY: "{}"}]
)
def test_a_file_of_another_program_is_named(tmp_path: Path, metadata: dict[str, str] | None):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(ValueError, match=r"a\.safetensors: a safetensors file without maskrcnn's settings"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_settings_of_a_later_version_are_named(tmp_path: Path):
    settings = {**tiny_settings().model_dump(mode="json"), "quantum": True}
    metadata = {METADATA_KEY: json.dumps({"settings": settings, "card": {}})}
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(ValueError, match=r"a\.safetensors: settings: unknown key quantum"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_another_number_of_classes_does_not_build(tmp_path: Path):
    checkpoint = load_checkpoint(saved(tmp_path / "a.safetensors", tiny_model()))
    checkpoint.tensors["mask_head.logits.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"mask_head\.logits\.bias is \(3,\), the model has \(2,\)"):
        checkpoint.build()


class TestCompletion:
    """A file that does not fit as a whole, made whole with random numbers that are known to be random."""

    def incomplete(self) -> Checkpoint:
        tensors = dict(tiny_model().state_dict())
        del tensors["mask_head.logits.weight"]
        tensors |= {"box_head.deltas.bias": torch.zeros(5), "quantum": torch.zeros(1)}
        return Checkpoint(tiny_settings(), tensors, {})

    def test_what_lacks_is_drawn_the_same_way_every_time(self):
        (first, fit), (second, _) = self.incomplete().completed(), self.incomplete().completed()
        assert first.untrained == ("box_head.deltas.bias", "mask_head.logits.weight")
        assert fit.unexpected == ("quantum",)
        assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
        first.build()

    def test_a_whole_one_stays_as_it_is(self):
        checkpoint = Checkpoint(tiny_settings(), dict(tiny_model().state_dict()), {})
        completed, fit = checkpoint.completed()
        assert fit.is_exact
        assert completed.untrained == ()
        assert all(torch.equal(tensor, checkpoint.tensors[name]) for name, tensor in completed.tensors.items())

    def test_the_file_remembers_what_is_random(self, tmp_path: Path):
        whole, _ = self.incomplete().completed()
        save_checkpoint(tmp_path / "a.safetensors", whole.tensors, whole.settings, {}, untrained=whole.untrained)
        assert load_checkpoint(tmp_path / "a.safetensors").untrained == whole.untrained


def test_own_files_are_known_by_their_content(tmp_path: Path):
    own = saved(tmp_path / "own.pth", tiny_model())
    assert is_own_checkpoint(own)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("weights")
    assert not is_own_checkpoint(tmp_path / "other.safetensors")
    assert not is_own_checkpoint(tmp_path / "text.safetensors")


def test_a_flipped_bit_is_refused(tmp_path: Path):
    path = saved(tmp_path / "a.safetensors", tiny_model())
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in (start, start + 101, (start + len(whole)) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1  # the smallest change that there is: mostly an ordinary number remains
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged: its content is not what"):
            load_checkpoint(path)
    other_settings = whole.replace(b'\\"order\\": \\"rgb', b'\\"order\\": \\"bgr')
    assert other_settings != whole
    path.write_bytes(other_settings)
    with pytest.raises(ValueError, match="checksum"):
        load_checkpoint(path)


def test_files_without_a_checksum_load(tmp_path: Path):
    model, settings = tiny_model(), tiny_settings()
    content = {"settings": settings.model_dump(mode="json"), "card": {}}
    save_file(model.state_dict(), tmp_path / "old.safetensors", {"maskrcnn": json.dumps(content)})
    assert load_checkpoint(tmp_path / "old.safetensors").tensors.keys() == model.state_dict().keys()


def test_settings_of_a_giant_take_no_memory(tmp_path: Path):
    settings = tiny_settings().model_dump(mode="json")
    settings["box_head"] |= {"fcs": 32, "fc_channels": 8192}
    content = {"settings": settings, "card": {}}
    save_file(tiny_model().state_dict(), tmp_path / "a.safetensors", {"maskrcnn": json.dumps(content)})
    checkpoint = load_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="do not fit the model"):
        checkpoint.build()
    with pytest.raises(ValueError, match="at most 500000000 are made"):
        checkpoint.completed()


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "null", "[]", '{"settings": [], "card": {}}', '{"settings": {}, "card": {}, "untrained": [1]}'],
)
def test_metadata_that_is_none(tmp_path: Path, text: str):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"maskrcnn": text})
    with pytest.raises(ValueError, match="without maskrcnn's settings"):
        load_checkpoint(tmp_path / "a.safetensors")
