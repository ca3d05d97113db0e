"""What users suffer elsewhere with data, training and counting (the list of user pains, 7 to 28), and the tests that
answer each; that every pain has an answer and every answer is a test is itself tested."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAINS: dict[str, list[str]] = {
    "07 degenerate boxes": [
        "data/test_checks.py::test_a_spoilt_set_is_named_by_annotation_and_reason_and_nothing_else_is_found",
        "cli/test_train.py::test_errors_in_the_data_stop_a_training_unless_they_are_allowed",
    ],
    "08 images without objects": ["training/test_trainer.py::test_images_without_objects"],
    "09 a hang when one process has no positives": [
        "training/test_distributed.py::test_two_processes_train_as_one_also_where_an_image_is_empty"
    ],
    "10 category ids": ["data/test_annotations.py::test_labels_follow_category_ids_and_empty_images_stay"],
    "11 class names that do not match": ["training/test_trainer.py::test_val_with_other_classes_is_refused"],
    "12 labels out of range": [
        "data/test_checks.py::test_a_spoilt_set_is_named_by_annotation_and_reason_and_nothing_else_is_found"
    ],
    "13 another number of classes": ["checkpoints/test_transfer.py::test_rows_follow_the_names_of_the_classes"],
    "14 iscrowd and RLE": ["cli/test_train.py::test_pain_14_masks_that_an_exporter_marked_as_crowds"],
    "15 EXIF": [
        "data/test_images.py::test_exif_orientation_is_applied_once",
        "data/test_checks.py::test_annotations_of_the_upright_picture_are_right_whatever_exif_says",
    ],
    "16 grey, alpha, 16 bit": [
        "data/test_images.py::test_transparency_lies_over_white",
        "data/test_images.py::test_deep_grey_is_stretched",
    ],
    "17 BGR or RGB": ["checkpoints/test_importing.py::test_what_it_is_is_told_from_its_content"],
    "18 memory of the loader": [
        "data/test_annotations.py::test_annotations_are_sorted_by_image_in_the_order_of_the_file"
    ],
    "19 resume or start": ["cli/test_train.py::test_init_and_resume_are_told_apart"],
    "20 no losses on val, no early stop": [
        "training/test_trainer.py::test_losses_on_val_are_those_of_the_weights_alone",
        "training/test_trainer.py::test_a_run_without_progress_stops_early",
        "training/test_trainer.py::test_the_best_weights_are_kept",
    ],
    "21 divergence": ["training/test_trainer.py::test_a_loss_that_is_not_finite_names_the_images"],
    "22 autocast": ["prediction/test_predictor.py::test_half_precision_on_a_cpu"],
    "23 determinism": ["training/test_trainer.py::test_a_stopped_run_goes_on_to_the_same_bits"],
    "24 memory of many instances": ["structures/test_mask_crops.py::test_sample_agrees_with_the_definition"],
    "25 the ceiling of 100 objects": ["cli/test_infer.py::test_what_is_said"],
    "26 the ceiling of the evaluation": ["evaluation/test_average_precision.py::test_equals_pycocotools"],
    "27 polygons lose holes and parts": ["structures/test_polygons.py::test_filled_back_they_are_the_mask"],
    "28 one object counted twice": [
        "report/test_double_counts.py::test_pain_28_two_classes_on_one_object_are_reported",
        "model/test_detections.py::test_pain_28_exclusive_classes_suppress_one_another",
    ],
}


def test_every_pain_has_an_answer():
    assert [int(title[:2]) for title in PAINS] == list(range(7, 29))
    assert all(PAINS.values())


@pytest.mark.parametrize("title", PAINS)
def test_every_answer_is_a_test(title: str):
    for answer in PAINS[title]:
        file, _, name = answer.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, answer
