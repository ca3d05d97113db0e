"""The dense part of the network as CUDA graphs: one launch in place of hundreds, which a fast GPU waits for."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskrcnn.model.rpn import Dense

WARM_UP_CALLS = 3  # in which libraries choose their algorithms and take their memory, as capturing forbids
SIGHTINGS = 2  # of a shape before it is captured: that takes as long as some ten pictures, wasted on a shape seen once
MAX_GRAPH_BYTES = 2 << 30  # of what graphs read and write: 50 MB each for 800 x 1333 px in half precision


@dataclass(frozen=True)
class Captured:
    """A recorded call."""

    replay: Callable[[], None]
    pixels: Tensor
    """What it reads."""
    dense: Dense
    """What it writes."""

    @property
    def num_bytes(self) -> int:
        """Memory that stays taken for it; what lies between input and output is shared by all graphs."""
        written = [*self.dense.levels, *self.dense.objectness_logits, *self.dense.deltas]
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.pixels, *written))


class CapturedDense:
    """`dense` of padded batches on a CUDA device, replayed as a graph for shapes that come again.

    - A shape is captured when it is seen the second time; before that `dense` itself is called.
    - Graphs together take at most `max_bytes`; beyond that the least recently used are forgotten. Pictures of any
      proportion, padded to multiples of 32, have some 35 shapes at 800 x 1333 px, all of which fit.
    - A shape that was forgotten has to be seen twice as often as the time before until it is captured again, so that
      more shapes than fit, in turn, do not have the same graphs captured over and over.

    Shapes are not rounded up further: more padding would change what is found. The result holds until the next call.
    """

    def __init__(
        self,
        dense: Callable[[Tensor], Dense],
        capture: Callable[[Callable[[Tensor], Dense], Tensor], Captured] | None = None,
        max_bytes: int = MAX_GRAPH_BYTES,
    ) -> None:
        self.dense = dense
        self.capture = capture or GraphCapture()
        self.max_bytes = max_bytes
        self.graphs: OrderedDict[torch.Size, Captured] = OrderedDict()  # the least recently used first
        self._seen = Counter[torch.Size]()  # since the shape was last forgotten
        self._needed: dict[torch.Size, int] = {}

    def __call__(self, pixels: Tensor) -> Dense:
        """What `dense` gives for `pixels` (N, 3, H, W)."""
        shape = pixels.shape
        if shape not in self.graphs:
            self._seen[shape] += 1
            if self._seen[shape] < self._needed.get(shape, SIGHTINGS):
                return self.dense(pixels)
            self.graphs[shape] = self.capture(self.dense, pixels)
            self._forget_the_oldest()
        self.graphs.move_to_end(shape)
        captured = self.graphs[shape]
        captured.pixels.copy_(pixels)
        captured.replay()
        return captured.dense

    def _forget_the_oldest(self) -> None:
        """Down to `max_bytes`, but for the newest, without which there would be none at all."""
        while len(self.graphs) > 1 and sum(graph.num_bytes for graph in self.graphs.values()) > self.max_bytes:
            shape, _ = self.graphs.popitem(last=False)
            self._needed[shape] = 2 * self._needed.get(shape, SIGHTINGS)
            del self._seen[shape]


class GraphCapture:
    """Records calls into CUDA graphs that share one pool of memory, since only one is ever in use."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, dense: Callable[[Tensor], Dense], pixels: Tensor) -> Captured:
        """`dense` of tensors like `pixels`, recorded."""
        static = pixels.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        # Shapes are few and known, so the fastest convolution is worth looking for.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=torch.backends.cudnn.allow_tf32):
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_CALLS):
                    dense(static)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph, pool=self.pool):
                written = dense(static)
        return Captured(graph.replay, static, written)
