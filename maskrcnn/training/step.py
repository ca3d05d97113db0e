"""One optimiser step, over the parts of a batch and over all processes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn.config import TrainSettings
from maskrcnn.data.loading import Batch
from maskrcnn.distributed import gather, sum_over_ranks, world_size
from maskrcnn.prediction.detecting import autocast
from maskrcnn.structures.losses import Losses


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number."""


class TrainingStep:
    """Gradients of a batch, such that any number of parts and processes gives what one would give for the whole batch.

    Each loss is a mean over things of which a part of the batch may have more than another (arXiv:1703.06870 samples
    512 regions or fewer), so every mean is weighed by their number over that of the whole batch. What is drawn at
    random about an image depends on the image alone. (Batch statistics, where norms learn them, are those of a part;
    and images of several sizes are padded to the largest of their part.)

    How many things the whole batch has must be known before the first gradient. Keeping the graphs of all parts until
    then would take the memory that parts are to save; so the parts after the first go through the network twice, first
    without gradients, only to be counted. That costs about a third of a step's time where there are several parts.
    """

    def __init__(self, model: Any, settings: TrainSettings, device: torch.device, *, is_alone: bool = False) -> None:
        """`model` is a `Learner`; `is_alone`: what the other processes do has no part in it."""
        self.model, self.settings, self.device = model, settings, device
        self.num_processes = 1 if is_alone else world_size()
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self.network: nn.Module = _LossNetwork(model)
        if self.num_processes > 1:
            ids = [device] if device.type == "cuda" else None
            self.network = DistributedDataParallel(self.network, device_ids=ids)

    def __call__(self, batch: Batch, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """Change the weights by the gradients of `batch`; the losses of all processes together.

        Raises:
            NonFiniteLossError: names the images of the batch, in every process.
        """
        optimizer.zero_grad(set_to_none=True)
        row = self.gradients(batch)
        self._check(row, batch, step)
        if self.settings.clip_gradient_norm:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_gradient_norm)
        self.scaler.step(optimizer)
        self.scaler.update()
        return {"total": sum(row.values()), **row}

    def gradients(self, batch: Batch) -> dict[str, float]:
        """Add the (scaled) gradients of `batch` to those of the parameters; the losses of all processes together."""
        parts = batch.split(self.settings.accumulate)
        ahead = self._counts_without_gradients(parts[1:])
        names: list[str] = []
        values: list[Tensor] = []
        whole = torch.zeros(())
        for i, part in enumerate(parts):
            with self._without_exchange(is_last=i == len(parts) - 1):
                losses = self._losses(part)
                counts = self._counts(losses)
                if i == 0:
                    whole = sum_over_ranks(counts + ahead) if self.num_processes > 1 else counts + ahead
                # Processes' gradients are averaged, hence their number; a loss of no things is 0 whatever its weight.
                weights = counts * self.num_processes / whole.clamp(min=1)
                weighted = torch.stack(list(losses.means.values())) * weights
                self.scaler.scale(weighted.sum()).backward()
            names = list(losses.means)
            values.append(weighted.detach())
        # Looked at only here, when a GPU has all of the step before it, but before the weights change.
        return dict(zip(names, self._mean(torch.stack(values).sum(dim=0)).tolist(), strict=True))

    def _losses(self, part: Batch) -> Losses:
        sizes = [(image.shape[-2], image.shape[-1]) for image in part.images]
        images = self.model.normalise(part.images, sizes, self.device)
        targets = [target.to(self.device) for target in part.targets]
        generators = [torch.Generator(self.device).manual_seed(seed) for seed in part.seeds]
        with autocast(self.device, self.settings.precision):
            return self.network(images, targets, generators)

    @torch.no_grad()
    def _counts_without_gradients(self, parts: Sequence[Batch]) -> Tensor | float:
        """How many things the losses of `parts` are means over."""
        if not parts:
            return 0.0
        with unchanged_statistics(self.model):
            return torch.stack([self._counts(self._losses(part)) for part in parts]).sum(dim=0)

    def _counts(self, losses: Losses) -> Tensor:
        return torch.tensor(list(losses.counts.values()), dtype=torch.float32, device=self.device)

    def _mean(self, values: Tensor) -> Tensor:
        return sum_over_ranks(values) / self.num_processes if self.num_processes > 1 else values

    def _check(self, row: dict[str, float], batch: Batch, step: int) -> None:
        if all(map(math.isfinite, row.values())):
            return
        named = ", ".join(f"{name} {value:g}" for name, value in row.items())
        everywhere = gather(batch.file_names) if self.num_processes > 1 else [batch.file_names]
        files = [name for names in everywhere for name in names]
        raise NonFiniteLossError(
            f"the loss is not finite at step {step} ({named}); images of the batch: {', '.join(files)}; "
            "a smaller train.learning_rate or train.clip_gradient_norm may help"
        )

    def _without_exchange(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Gradients go to the other processes once, with the last part."""
        if isinstance(self.network, DistributedDataParallel) and not is_last:
            return self.network.no_sync()
        return nullcontext()


@contextmanager
def unchanged_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms forget what they learn about the data while the block runs."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


class _LossNetwork(nn.Module):
    """The losses as a module's forward, which is what data-parallel training hooks into."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: object) -> Losses:
        return self.model.losses(*args)  # pyright: ignore[reportArgumentType]
