"""The training loop: one run in one folder, which can be killed and resumed at any moment.

A run's folder holds config.yaml (resolved), losses.csv, metrics.csv, curves.png, predictions/ (pictures of val),
tensorboard/, last.pt (everything that --resume needs), best.safetensors and last.safetensors (for use).
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from maskrcnn.config import Config, load_config
from maskrcnn.data.coco import CocoDataset, category_ids_of
from maskrcnn.data.loading import Batch, training_batches
from maskrcnn.engine.augmentation import build_transforms
from maskrcnn.engine.averaging import WeightAverage
from maskrcnn.engine.checkpoint import load_strictly, save_checkpoint
from maskrcnn.engine.detecting import autocast, detect_all, with_low_threshold
from maskrcnn.engine.evaluator import Evaluation, evaluate
from maskrcnn.engine.optimisation import build_optimizer, build_schedule
from maskrcnn.engine.run_records import LossRecord, MetricRecord
from maskrcnn.files import atomic_path
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.report.curves import plot_curves
from maskrcnn.report.draw import figure
from maskrcnn.report.export import write_image
from maskrcnn.structures.instances import Instances

NUM_PICTURES = 4  # val images that are drawn at every evaluation
LOWER_IS_BETTER = ("count_mae",)


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands; with the seed it decides all that follows."""

    step: int = 0
    """Optimiser steps done."""
    best: float | None = None
    """Best value so far of what `best_by` names."""


