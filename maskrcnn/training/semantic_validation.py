"""The weights of a semantic run judged on val: losses, scores of the pixels, and pictures."""

from pathlib import Path

import numpy as np
import torch

from maskrcnn.config import Config
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.distributed import gather
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation, semantic_line
from maskrcnn.evaluation.semantic_page import true_map, write_semantic_evaluation
from maskrcnn.prediction.detecting import autocast
from maskrcnn.prediction.semantic_judging import judge_maps
from maskrcnn.report.draw_semantic import draw_true_and_found
from maskrcnn.report.written import write_image
from maskrcnn.semantic.network import SemanticNetwork
from maskrcnn.structures.semantic_map import SemanticMap
from maskrcnn.training.task import Judgement
from maskrcnn.training.validation import NUM_PICTURES, NUM_WORST, validation_losses

NUM_OF_TRAIN = 20
"""Images of train, evenly over it, that are judged beside val: how much better it is on what it learns from."""


class SemanticValidation:
    """A val set and what a run does with it."""

    def __init__(self, data: PixelClasses, config: Config, out: Path, train: PixelClasses) -> None:
        self.data, self.config, self.out = data, config, out
        self.train = train.some(NUM_OF_TRAIN)

    @property
    def num_images(self) -> int:
        """Of val."""
        return len(self.data)

    def judge(self, model: SemanticNetwork) -> Judgement:
        """`model`, in eval mode, on all of val; every process must call it."""
        settings = self.config.train

        def predict(image: np.ndarray) -> SemanticMap:
            with torch.inference_mode(), autocast(model.device, settings.precision):
                return model.segment(image)

        losses = validation_losses(model, self.data, settings.precision) if settings.val_loss else {}
        evaluation = judge_maps(predict, self.data)
        of_train = judge_maps(predict, self.train)
        summary = evaluation.summary() if evaluation is not None else {}
        if of_train is not None:
            known = of_train.summary()
            summary |= {f"train_{name}": known[name] for name in ("mean_iou", "mean_dice")}
        summary = gather(summary)[0] | losses
        return Judgement(summary, evaluation, predict, semantic_line(summary))

    def draw(self, judged: Judgement, step: int) -> None:
        """Some images, the true map and the predicted one side by side."""
        for index in range(min(NUM_PICTURES, len(self.data))):
            image = self.data.load(index).image
            drawn = draw_true_and_found(image, true_map(self.data, index), judged.results(image))
            # With its folders, since files in two of them may have one name.
            name = Path(self.data.file_names[index]).with_suffix("").as_posix().replace("/", "_")
            write_image(self.out / "predictions" / f"{name}_{step:06d}.png", drawn)

    def write_report(self, judged: Judgement, step: int) -> None:
        """evaluation/report.html."""
        assert isinstance(judged.evaluation, SemanticEvaluation)
        title = f"{self.out.resolve().name} at step {step}"
        write_semantic_evaluation(
            self.out / "evaluation",
            judged.evaluation,
            self.data,
            lambda index: judged.results(self.data.load(index).image),
            NUM_WORST,
            title,
        )
