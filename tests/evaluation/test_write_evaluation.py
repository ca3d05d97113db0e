"""The two files of an evaluation."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.evaluate import evaluate
from maskrcnn.evaluation.page import write_evaluation
from maskrcnn.structures.instances import Instances
from tests.coco_files import CATEGORY_IDS, TRAIN_SCENES, write_coco
from tests.tiny import CLASS_NAMES


def test_figures_and_a_page_with_the_worst_images(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path / "data", "train", TRAIN_SCENES)
    dataset = load_annotations(annotations, tmp_path / "data" / "images")
    results = {}
    for index, image_id in enumerate(dataset.image_ids):
        targets = dataset.targets(index)
        results[image_id] = Instances(
            image_size=dataset.size(index),
            boxes=targets.boxes,
            labels=targets.labels,
            scores=torch.full((len(targets.labels),), 0.9),
            mask_probs=torch.ones(len(targets.labels), 28, 28),
            class_names=CLASS_NAMES,
        )
    # Nothing is found in the fourth image, and half of what is in the first.
    results[dataset.image_ids[3]] = results[dataset.image_ids[3]][:0]
    first = results[dataset.image_ids[0]]
    results[dataset.image_ids[0]] = replace(first, scores=torch.tensor([0.9, 0.1]))
    evaluation = evaluate(results, annotations, CATEGORY_IDS, max_detections=100, score_threshold=0.5)
    report = write_evaluation(tmp_path / "judged", evaluation, results, dataset, CATEGORY_IDS, 3, "my title")
    assert report == tmp_path / "judged" / "report.html"
    page = report.read_text(encoding="utf-8")
    assert "<title>my title</title>" in page
    assert page.index("train_4.png: 0 predicted, 2 true (2 missed)") < page.index("train_1.png: 1 predicted, 2 true")
    assert "train_3.png" not in page, "nothing is wrong with the empty image"
    written = json.loads((tmp_path / "judged" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(evaluation.to_dict()))
