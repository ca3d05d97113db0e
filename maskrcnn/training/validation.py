"""The weights of a run judged on val: losses, detections, scores, and pictures of both."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskrcnn.config import Config
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.loading import ImageDataset
from maskrcnn.data.transforms import Resize
from maskrcnn.distributed import gather, is_first, sum_over_ranks
from maskrcnn.evaluation.evaluate import best_threshold, evaluate, threshold_note
from maskrcnn.evaluation.evaluation import evaluation_line
from maskrcnn.evaluation.page import write_evaluation
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.detecting import autocast, detect_all, share_of_images, with_low_threshold
from maskrcnn.prediction.execution import Precision
from maskrcnn.prediction.scene_judge import judge_of
from maskrcnn.prediction.scenes import scenes_of
from maskrcnn.report.draw import figure
from maskrcnn.report.written import write_image
from maskrcnn.training.task import Judgement, Learner

NUM_PICTURES = 4  # val images that are drawn at every evaluation
NUM_WORST = 6  # val images that the last report shows


class Validation:
    """A val set and what a run does with it."""

    def __init__(self, data: Annotations, class_names: tuple[str, ...], config: Config, out: Path) -> None:
        """Raises ValueError where `data` has other classes than `class_names`."""
        self.data, self.config, self.out = data, config, out
        self.category_ids = data.category_ids_of(class_names)

    @property
    def num_images(self) -> int:
        """Of val."""
        return len(self.data)

    def judge(self, model: MaskRCNN) -> Judgement:
        """`model`, in eval mode, on all of val; every process must call it."""
        settings, detection = self.config.train, self.config.model.detection
        losses = validation_losses(model, self.data, settings.precision) if settings.val_loss else {}
        scene_judge = judge_of(scenes_of(self.config.model), self.data, self.category_ids)
        results = detect_all(with_low_threshold(model), self.data, settings.precision, judge=scene_judge)
        panoptic = scene_judge.quality() if scene_judge is not None else None
        evaluation = None
        if is_first():
            evaluation = evaluate(
                results,
                self.data,
                self.category_ids,
                detection.max_detections,
                detection.score_threshold,
                panoptic=panoptic,
            )
        summary = gather(evaluation.summary() if evaluation is not None else None)[0]
        summary |= losses
        return Judgement(summary, evaluation, results, evaluation_line(summary))

    def draw(self, judged: Judgement, step: int) -> None:
        """Pictures of what was found in some images."""
        assert judged.results is not None
        threshold = self.config.model.detection.score_threshold
        for index in range(min(NUM_PICTURES, len(self.data))):
            found = judged.results[self.data.image_ids[index]]
            picture = figure(self.data.load(index).image, found[found.scores > threshold])
            # With its folders, since files in two of them may have one name.
            name = Path(self.data.file_names[index]).with_suffix("").as_posix().replace("/", "_")
            write_image(self.out / "predictions" / f"{name}_{step:06d}.png", picture)

    def write_report(self, judged: Judgement, step: int) -> None:
        """evaluation/report.html."""
        assert judged.evaluation is not None
        assert judged.results is not None
        title = f"{self.out.resolve().name} at step {step}"
        write_evaluation(
            self.out / "evaluation", judged.evaluation, judged.results, self.data, self.category_ids, NUM_WORST, title
        )

    def score_threshold(self, judged: Judgement) -> tuple[float, Any] | None:
        """The threshold that counts best on val and a note on it; None where val has no objects."""
        evaluation = judged.evaluation
        if evaluation is None or not evaluation.overall.count.total_true:
            return None
        was = self.config.model.detection.score_threshold
        return best_threshold(evaluation), threshold_note(evaluation, Path(self.data.source).name, was)


@torch.no_grad()
def validation_losses(model: Learner, dataset: ImageDataset, precision: Precision) -> dict[str, float]:
    """The losses over all of val at the size at which the model sees pictures; the same weights give the same numbers.

    The model must be in eval mode, so that batch norms use their running statistics. Each process takes its share.
    """
    resize, unused = Resize(model.resize.output_size, model.resize.pixels), np.random.default_rng(0)
    names = model.loss_names
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    for index in share_of_images(len(dataset), "val losses"):
        sample = resize(dataset.load(index), unused)
        size = (sample.image.shape[0], sample.image.shape[1])
        pixels = torch.tensor(sample.image).permute(2, 0, 1)  # a copy: what Pillow resizes may not be written to
        images = model.normalise([pixels], [size], model.device)
        with autocast(model.device, precision):
            generator = torch.Generator(model.device).manual_seed(index)
            losses = model.losses(images, [sample.targets.to(model.device)], [generator])
        counts = torch.tensor([losses.counts[name] for name in names], dtype=torch.float64)
        sums[0] += torch.stack([losses.means[name] for name in names]).double().cpu() * counts
        sums[1] += counts
    totals, counts = sum_over_ranks(sums.to(model.device).float()).cpu()
    means = (totals / counts.clamp(min=1)).tolist()
    return {"val_loss": sum(means), **{f"val_{name}": mean for name, mean in zip(names, means, strict=True)}}
