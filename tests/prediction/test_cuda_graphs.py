"""Which shapes are captured, replayed and forgotten, with a stand-in for CUDA; and on CUDA, what a graph gives."""

from collections.abc import Callable, Sequence
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from maskrcnn.model.mask_rcnn import Dense
from maskrcnn.prediction.cuda_graphs import Captured, CapturedDense
from maskrcnn.prediction.execution import Execution, prepare
from tests.conftest import NEEDS_CUDA
from tests.tiny import tiny_model

FROZEN = {"backbone": {"norm": "frozen_bn"}, "fpn": {"norm": "none"}}


def halves(pixels: Tensor) -> Dense:
    return Dense([pixels / 2], [], [])


class Recorder:
    """Captures without CUDA: a replay computes anew into the same output. Remembers the widths that were captured."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def __call__(self, dense: Callable[[Tensor], Dense], pixels: Tensor) -> Captured:
        self.widths.append(pixels.shape[-1])
        static, written = pixels.clone(), dense(pixels)

        def replay() -> None:
            written.levels[0].copy_(dense(static).levels[0])

        return Captured(replay, static, written)


def of_width(width: int, value: float = 1.0) -> Tensor:
    return torch.full((1, 3, 1, width), value)  # 12 bytes for each pixel, read and written: 24 in all


def run(captured: CapturedDense, widths: Sequence[int]) -> None:
    for i, width in enumerate(widths):
        pixels = of_width(width, float(i))
        assert torch.equal(captured(pixels).levels[0], pixels / 2)  # right whether replayed or not


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_a_shape_is_captured_when_it_comes_the_second_time_and_then_replayed(recorder: Recorder) -> None:
    captured = CapturedDense(halves, recorder)
    run(captured, [8, 4])
    assert recorder.widths == []
    run(captured, [8, 8, 8, 4, 8, 4])
    assert recorder.widths == [8, 4]


def test_memory_is_counted_in_what_is_read_and_written() -> None:
    dense = Dense([torch.zeros(2, 3)], [torch.zeros(4, dtype=torch.bfloat16)], [torch.zeros(1)])
    assert Captured(lambda: None, torch.zeros(5), dense).num_bytes == 4 * 6 + 2 * 4 + 4 + 4 * 5
    assert [field.name for field in fields(Dense)] == ["levels", "objectness_logits", "deltas"]  # all are counted


def test_the_least_recently_used_is_forgotten_when_memory_is_short(recorder: Recorder) -> None:
    captured = CapturedDense(halves, recorder, max_bytes=24 * 12)
    run(captured, [4, 4, 8, 8])  # together as much as there may be
    assert [shape[-1] for shape in captured.graphs] == [4, 8]
    run(captured, [4, 1, 1])  # now 8 is the oldest
    assert [shape[-1] for shape in captured.graphs] == [4, 1]


def test_one_that_is_larger_than_the_limit_is_kept_alone(recorder: Recorder) -> None:
    captured = CapturedDense(halves, recorder, max_bytes=24 * 12)
    run(captured, [4, 4, 100, 100, 100])
    assert recorder.widths == [4, 100]
    assert [shape[-1] for shape in captured.graphs] == [100]


def test_more_shapes_than_fit_are_not_captured_over_and_over(recorder: Recorder) -> None:
    captured = CapturedDense(halves, recorder, max_bytes=24 * 17)
    run(captured, [8, 7, 9] * 64)  # two of the three fit
    assert len(recorder.widths) < 20  # each at its 2nd, then after 4, 8, 16, ... more
    recorder.widths.clear()
    run(captured, [5] * 10)  # a new shape is still captured at once
    assert recorder.widths == [5]


@NEEDS_CUDA
def test_graphs_give_what_the_model_gives():
    model = prepare(tiny_model(**FROZEN), Execution(torch.device("cuda"), "fp32"))
    captured = model.dense
    assert isinstance(captured, CapturedDense)
    with torch.inference_mode():
        for height, width in ((96, 96), (64, 128), (96, 96), (64, 128), (96, 96)):
            pixels = torch.randn(1, 3, height, width, device="cuda").contiguous(memory_format=torch.channels_last)
            graph, plain = captured(pixels), captured.dense(pixels)
            for fast, slow in zip(graph.levels + graph.deltas, plain.levels + plain.deltas, strict=True):
                torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-3)
    assert len(captured.graphs) == 2