class Trainer:
    """Trains one model. `run` does all; the parts of its state are saved together and restored together."""

    def __init__(
        self,
        config: Config,
        train: CocoDataset,
        val: CocoDataset | None,
        out: str | Path,
        device: str | torch.device = "cpu",
    ) -> None:
        settings = config.train
        self.out, self.device = Path(out), torch.device(device)
        self.train_data, self.val_data = train, val
        self.val_category_ids = category_ids_of(train.class_names, val) if val is not None else ()
        model_settings = config.model.model_copy(
            update={"class_names": train.class_names, "category_ids": train.category_ids}
        )
        self.config = config.model_copy(update={"model": model_settings})
        torch.manual_seed(settings.seed)
        self.model = build_model(model_settings).to(self.device, memory_format=torch.channels_last)  # pyright: ignore
        self.optimizer = build_optimizer(self.model, settings)
        self.schedule = build_schedule(self.optimizer, settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "fp16")
        self.average = WeightAverage(self.model, settings.average_decay) if settings.average_decay else None
        self.progress = Progress()

    def run(self, stop_at: int | None = None) -> Evaluation | None:
        """Train up to the last step (or `stop_at`); gives the last evaluation on val.

        Raises:
            NonFiniteLossError: names the images of the batch.
            ValueError: all steps are done already, or an image cannot be used.
        """
        settings = self.config.train
        last_step = settings.steps if stop_at is None else min(stop_at, settings.steps)
        if self.progress.step >= settings.steps:
            raise ValueError(f"{self.out}: the run is complete, all {settings.steps} steps are done")
        self.out.mkdir(parents=True, exist_ok=True)
        write_config(self.config, self.out / "config.yaml")
        losses = LossRecord(self.out / "losses.csv", self.progress.step)
        metrics = MetricRecord(self.out / "metrics.csv", self.progress.step)
        board = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.progress.step + 1)
        batches = training_batches(
            self.train_data,
            build_transforms(settings.augment, self.model.resize.output_size),
            settings.batch_size,
            settings.seed,
            self.progress.step,
            last_step - self.progress.step,
            settings.workers,
        )
        bar = tqdm(total=settings.steps, initial=self.progress.step, unit="step", disable=None, dynamic_ncols=True)
        evaluation = None
        self.model.train()
        try:
            for batch in batches:
                started = time.perf_counter()
                row = self._step(batch)
                step = self.progress.step
                row["seconds"] = time.perf_counter() - started
                losses.append(step, row)
                for name, value in row.items():
                    board.add_scalar(f"train/{name}", value, step)
                bar.update()
                bar.set_postfix({name: f"{row[name]:.3f}" for name in ("total", "class", "box", "mask")})
                is_last = step == settings.steps
                if self.val_data is not None and (step % settings.evaluate_every == 0 or is_last):
                    evaluation = self._evaluate(metrics, board)
                if is_last:  # before last.pt, which says that the run is complete
                    self._export("last.safetensors", evaluation)
                if step % settings.checkpoint_every == 0 or step == last_step:
                    if bar.disable:  # no terminal, so a log file is to show how far it is
                        _say(f"step {step} of {settings.steps}: loss {row['total']:.3f}")
                    losses.flush()
                    self.save()
                    plot_curves(losses.path, self.out / "curves.png", metrics.path)
        finally:
            bar.close()
            board.close()
            losses.flush()  # a loss that is not finite is understood by the steps before it
        return evaluation

    def _step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; the losses and the learning rate it used."""
        settings = self.config.train
        sizes = [(image.shape[-2], image.shape[-1]) for image in batch.images]
        images = self.model.normalise(batch.images, sizes, self.device)
        targets = [target.to(self.device) for target in batch.targets]
        with autocast(self.device, settings.precision):
            losses: dict[str, Tensor] = self.model(images, targets)
        total = torch.stack(list(losses.values())).sum()
        values = torch.stack([total, *losses.values()]).tolist()
        row = dict(zip(("total", *losses), values, strict=True))
        if not math.isfinite(row["total"]):
            parts = ", ".join(f"{name} {value:g}" for name, value in row.items())
            raise NonFiniteLossError(
                f"the loss is not finite at step {self.progress.step + 1} ({parts}); images of the batch: "
                f"{', '.join(batch.file_names)}; a smaller train.learning_rate or train.clip_gradient_norm may help"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        if settings.clip_gradient_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_gradient_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        row["lr"] = self.schedule.get_last_lr()[0]
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model)
        self.progress = Progress(self.progress.step + 1, self.progress.best)
        return row

    def _evaluate(self, metrics: MetricRecord, board: SummaryWriter) -> Evaluation:
        """Judge the (averaged) weights on val; keep them if they are the best so far."""
        assert self.val_data is not None
        settings, step = self.config.train, self.progress.step
        model = self._model_for_use()
        results = detect_all(with_low_threshold(model), self.val_data, settings.precision)
        evaluation = evaluate(
            results,
            self.val_data.annotation_file,
            self.val_category_ids,
            self.config.model.detection.max_detections,
            self.config.model.detection.score_threshold,
        )
        summary = evaluation.summary()
        metrics.append(step, summary)
        for name, value in summary.items():
            if value is not None:
                board.add_scalar(f"val/{name}", value, step)
        value = summary[settings.best_by]
        sign = -1 if settings.best_by in LOWER_IS_BETTER else 1
        if value is not None and (self.progress.best is None or sign * value > sign * self.progress.best):
            self.progress = Progress(step, value)
            self._export("best.safetensors", evaluation)
        self._draw(results)
        _say(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in summary.items() if v is not None))
        return evaluation

    def _model_for_use(self) -> MaskRCNN:
        """A copy in eval mode with the averaged weights, or with the current ones where there is no average."""
        model = build_model(self.config.model)
        load_strictly(model, self.average.tensors if self.average else self.model.state_dict())
        return model.to(self.device, memory_format=torch.channels_last).eval()  # pyright: ignore

    def _draw(self, results: dict[int, Instances]) -> None:
        assert self.val_data is not None
        threshold = self.config.model.detection.score_threshold
        for index in range(min(NUM_PICTURES, len(self.val_data))):
            found = results[self.val_data.image_ids[index]]
            picture = figure(self.val_data.load(index).image, found[found.scores > threshold])
            # With its folders, since files in two of them may have one name.
            name = Path(self.val_data.file_names[index]).with_suffix("").as_posix().replace("/", "_")
            write_image(self.out / "predictions" / f"{name}_{self.progress.step:06d}.png", picture)

    def _export(self, name: str, evaluation: Evaluation | None) -> None:
        card: dict[str, Any] = {
            "training": self.config.train.model_dump(mode="json"),
            "steps_done": self.progress.step,
            "num_train_images": len(self.train_data),
            "val": evaluation.summary() if evaluation else None,
            "num_val_images": len(self.val_data) if self.val_data is not None else 0,
        }
        tensors = self.average.tensors if self.average else self.model.state_dict()
        save_checkpoint(self.out / name, tensors, self.config.model, card)

    def save(self) -> None:
        """Write all of the run's state to last.pt."""
        state = {
            "config": json.dumps(self.config.model_dump(mode="json")),
            "step": self.progress.step,
            "best": self.progress.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }
        with atomic_path(self.out / "last.pt") as temporary:
            torch.save(state, temporary)

    def restore(self) -> None:
        """Bring back what `save` wrote to the run's folder; the run then goes on as if it had not stopped.

        Raises:
            FileNotFoundError: there is no checkpoint in the folder.
            ValueError: it is damaged, or of a model with other settings.
        """
        path = self.out / "last.pt"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no checkpoint to resume from")
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (UnpicklingError, EOFError, RuntimeError) as error:
            raise ValueError(f"{path}: not a checkpoint of a run, or a damaged one ({error})") from None
        saved, own = json.loads(state["config"])["model"], self.config.model.model_dump(mode="json")
        changed = [key for key in own if own[key] != saved.get(key)]
        if changed:
            raise ValueError(f"{path}: the model has changed since this checkpoint: {', '.join(changed)} differ")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["torch_random"].cpu())
        if state["cuda_random"] and self.device.type == "cuda":  # a run may go on on a CPU
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda_random"]])
        self.progress = Progress(state["step"], state["best"])


def _say(line: str) -> None:
    """Print above the progress bar, at once also into a file."""
    with tqdm.external_write_mode():
        print(line, flush=True)


def saved_config(run: str | Path) -> Config:
    """The resolved configuration of a run's folder.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, so {run} is no folder of a training run")
    return load_config(path)


def write_config(config: Config, path: Path) -> None:
    """All settings, defaults included, as YAML."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
