"""The dense part of the network as CUDA graphs: one launch in place of hundreds, which a fast GPU waits for."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskrcnn.model.mask_rcnn import Dense

WARM_UP_CALLS = 3  # in which libraries choose their algorithms and take their memory, as capturing forbids
MAX_GRAPHS = 16  # each keeps its feature maps: 50 MB for a picture of 800 x 1333 px in half precision


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    pixels: Tensor  # what the graph reads
    dense: Dense  # what it writes


class CapturedDense:
    """`dense` of padded batches on a CUDA device, captured at the first batch of a shape and replayed for others.

    The result holds until the next call. Shapes that were not seen for long are forgotten.
    """

    def __init__(self, dense: Callable[[Tensor], Dense]) -> None:
        self.dense = dense
        self.graphs: OrderedDict[torch.Size, _Captured] = OrderedDict()
        self.pool = torch.cuda.graph_pool_handle()  # one for all, since only one is ever in use

    def __call__(self, pixels: Tensor) -> Dense:
        """What `dense` gives for `pixels` (N, 3, H, W)."""
        if pixels.shape not in self.graphs:
            while len(self.graphs) >= MAX_GRAPHS:
                self.graphs.popitem(last=False)
            self.graphs[pixels.shape] = self._capture(pixels)
        self.graphs.move_to_end(pixels.shape)
        captured = self.graphs[pixels.shape]
        captured.pixels.copy_(pixels)
        captured.graph.replay()
        return captured.dense

    def _capture(self, pixels: Tensor) -> _Captured:
        static = pixels.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        # Shapes are few and known, so the fastest convolution is worth looking for.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=torch.backends.cudnn.allow_tf32):
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_CALLS):
                    self.dense(static)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph, pool=self.pool):
                dense = self.dense(static)
        return _Captured(graph, static, dense)
