"""The training loop: one run in one folder, which can be killed and resumed at any moment.

A run's folder holds config.yaml (resolved), losses.csv, metrics.csv, curves.png, predictions/ (pictures of val),
tensorboard/, last.pt (everything that a resumed run needs), best.safetensors and last.safetensors (for use).
"""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.semantic_weights import SemanticCheckpoint
from maskrcnn.config import Config, load_config, validate
from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import StepsOr0
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.loading import Batch, CopyPaste, training_batches
from maskrcnn.distributed import gather, is_first, rank, world_size
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.model.state import load_state
from maskrcnn.training.augmentation import build_transforms
from maskrcnn.training.averaging import WeightAverage
from maskrcnn.training.instance_task import InstanceTask
from maskrcnn.training.records import RunRecords
from maskrcnn.training.run_state import load_run_state, save_run_state
from maskrcnn.training.schedule import build_optimizer, build_schedule, load_optimizer, peak_factor
from maskrcnn.training.semantic_task import SemanticTask
from maskrcnn.training.step import TrainingStep, unchanged_statistics
from maskrcnn.training.stopping import RunStopped, StopRequest
from maskrcnn.training.task import Judgement, Task

log = logging.getLogger("maskrcnn")

LOWER_IS_BETTER = ("count_mae",)
SLOW_STEP_S = 10  # one such is enough to tell the time
FIRST_CHECKPOINT_S = 45
"""After so long a run saves its first checkpoint, whatever `checkpoint_every` says, so that early kills lose little."""


