"""What is chosen for a device, what is said about it, and that it changes how a model runs but not what it finds."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.model.layers import FrozenBatchNorm
from maskrcnn.prediction.execution import (
    Execution,
    choose_device,
    choose_execution,
    keep_freed_memory,
    multiplies_bf16,
    release_freed_memory,
    share_freed_memory,
)
from tests.conditioning import condition
from tests.tiny import scene, tiny_model, tiny_settings

IMAGE, _ = scene([("disc", 10, 12, 30), ("square", 50, 40, 28)])
FROZEN = {"backbone": {"norm": "frozen_bn"}, "fpn": {"norm": "none"}}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    model = tiny_model(**FROZEN)
    condition(model, [IMAGE], background_logit=1.0)
    save_checkpoint(tmp_path / "tiny.safetensors", model.state_dict(), tiny_settings(**FROZEN), {})
    return tmp_path / "tiny.safetensors"


def test_says_what_it_chose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("maskrcnn.prediction.execution.multiplies_bf16", lambda: True)
    assert choose_execution("cpu", "auto").description == (
        "cpu, 1 thread, fp32 (bf16 would be faster on this processor)"
    )
    assert choose_execution("cpu", "bf16").description == "cpu, 1 thread, bf16"
    monkeypatch.setattr("maskrcnn.prediction.execution.multiplies_bf16", lambda: False)
    assert choose_execution("cpu", "fp32").description == "cpu, 1 thread, fp32"
    assert Execution(torch.device("cuda"), "bf16").description == "cuda, bf16, CUDA graphs"


@pytest.mark.parametrize("name", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_bf16_is_fast_where_torch_says_the_processor_has_it(name: str, monkeypatch: pytest.MonkeyPatch):
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, check, lambda: False, raising=False)
    assert not multiplies_bf16()
    monkeypatch.setattr(torch.cpu, name, lambda: True)
    assert multiplies_bf16()
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, check)
    assert not multiplies_bf16()  # a torch without these names costs only the hint


def test_a_predictor_has_no_norms_left_and_finds_what_the_model_finds(weights: Path):
    predictor = maskrcnn.Predictor(weights, device="cpu")
    assert not any(isinstance(module, FrozenBatchNorm) for module in predictor.model.modules())
    plain = maskrcnn.Predictor(weights, device="cpu")
    plain.model = load_weights(weights).build()
    found, expected = predictor(IMAGE), plain(IMAGE)
    assert len(found) > 5
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


def test_the_weights_are_in_the_precision(weights: Path):
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        predictor = maskrcnn.Predictor(weights, device="cpu", precision=precision)  # type: ignore[arg-type]
        assert {parameter.dtype for parameter in predictor.model.parameters()} == {dtype}
        assert len(predictor(IMAGE)) > 5


def test_the_process_keeps_memory_only_where_it_was_asked_to(weights: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr("maskrcnn.prediction.predictor.keep_freed_memory", lambda: asked.append(1))
    maskrcnn.Predictor(weights, device="cpu")
    assert asked == []
    maskrcnn.Predictor(weights, device="cpu", keep_memory=True)
    assert asked == [1]


KEPT = """
import sys, torch
from maskrcnn.prediction.execution import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
torch.ones(1 << 20)
before = resident()
tensor = torch.ones(64 << 20)  # 256 MB
del tensor
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_stays_with_the_process_and_without_the_setting_it_goes():
    def left(word: str) -> int:
        return int(subprocess.run([sys.executable, "-c", KEPT, word], capture_output=True, check=True).stdout)

    assert left("plain") < 50e6
    assert left("keep") > 200e6


HOLES = """
import numpy
from maskrcnn.prediction.execution import release_freed_memory
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
pairs = [(numpy.ones(60_000, numpy.uint8), numpy.ones(2000, numpy.uint8)) for _ in range(3000)]
kept = [small for _, small in pairs]
del pairs  # 180 MB, with something that lives on after each hole
left = resident() - before
release_freed_memory()
print(left, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_holes_between_what_lives_on_go_back_to_the_system():
    out = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, check=True).stdout
    left, after = map(int, out.split())
    assert left > 150e6
    assert after < 50e6


def test_where_the_c_library_is_another_nothing_is_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
    assert share_freed_memory() is False
    release_freed_memory()


def test_a_device_may_be_a_name_a_number_or_torchs_own(monkeypatch: pytest.MonkeyPatch):
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == choose_device("cpu:0") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (
        choose_device(1) == choose_device("cuda:1") == choose_device(torch.device("cuda", 1)) == torch.device("cuda:1")
    )
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    with pytest.raises(ValueError, match="device cuda:2: this machine has 2 CUDA devices"):
        choose_device(2)
    for wrong in (True, -1, "gpu", "cuda:", "cuda:x", "cpu:1", "mps:1", "xpu:", torch.device("meta"), 1.0, None):
        with pytest.raises(
            ValueError,
            match="device: expected auto, cpu, cuda, cuda:N, the N of a CUDA device, mps, xpu or xpu:N, got ",
        ):
            choose_device(wrong)  # type: ignore[arg-type]


ARENAS = """
import ctypes, sys, threading
from maskrcnn.prediction.execution import share_freed_memory
if sys.argv[1] == "shared":
    assert share_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
thread = threading.Thread(target=lambda: libc.malloc(1000))
thread.start()
thread.join()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize("shared", [True, False])
def test_threads_take_memory_where_the_main_one_does(shared: bool):
    command = [sys.executable, "-c", ARENAS, "shared" if shared else "own"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert ("Arena 1:" in done.stderr) is not shared


def test_devices_of_other_makes_are_taken_where_torch_has_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    for name, kind in (("mps", "MPS"), ("xpu", "XPU"), ("xpu:1", "XPU")):
        with pytest.raises(ValueError, match=f"device {name}: this machine has no {kind} devices"):
            choose_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 1)
    assert choose_device("auto").type != "mps"  # never chosen unasked
    assert choose_device("mps") == choose_device(torch.device("mps")) == torch.device("mps")
    assert choose_device("xpu") == torch.device("xpu")
    assert choose_device("xpu:0") == torch.device("xpu:0")
    with pytest.raises(ValueError, match="device xpu:1: this machine has 1 XPU device"):
        choose_device("xpu:1")
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    assert choose_execution("mps", "auto").description == "mps, fp32"
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK")
    assert choose_execution("mps", "auto").description == (
        "mps, fp32, PYTORCH_ENABLE_MPS_FALLBACK=1 lets the CPU do what torch cannot do there"
    )
    assert choose_execution("xpu", "auto").precision == "fp32"
