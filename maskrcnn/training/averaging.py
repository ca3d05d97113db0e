"""A moving average of the weights, which is smoother than the last step's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of a model's float tensors, batch-norm statistics included; integers are copied."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the current weights. Early on the average is shorter, so that it forgets the initial weights."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        current = model.state_dict()
        floats = [name for name, tensor in current.items() if tensor.is_floating_point()]
        averages, values = ([tensors[name] for name in floats] for tensors in (self.tensors, current))
        # A few kernels on CUDA, in place of one for each tensor.
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for name in current.keys() - set(floats):
            self.tensors[name].copy_(current[name])

    def state_dict(self) -> dict[str, object]:
        """All that `load_state_dict` needs."""
        return {"num_updates": self.num_updates, "tensors": self.tensors}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Continue where `state_dict` was taken."""
        num_updates, tensors = state["num_updates"], state["tensors"]
        assert isinstance(num_updates, int)
        assert num_updates >= 0, "the number of updates of the average is below 0"
        assert isinstance(tensors, dict)
        assert tensors.keys() == self.tensors.keys(), "the average is of tensors with other names"
        self.num_updates = num_updates
        for name, tensor in tensors.items():
            assert isinstance(tensor, Tensor)
            self.tensors[name].copy_(tensor)
