"""One optimiser step, over the parts of a batch and over all processes."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn.config import TrainSettings
from maskrcnn.data.loading import Batch
from maskrcnn.distributed import gather, sum_over_ranks, world_size
from maskrcnn.model.mask_rcnn import Losses, MaskRCNN
from maskrcnn.prediction.detecting import autocast


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number."""


class TrainingStep:
    """Gradients of a batch, such that any number of processes gives what one would give for the whole batch.

    Each loss is a mean over things of which a process may have more than another (arXiv:1703.06870 samples 512 regions
    or fewer), so the means are weighed by their numbers; and what is drawn at random about an image depends on the
    image alone.
    """

    def __init__(
        self, model: MaskRCNN, settings: TrainSettings, device: torch.device, *, is_alone: bool = False
    ) -> None:
        """`is_alone`: what the other processes do has no part in it."""
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
        parts = batch.split(self.settings.accumulate)
        names: list[str] = []
        values: list[Tensor] = []
        for i, part in enumerate(parts):
            with self._without_exchange(is_last=i == len(parts) - 1):
                losses = self._losses(part)
                weighted = torch.stack(list(losses.means.values())) * self._weights(losses)
                self.scaler.scale(weighted.sum() / len(parts)).backward()
            names = list(losses.means)
            values.append(weighted.detach())
        # Looked at only here, when a GPU has all of the step before it, but before the weights change.
        row = dict(zip(names, self._mean(torch.stack(values).mean(dim=0)).tolist(), strict=True))
        self._check(row, batch, step)
        if self.settings.clip_gradient_norm:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_gradient_norm)
        self.scaler.step(optimizer)
        self.scaler.update()
        return {"total": sum(row.values()), **row}

    def _losses(self, part: Batch) -> Losses:
        sizes = [(image.shape[-2], image.shape[-1]) for image in part.images]
        images = self.model.normalise(part.images, sizes, self.device)
        targets = [target.to(self.device) for target in part.targets]
        generators = [torch.Generator().manual_seed(seed) for seed in part.seeds]
        with autocast(self.device, self.settings.precision):
            return self.network(images, targets, generators)

    def _weights(self, losses: Losses) -> Tensor | float:
        """Number of things in each mean over the average process's; 1 where no process has any."""
        if self.num_processes == 1:
            return 1.0
        own = torch.tensor(list(losses.counts.values()), dtype=torch.float32, device=self.device)
        everyone = sum_over_ranks(own)
        return torch.where(everyone > 0, own * self.num_processes / everyone.clamp(min=1), torch.ones_like(own))

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


class _LossNetwork(nn.Module):
    """The losses as a module's forward, which is what data-parallel training hooks into."""

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: object) -> Losses:
        return self.model.losses(*args)  # pyright: ignore[reportArgumentType]