class Progress(Settings):
    """Where a run stands; with the seed it decides all that follows."""

    step: StepsOr0 = 0
    """Optimiser steps done."""
    best: float | None = None
    """Best value so far of what `best_by` names."""
    evaluations_since_best: StepsOr0 = 0
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
        init: Checkpoint | SemanticCheckpoint | None = None,
    ) -> None:
        """`init`: weights to start from, of the settings that `config` took from them (see `starting_weights`)."""
        self.out, self.device = Path(out), torch.device(device)
        self.task = task_of(config, train, val, self.out)
        self.config, self.validation = self.task.config, self.task.validation
        settings = self.config.train
        torch.manual_seed(settings.seed)
        model = self.task.build()
        self.transfer = self.task.start(model, init)
        if settings.sync_batch_norm:
            if self.device.type != "cuda":
                raise ValueError("train.sync_batch_norm needs CUDA; on CPUs take norms without batch statistics")
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model: Any = model.to(self.device, memory_format=torch.channels_last)  # pyright: ignore
        self.optimizer = build_optimizer(self.model, settings)
        self.schedule = build_schedule(self.optimizer, settings)
        self.step = TrainingStep(self.model, settings, self.device)
        self.average = WeightAverage(self.model, settings.average_decay) if settings.average_decay else None
        self.progress = Progress()
        self.last_judgement: Judgement | None = None

    def run(self, stop_at: int | None = None) -> Evaluation | SemanticEvaluation | None:
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
        peak = peak_factor(settings)
        if peak < 0.9 and self.progress.step == 0:
            log.warning(
                "the learning rate peaks at %.0f%% of train.learning_rate: train.warmup_steps is %d of %d steps",
                100 * peak,
                settings.warmup_steps,
                settings.steps,
            )
        batches = self._batches(self.progress.step, last_step - self.progress.step, settings.workers)
        epoch = len(self.task.train_data) / settings.batch_size
        names = self.model.loss_names
        records = RunRecords(self.out, self.config, self.progress.step, names, epoch) if is_first() else None
        evaluation = None
        self.model.train()
        first_save = time.monotonic() + FIRST_CHECKPOINT_S
        try:
            with StopRequest() as request:
                for batch in batches:
                    started = time.perf_counter()
                    row = self.step(batch, self.optimizer, self.progress.step + 1)
                    row["lr"] = float(self.schedule.get_last_lr()[0])
                    self.schedule.step()
                    if self.average is not None:
                        self.average.update(self.model)
                    self.progress = self.progress.model_copy(update={"step": self.progress.step + 1})
                    step = self.progress.step
                    row["seconds"] = time.perf_counter() - started
                    if records is not None:
                        records.add(step, row)
                    is_last = step == settings.steps
                    if self.validation is not None and (step % settings.evaluate_every == 0 or is_last):
                        evaluation = self._evaluate(records)
                        is_last = is_last or self.progress.stopped_early
                    if is_last:  # before last.pt, which says that the run is complete
                        self._export("last.safetensors", self.last_judgement, is_recommended=evaluation is not None)
                    stop = request.agreed(self.device)
                    is_due = step % settings.checkpoint_every == 0 or time.monotonic() > first_save
                    if is_due or stop or step == last_step or is_last:
                        first_save = float("inf")
                        if records is not None:
                            records.flush(f"step {step} of {settings.steps}: loss {row['total']:.3f}")
                        self.save()
                    if self.progress.stopped_early:
                        log.info("stopped early: no better %s in %d evaluations", settings.best_by, settings.patience)
                        break
                    if stop and not is_last:
                        log.info("stopped at step %d of %d; all of it is saved in %s", step, settings.steps, self.out)
                        raise RunStopped(stop)
        finally:
            if records is not None:
                records.close()
        return evaluation

    def seconds_per_step(self, num_steps: int) -> tuple[float, float]:
        """Seconds of loading a batch and of its gradients, the least of at most `num_steps`; the run stays as it is."""
        random = torch.get_rng_state()
        loading, computing = [], []
        self.model.train()
        batches = self._batches(self.progress.step, num_steps, 0)
        with unchanged_statistics(self.model):
            for _ in range(num_steps):
                started = time.perf_counter()
                batch = next(batches)
                loaded = time.perf_counter()
                self.step.gradients(batch)
                loading.append(loaded - started)
                computing.append(time.perf_counter() - loaded)
                self.optimizer.zero_grad(set_to_none=True)
                if max(gather(computing[-1])) > SLOW_STEP_S:
                    break
        torch.set_rng_state(random)
        return min(loading), min(computing)

    def _batches(self, start: int, num_steps: int, workers: int) -> Iterator[Batch]:
        settings = self.config.train
        return training_batches(
            self.task.train_data,
            build_transforms(settings.augment, self.model.resize),
            settings.batch_size,
            settings.seed,
            start,
            num_steps,
            workers,
            (rank(), world_size()),
            CopyPaste(settings.augment.copy_paste, settings.augment.min_visible_px),
            self.task.repeats,
        )

    def _evaluate(self, records: RunRecords | None) -> Evaluation | SemanticEvaluation | None:
        """Judge the (averaged) weights on val; keep them if they are the best so far."""
        assert self.validation is not None
        settings, step = self.config.train, self.progress.step
        judged = self.validation.judge(self._model_for_use())
        value = judged.summary[settings.best_by]
        sign = -1 if settings.best_by in LOWER_IS_BETTER else 1
        if value is not None and (self.progress.best is None or sign * value > sign * self.progress.best):
            self.progress = Progress(step=step, best=value)
            self._export("best.safetensors", judged, is_recommended=True)
        else:
            since_best = self.progress.evaluations_since_best + 1
            is_enough = 0 < settings.patience <= since_best
            changed = {"step": step, "evaluations_since_best": since_best, "stopped_early": is_enough}
            self.progress = self.progress.model_copy(update=changed)
        if records is not None:
            records.add_evaluation(step, judged.summary)
            self.validation.draw(judged, step)
            if step == settings.steps or self.progress.stopped_early:
                self.validation.write_report(judged, step)
        log.info("step %d: %s", step, judged.line)
        self.last_judgement = Judgement(judged.summary, judged.evaluation)
        return judged.evaluation

    def _model_for_use(self) -> Any:
        """A copy in eval mode with the averaged weights, or with the current ones where there is no average."""
        model = self.task.build()
        load_state(model, self.average.tensors if self.average else self.model.state_dict())
        return model.to(self.device, memory_format=torch.channels_last).eval()

    def _export(self, name: str, judged: Judgement | None, *, is_recommended: bool) -> None:
        """Weights for use; `is_recommended`: with what is best on val by this judgement."""
        if not is_first():
            return
        card: dict[str, Any] = {
            "training": self.config.train.model_dump(mode="json"),
            "steps_done": self.progress.step,
            "num_train_images": len(self.task.train_data),
            "val": judged.summary if judged is not None else None,
            "num_val_images": self.validation.num_images if self.validation is not None else 0,
        }
        tensors = self.average.tensors if self.average else self.model.state_dict()
        self.task.export(self.out / name, tensors, card, judged if is_recommended else None)

    def save(self) -> None:
        """Write all of the run's state to last.pt."""
        if not is_first():
            return
        state = {
            "config": json.dumps(self.config.model_dump(mode="json")),
            "progress": self.progress.model_dump(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "scaler": self.step.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }
        save_run_state(state, self.out)

    def restore(self) -> None:
        """Bring back what `save` wrote to the run's folder; the run then goes on as if it had not stopped.

        Raises:
            FileNotFoundError: there is no checkpoint in the folder.
            ValueError: it is damaged, no checkpoint of a run, or of a model with other settings.
        """
        state, path = load_run_state(self.out, self.device), self.out / "last.pt"
        try:
            progress = validate(Progress, dict(state["progress"]), f"{path}: progress")
            if state["schedule"]["last_epoch"] != progress.step:
                raise TypeError(f"{progress.step} steps are done, the schedule is elsewhere")
            self._compare(json.loads(state["config"]))
            self.model.load_state_dict(state["model"])
            load_optimizer(self.optimizer, state["optimizer"])
            self.schedule.last_epoch = progress.step
            self.schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]
            self.step.scaler.load_state_dict(state["scaler"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            torch.set_rng_state(state["torch_random"].cpu())
            if state["cuda_random"] and self.device.type == "cuda":  # a run may go on on a CPU
                torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda_random"]])
            self.progress = progress
        except json.JSONDecodeError:
            raise ValueError(f"{path}: not the state of this run (its config is no JSON)") from None
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError, AssertionError) as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: not the state of this run ({said})") from None

    def _compare(self, saved: dict[str, Any]) -> None:
        """Refuse another model; name what else the configuration of the run says otherwise than its checkpoint."""
        source = str(self.out / "last.pt")
        own, theirs = (
            one.model_dump(mode="json") for one in (self.task.settings, self.task.settings_in(saved, source))
        )
        changed = [key for key in own if own[key] != theirs.get(key)]
        if changed:
            raise ValueError(f"{source}: the model has changed since this checkpoint: {', '.join(changed)} differ")
        own = self.config.model_dump(mode="json")
        for key, value in own["train"].items():
            if value != saved["train"].get(key, value):
                log.warning("config.yaml was changed: train.%s is %s, it was %s", key, value, saved["train"][key])


def task_of(config: Config, train: Annotations, val: Annotations | None, out: Path) -> Task:
    """What these settings learn."""
    return (InstanceTask if config.semantic is None else SemanticTask)(config, train, val, out)


def saved_config(run: str | Path) -> Config:
    """The resolved configuration of a run's folder.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found, so {run} is no folder of a training run")
    return load_config(path)
