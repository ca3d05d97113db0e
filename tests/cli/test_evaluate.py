import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from maskrcnn.checkpoints.checkpoint import load_checkpoint
from maskrcnn.model.mask_rcnn import MaskRCNN
from tests.cli.conftest import Tool
from tests.coco_files import VAL_SCENES, write_coco
from tests.prediction.bright_things import PerfectNetwork, squares


def test_figures(tool: Tool, weights: Path, coco: Path) -> None:
    annotations = json.loads((coco / "val.json").read_text())
    for record, plate in zip(annotations["images"], ("left", "right"), strict=True):
        record["plate"] = plate
    (coco / "val.json").write_text(json.dumps(annotations))
    args = ("--annotations", "data/val.json", "--images", "data/images", "--weights", weights, "--device", "cpu")
    said = tool("evaluate", *args, "--group-by", "plate", "--out", "judged", "--max-detections", 9)
    assert (said.status, said.err) == (0, "")
    assert "\n2 images, 3 objects; at most 9 detections of a class in an image\n" in said.out
    assert "counts at score >= 0.2" in said.out
    for word in ("box", "mask", "square", "disc", "left", "right"):
        assert f"\n{word} " in said.out
    figures = json.loads(Path("judged/evaluation.json").read_text())
    assert set(figures["groups"]) == {"left", "right"}
    assert figures["overall"]["count"]["total_true"] == 3
    # 9 boxes at most are found in each picture, so that many are counted too many.
    assert [sum(image["predicted"]) for image in figures["images"]] == [9, 9]
    said = tool("evaluate", *args, "--score", "0.999", "--worst", 0)
    assert "counts at score >= 0.999" in said.out
    assert "worst" not in said.out
    page = Path("judged/report.html").read_text(encoding="utf-8")
    assert "<title>tiny.safetensors on val.json</title>" in page
    assert "val_1.png: 9 predicted, 1 true" in page


def test_images_in_tiles_are_judged_as_a_whole(
    tool: Tool, weights: Path, coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that finds every bright square: in tiles each is one again, also where a seam cuts it."""
    image, num = squares((300, 500))
    Image.fromarray(image).save(coco / "images" / "val_1.png")
    document = json.loads((coco / "val.json").read_text())
    document["images"] = [document["images"][0] | {"height": 300, "width": 500}]
    corners = [(top, left) for top in range(5, 300 - 13, 30) for left in range(5, 500 - 13, 30)]
    document["annotations"] = []
    for number, (top, left) in enumerate(corners, start=1):
        ring = [left, top, left + 13, top, left + 13, top + 13, left, top + 13]
        about = {"id": number, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": 169}
        document["annotations"].append(about | {"bbox": [left, top, 13, 13], "segmentation": [ring]})
    assert len(document["annotations"]) == num
    (coco / "val.json").write_text(json.dumps(document))
    args = ("--annotations", "data/val.json", "--images", "data/images", "--weights", weights, "--device", "cpu")
    for tile in ("off", "128"):
        network = PerfectNetwork()
        monkeypatch.setattr(MaskRCNN, "detect", lambda self, images, network=network: network(images))
        said = tool("evaluate", *args, "--tile", tile, "--max-detections", "1000", "--out", f"judged_{tile}")
        assert (said.status, said.err) == (0, "")
        assert (len(network.seen) == 1) == (tile == "off")
        figures = json.loads(Path(f"judged_{tile}/evaluation.json").read_text())
        assert sum(figures["images"][0]["predicted"]) == num
        score = figures["overall"]["mask_score"]
        assert (score["true_positives"], score["false_positives"], score["false_negatives"]) == (num, 0, 0)
        assert score["image_mean"] == 1.0


def test_the_best_threshold_goes_into_a_copy_of_the_weights(tool: Tool, weights: Path, coco: Path) -> None:
    args = ("--annotations", "data/val.json", "--images", "data/images", "--weights", weights, "--device", "cpu")
    said = tool("evaluate", *args, "--set-threshold", "tuned.safetensors", "--max-detections", 7)
    assert (said.status, said.err) == (0, "")
    before, after = load_checkpoint(weights), load_checkpoint("tuned.safetensors")
    threshold = after.settings.detection.score_threshold
    assert f"tuned.safetensors: the same weights with a score threshold of {threshold:g} (was 0.2)" in said.out
    assert after.settings.detection.max_detections == 7, "the threshold is that of the settings it was found with"
    assert after.card["score_threshold"]["chosen_on"] == "val.json"
    assert all(torch.equal(tensor, before.tensors[name]) for name, tensor in after.tensors.items())
    best = re.search(r"all: counts are best at score >= ([0-9.]+) \(MAE ([0-9.]+)\)", said.out)
    assert best is not None
    assert float(best[1]) == threshold
    again = tool("evaluate", *args[:4], "--weights", "tuned.safetensors", "--device", "cpu")
    assert f"counts at score >= {threshold:g}" in again.out
    wrong = tool("evaluate", *args, "--set-threshold", "tuned.pth")
    assert wrong.err == "error: --set-threshold: expected a file name that ends in .safetensors, got tuned.pth\n"


def test_a_threshold_that_is_given_stays_and_the_copy_knows_its_count_errors(
    tool: Tool, weights: Path, coco: Path
) -> None:
    args = ("--annotations", "data/val.json", "--images", "data/images", "--weights", weights, "--device", "cpu")
    said = tool("evaluate", *args, "--set-threshold", "known.safetensors", "--score", 0.3)
    assert "known.safetensors: the same weights with a score threshold of 0.3 (was 0.2)" in said.out
    card = load_checkpoint("known.safetensors").card
    assert card["count_intervals"]["score_threshold"] == 0.3
    assert card["count_intervals"]["calibrated_on"] == "val.json"
    assert card["score_calibration"] is None  # of three objects nothing can be told
    assert len(card["count_intervals"]["errors"][-1]) == len(json.loads((coco / "val.json").read_text())["images"])
    assert "score_threshold" not in card, "nothing was chosen"


def test_mistakes_are_one_sentence(tool: Tool, weights: Path, coco: Path) -> None:
    write_coco(coco, "other", VAL_SCENES, class_names=("square", "circle"))
    for annotations, images, more, sentence in (
        ("gone.json", "images", (), "gone.json"),
        ("val.json", "gone", (), "data/gone: there is no such folder of images"),
        ("val.json", "images", ("--weights", "gone"), "no weights named 'gone'"),
        ("val.json", "images", ("--group-by", "plate"), "no image record of the annotations has the key 'plate'"),
        ("other.json", "images", (), "data/other.json has no category named disc; it has circle instead"),
    ):
        args = ("--annotations", f"data/{annotations}", "--images", f"data/{images}", "--weights", weights, *more)
        said = tool("evaluate", *args)
        assert said.status == 1
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        assert sentence in line
