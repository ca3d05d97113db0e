"""An evaluation as two files: every figure as JSON, and a page to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from maskrcnn.data.coco import CocoDataset
from maskrcnn.engine.evaluator import above
from maskrcnn.files import atomic_path
from maskrcnn.report.errors_drawn import draw_errors, error_counts
from maskrcnn.report.evaluation import Evaluation
from maskrcnn.report.evaluation_page import evaluation_page
from maskrcnn.report.export import write_json
from maskrcnn.report.ground_truth import ground_truth, read_annotations
from maskrcnn.report.object_errors import object_errors
from maskrcnn.structures.instances import Instances


def write_evaluation(
    folder: str | Path,
    evaluation: Evaluation,
    results: Mapping[int, Instances],
    dataset: CocoDataset,
    category_ids: Sequence[int],
    num_worst: int = 5,
    title: str = "Evaluation",
) -> Path:
    """Write evaluation.json and report.html, with pictures of the `num_worst` images; gives the path of the page.

    `results`, by image id, `category_ids`, of each label, and the annotations of `dataset` are those that `evaluation`
    was made of.
    """
    folder = Path(folder)
    write_json(folder / "evaluation.json", evaluation.to_dict())
    worst = [
        image.image_id for image in evaluation.worst_images(num_worst) if image.count_error or image.mask_score < 1
    ]
    pictures = []
    for truth in ground_truth(read_annotations(dataset.annotation_file), category_ids, worst):
        found = above(results[truth.image_id], evaluation.score_threshold)
        errors = object_errors(truth, found)
        image = dataset.load(dataset.image_ids.index(truth.image_id)).image
        counts = ", ".join(f"{number} {kind}" for kind, number in error_counts(errors).items() if number)
        caption = f"{truth.file_name}: {len(found)} predicted, {int((~truth.is_crowd).sum())} true ({counts})"
        pictures.append((truth.image_id, (draw_errors(image, truth, found, errors), caption)))
    pictures.sort(key=lambda picture: worst.index(picture[0]))
    with atomic_path(folder / "report.html") as temporary:
        page = evaluation_page(evaluation, title, [picture for _, picture in pictures])
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html"
