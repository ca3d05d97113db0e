"""What is chosen for a device, what is said about it, and that it changes how a model runs but not what it finds."""

from pathlib import Path

import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.model.layers import FrozenBatchNorm
from maskrcnn.prediction.cuda_graphs import MAX_GRAPHS, CapturedDense
from maskrcnn.prediction.execution import Execution, choose_execution, multiplies_bf16, prepare
from maskrcnn.prediction.memory import keep_freed_memory
from tests.conditioning import condition
from tests.conftest import NEEDS_CUDA
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
    assert choose_execution("cpu", "auto", "auto").description == (
        "cpu, 1 thread, fp32 (bf16 would be faster on this processor)"
    )
    assert choose_execution("cpu", "bf16", True).description == "cpu, 1 thread, bf16, compiled"
    monkeypatch.setattr("maskrcnn.prediction.execution.multiplies_bf16", lambda: False)
    assert choose_execution("cpu", "fp32", False).description == "cpu, 1 thread, fp32"
    assert Execution(torch.device("cuda"), "bf16").description == "cuda, bf16, CUDA graphs"


def test_an_unknown_way_to_compile_is_an_error():
    with pytest.raises(ValueError, match="compile: expected True, False or 'auto', got 'max'"):
        choose_execution("cpu", "auto", "max")  # type: ignore[arg-type]


def test_whether_bf16_is_fast_is_a_yes_or_no():
    assert multiplies_bf16() in (True, False)


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


def test_compiling_is_done_where_it_is_asked_for(weights: Path, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    maskrcnn.Predictor(weights, device="cpu")
    assert compiled == []
    predictor = maskrcnn.Predictor(weights, device="cpu", compile=True)
    assert [function.__name__ for function in compiled] == ["dense"]
    assert len(predictor(IMAGE)) > 5


def test_memory_is_kept_or_the_system_has_no_say():
    assert keep_freed_memory() in (True, False)
    assert keep_freed_memory() == keep_freed_memory()


@NEEDS_CUDA
def test_captured_graphs_give_what_the_model_gives():
    model = prepare(tiny_model(**FROZEN), Execution(torch.device("cuda"), "fp32"))
    captured = model.dense
    assert isinstance(captured, CapturedDense)
    with torch.inference_mode():
        for height, width in ((96, 96), (64, 128), (96, 96)):
            pixels = torch.randn(1, 3, height, width, device="cuda").contiguous(memory_format=torch.channels_last)
            graph, plain = captured(pixels), captured.dense(pixels)
            for fast, slow in zip(graph.levels + graph.deltas, plain.levels + plain.deltas, strict=True):
                torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-3)
    assert len(captured.graphs) == 2


@NEEDS_CUDA
def test_old_graphs_are_forgotten():
    model = prepare(tiny_model(**FROZEN), Execution(torch.device("cuda"), "fp32"))
    with torch.inference_mode():
        for i in range(MAX_GRAPHS + 2):
            model.dense(torch.randn(1, 3, 32, 32 * (i + 1), device="cuda"))
    assert isinstance(model.dense, CapturedDense)
    assert len(model.dense.graphs) == MAX_GRAPHS
