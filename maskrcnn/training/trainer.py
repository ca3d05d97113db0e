"""The training loop: one run in one folder, which can be killed and resumed at any moment.

A run's folder holds config.yaml (resolved), losses.csv, metrics.csv, curves.png, predictions/ (pictures of val),
tensorboard/, last.pt (everything that --resume needs), best.safetensors and last.safetensors (for use).
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from maskrcnn.checkpoints.checkpoint import Checkpoint, save_checkpoint
from maskrcnn.checkpoints.score_threshold import with_score_threshold
from maskrcnn.checkpoints.transfer import transfer
from maskrcnn.config import Config, ModelSettings, load_config, validate
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.loading import CopyPaste, training_batches
from maskrcnn.data.repeat_factors import repeat_factors
from maskrcnn.distributed import gather, is_first, rank, world_size
from maskrcnn.evaluation.evaluate import best_threshold, evaluate, threshold_note
from maskrcnn.evaluation.evaluation import Evaluation, evaluation_line
from maskrcnn.evaluation.page import write_evaluation
from maskrcnn.files import atomic_path
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.state import load_state
from maskrcnn.prediction.detecting import detect_all, with_low_threshold
from maskrcnn.report.draw import figure
from maskrcnn.report.export import write_image
from maskrcnn.structures.instances import Instances
from maskrcnn.training.augmentation import build_transforms
from maskrcnn.training.averaging import WeightAverage
from maskrcnn.training.records import RunRecords, say
from maskrcnn.training.schedule import build_optimizer, build_schedule, load_optimizer
from maskrcnn.training.step import TrainingStep
from maskrcnn.training.validation import validation_losses

NUM_PICTURES = 4  # val images that are drawn at every evaluation
NUM_WORST = 6  # val images that the last report shows
LOWER_IS_BETTER = ("count_mae",)
FROZEN_PARTS = {"all": 0, "3+": 2, "4+": 3, "5+": 4, "heads": 5}  # of the stem and the four stages


@dataclass(frozen=True)
class Progress:
    """Where a run stands; with the seed it decides all that follows."""

    step: int = 0
    """Optimiser steps done."""
    best: float | None = None
    """Best value so far of what `best_by` names."""
    evaluations_since_best: int = 0
    stopped_early: bool = False


class Trainer:
    """Trains one model. `run` does all; the parts of its state are saved together and restored together.

    Every process of a group makes one with the same arguments; the first writes the files.
    """

    def __init__(
        self,
        config: Config,
        train: Annotations,
        val: Annotations | None,
        out: str | Path,
        device: str | torch.device = "cpu",
        init: Checkpoint | None = None,
    ) -> None:
        """`init`: weights to start from, of the settings that `config.model` took from them (see `settings_from`)."""
        settings = config.train
        self.out, self.device = Path(out), torch.device(device)
        self.train_data, self.val_data = train, val
        self.val_category_ids = val.category_ids_of(train.class_names) if val is not None else ()
        model_settings = config.model.model_copy(
            update={"class_names": train.class_names, "category_ids": train.category_ids}
        )
        self.config = config.model_copy(update={"model": model_settings})
        torch.manual_seed(settings.seed)
        model = build_model(model_settings)
        self.transfer = transfer(model, model_settings, init) if init is not None else None
        model.backbone.freeze(FROZEN_PARTS[settings.layers])
        if settings.sync_batch_norm:
            if self.device.type != "cuda":
                raise ValueError("train.sync_batch_norm needs CUDA; on CPUs take norms without batch statistics")
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model: MaskRCNN = model.to(self.device, memory_format=torch.channels_last)  # pyright: ignore
        self.optimizer = build_optimizer(self.model, settings)
        self.schedule = build_schedule(self.optimizer, settings)
        self.step = TrainingStep(self.model, settings, self.device)
        self.average = WeightAverage(self.model, settings.average_decay) if settings.average_decay else None
        self.progress = Progress()
        self.last_summary: dict[str, float | None] | None = None

    def run(self, stop_at: int | None = None) -> Evaluation | None:
        """Train up to the last step (or `stop_at`); gives the last evaluation on val, in the first process.

        Raises:
            NonFiniteLossError: names the images of the batch.
            ValueError: all steps are done already, or an image cannot be used.
        """
        settings = self.config.train
        last_step = settings.steps if stop_at is None else min(stop_at, settings.steps)
        if self.progress.stopped_early:
            raise ValueError(f"{self.out}: the run stopped early at step {self.progress.step} (train.patience)")
        if self.progress.step >= settings.steps:
            raise ValueError(f"{self.out}: the run is complete, all {settings.steps} steps are done")
        batches = training_batches(
            self.train_data,
            build_transforms(settings.augment, self.model.resize),
            settings.batch_size,
            settings.seed,
            self.progress.step,
            last_step - self.progress.step,
            settings.workers,
            (rank(), world_size()),
            CopyPaste(settings.augment.copy_paste, settings.augment.min_visible_px),
            repeat_factors(self.train_data, settings.repeat_threshold),
        )
        records = RunRecords(self.out, self.config, self.progress.step, self.model.loss_names) if is_first() else None
        evaluation = None
        self.model.train()
        try:
            for batch in batches:
                started = time.perf_counter()
                row = self.step(batch, self.optimizer, self.progress.step + 1)
                row["lr"] = float(self.schedule.get_last_lr()[0])
                self.schedule.step()
                if self.average is not None:
                    self.average.update(self.model)
                self.progress = replace(self.progress, step=self.progress.step + 1)
                step = self.progress.step
                row["seconds"] = time.perf_counter() - started
                if records is not None:
                    records.add(step, row)
                is_last = step == settings.steps
                if self.val_data is not None and (step % settings.evaluate_every == 0 or is_last):
                    evaluation = self._evaluate(records)
                    is_last = is_last or self.progress.stopped_early
                if is_last:  # before last.pt, which says that the run is complete
                    self._export("last.safetensors", self.last_summary, evaluation)
                if step % settings.checkpoint_every == 0 or step == last_step or is_last:
                    if records is not None:
                        records.flush(f"step {step} of {settings.steps}: loss {row['total']:.3f}")
                    self.save()
                if self.progress.stopped_early:
                    say(f"stopped early: no better {settings.best_by} in {settings.patience} evaluations")
                    break
        finally:
            if records is not None:
                records.close()
        return evaluation

    def _evaluate(self, records: RunRecords | None) -> Evaluation | None:
        """Judge the (averaged) weights on val; keep them if they are the best so far."""
        assert self.val_data is not None
        settings, step = self.config.train, self.progress.step
        model = self._model_for_use()
        losses = validation_losses(model, self.val_data, settings.precision) if settings.val_loss else {}
        results = detect_all(with_low_threshold(model), self.val_data, settings.precision)
        evaluation = None
        if is_first():
            evaluation = evaluate(
                results,
                self.val_data,
                self.val_category_ids,
                self.config.model.detection.max_detections,
                self.config.model.detection.score_threshold,
            )
        summary = gather(evaluation.summary() if evaluation is not None else None)[0] | losses
        value = summary[settings.best_by]
        sign = -1 if settings.best_by in LOWER_IS_BETTER else 1
        if value is not None and (self.progress.best is None or sign * value > sign * self.progress.best):
            self.progress = Progress(step, value)
            self._export("best.safetensors", summary, evaluation)
        else:
            since_best = self.progress.evaluations_since_best + 1
            is_enough = 0 < settings.patience <= since_best
            self.progress = Progress(step, self.progress.best, since_best, is_enough)
        if records is not None:
            records.add_evaluation(step, summary)
            self._draw(results)
            assert evaluation is not None
            is_end = step == settings.steps or self.progress.stopped_early
            if is_end:
                title = f"{self.out.name} at step {step}"
                write_evaluation(
                    self.out / "evaluation", evaluation, results, self.val_data, self.val_category_ids, NUM_WORST, title
                )
        say(f"step {step}: {evaluation_line(summary)}")
        self.last_summary = summary
        return evaluation

    def _model_for_use(self) -> MaskRCNN:
        """A copy in eval mode with the averaged weights, or with the current ones where there is no average."""
        model = build_model(self.config.model)
        load_state(model, self.average.tensors if self.average else self.model.state_dict())
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

    def _export(self, name: str, summary: dict[str, float | None] | None, evaluation: Evaluation | None) -> None:
        """Weights for use. With an evaluation, the score threshold is the one that counts best on val."""
        if not is_first():
            return
        settings = self.config.model
        card: dict[str, Any] = {
            "training": self.config.train.model_dump(mode="json"),
            "steps_done": self.progress.step,
            "num_train_images": len(self.train_data),
            "val": summary,
            "num_val_images": len(self.val_data) if self.val_data is not None else 0,
        }
        if evaluation is not None and evaluation.overall.count.total_true:
            assert self.val_data is not None
            was = settings.detection.score_threshold
            card["score_threshold"] = threshold_note(evaluation, Path(self.val_data.source).name, was)
            settings = with_score_threshold(settings, best_threshold(evaluation))
        tensors = self.average.tensors if self.average else self.model.state_dict()
        save_checkpoint(self.out / name, tensors, settings, card)

    def save(self) -> None:
        """Write all of the run's state to last.pt."""
        if not is_first():
            return
        state = {
            "config": json.dumps(self.config.model_dump(mode="json")),
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "scaler": self.step.scaler.state_dict(),
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
        # Through the settings, which know how older versions wrote them.
        saved = validate(ModelSettings, json.loads(state["config"])["model"], f"{path}: model").model_dump(mode="json")
        own = self.config.model.model_dump(mode="json")
        changed = [key for key in own if own[key] != saved.get(key)]
        if changed:
            raise ValueError(f"{path}: the model has changed since this checkpoint: {', '.join(changed)} differ")
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.step.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["torch_random"].cpu())
        if state["cuda_random"] and self.device.type == "cuda":  # a run may go on on a CPU
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda_random"]])
        self.progress = Progress(**state["progress"])


def saved_config(run: str | Path) -> Config:
    """The resolved configuration of a run's folder.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, so {run} is no folder of a training run")
    return load_config(path)
