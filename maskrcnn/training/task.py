"""What a run learns. The trainer asks its task for all that is not the same for every kind of network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from maskrcnn.config import Config
from maskrcnn.config.base import Settings
from maskrcnn.data.loading import ImageDataset
from maskrcnn.structures.image_batch import ImageBatch, Size
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.targets import Targets

Summary = dict[str, float | None]


class SeenSize(Protocol):
    """The size at which a network sees a picture, and how pixels get there."""

    @property
    def mode(self) -> str: ...
    def output_size(self, image_size: Size, /) -> Size: ...
    def pixels(self, image: Any, size: Size, /) -> Any: ...


class Learner(Protocol):
    """A network (an `nn.Module`) that can be trained: `MaskRCNN`, `SemanticNetwork`."""

    @property
    def resize(self) -> SeenSize: ...
    @property
    def normalise(self) -> Callable[[Sequence[Tensor], Sequence[Size], torch.device], ImageBatch]: ...
    @property
    def loss_names(self) -> tuple[str, ...]: ...
    @property
    def device(self) -> torch.device: ...
    def losses(
        self,
        images: ImageBatch,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Losses: ...


@dataclass(frozen=True)
class Judgement:
    """What an evaluation found."""

    summary: Summary
    """Scores, and the losses as val_loss, val_class, ...; in every process."""
    evaluation: Any = None
    """An `Evaluation` or a `SemanticEvaluation`, in the first process."""
    results: Any = None
    """What the pictures are drawn from, in the first process."""
    line: str = ""
    """The most useful figures."""


class Judge(Protocol):
    """A val set and what a run does with it; see `Validation`."""

    @property
    def num_images(self) -> int: ...
    def judge(self, model: Any) -> Judgement: ...
    def draw(self, judged: Judgement, step: int) -> None: ...
    def write_report(self, judged: Judgement, step: int) -> None: ...


class Task(Protocol):
    """One for each kind of network."""

    @property
    def config(self) -> Config:
        """With the classes of the data, and nothing left open."""
        ...

    @property
    def train_data(self) -> ImageDataset: ...

    @property
    def repeats(self) -> Any:
        """How often each image is seen in an epoch on average, (I,), or None."""
        ...

    @property
    def validation(self) -> Judge | None: ...

    @property
    def settings(self) -> Settings:
        """Of the network."""
        ...

    def settings_in(self, saved: Mapping[str, Any], source: str) -> Settings:
        """Those in a configuration that an earlier run saved."""
        ...

    def build(self) -> Any:
        """A `Learner` with fresh random weights, in training mode, on the CPU."""
        ...

    def start(self, model: Any, init: Any) -> Any:
        """Load what fits of the weights to start from, and freeze what is not trained; what fitted has a `table()`."""
        ...

    def export(self, path: Path, tensors: Mapping[str, Tensor], card: dict[str, Any], judged: Judgement | None) -> None:
        """Write weights for use; `judged` where their recommendations are to follow that evaluation."""
        ...
