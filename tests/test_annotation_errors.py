"""Annotations that are spoilt on purpose, and the list of suspects that made detections give of them."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import decode
from tests.coco_files import write_coco
from tests.tiny import CLASS_NAMES, Shape

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from annotation_errors import HARMS, report, spoil

NUM_IMAGES, ROWS = 8, 5


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    """Of two classes, 25 squares and discs in each of the images, in a lattice 2 px apart from one another."""
    kinds = ("square", "disc")
    scenes: list[list[Shape]] = [
        [(kinds[(i + j + k) % 2], 3 + 18 * i, 3 + 18 * j, 16) for i in range(ROWS) for j in range(ROWS)]
        for k in range(NUM_IMAGES)
    ]
    folder = tmp_path_factory.mktemp("lattice")
    return load_annotations(write_coco(folder, "set", scenes, size=(96, 96)), folder / "images")


def perfect(table: Annotations, scores: np.random.Generator) -> dict[int, Instances]:
    """What a model that finds every object gives: discs as the squares around them, scores of 0.8 to 1."""
    results = {}
    for image, image_id in enumerate(table.image_ids):
        rows = table.rows(image)
        results[image_id] = Instances(
            image_size=table.size(image),
            boxes=torch.from_numpy(table.corners(rows).astype(np.float32)),
            labels=torch.from_numpy(table.labels[rows]),
            scores=torch.from_numpy(scores.uniform(0.8, 1, len(rows)).astype(np.float32)),
            mask_probs=torch.ones(len(rows), 28, 28),
            class_names=CLASS_NAMES,
        )
    return results


def test_every_kind_of_harm_is_done_as_often_and_once_to_an_object(table: Annotations):
    damaged, spoilt = spoil(table, 0.1, np.random.default_rng(0))
    assert len(table.names) == 200
    harms = [one.harm for one in spoilt]
    assert [harms.count(harm) for harm in HARMS] == [5, 5, 5, 5]
    assert not damaged.problems
    assert len(damaged.names) == 200 - 5 - 5  # dropped, and the second of those merged
    before = {name: row for row, name in enumerate(table.names)}
    after = {name: row for row, name in enumerate(damaged.names)}
    changed = set()
    for one in spoilt:
        if one.harm == "dropped":
            continue
        old, new = before[one.annotation_id], after[one.annotation_id]
        changed.add(one.annotation_id)
        if one.harm == "relabelled":
            assert damaged.labels[new] == 1 - table.labels[old]
            assert damaged.rle(new) == table.rle(old)
            continue
        assert damaged.labels[new] == table.labels[old]
        bitmap = decode(damaged.rle(new))
        if one.harm == "merged":
            first, second = (decode(rle) for rle in one.before)
            assert (bitmap == (first | second)).all()
            assert not (first & second).any()
        else:
            common = (bitmap & decode(one.before[0])).sum() / (bitmap | decode(one.before[0])).sum()
            assert 0.05 < common < 0.75
    for name, new in after.items():
        if name not in changed:
            assert damaged.rle(new) == table.rle(before[name])
            assert damaged.labels[new] == table.labels[before[name]]


def test_nothing_is_spoilt(table: Annotations):
    damaged, spoilt = spoil(table, 0, np.random.default_rng(0))
    assert (spoilt, damaged.names) == ([], table.names)
    with pytest.raises(ValueError, match=r"--spoil: expected a share from 0 to 1, got 5"):
        spoil(table, 5, np.random.default_rng(0))


def test_a_model_that_finds_everything_finds_every_harm(table: Annotations):
    args = argparse.Namespace(spoil=0.05, first=0.1, seed=0, repeats=3)
    lines = report(table, CLASS_NAMES, perfect(table, np.random.default_rng(1)), args).splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:5]] for line in lines if line}
    for harm in HARMS:  # 10 of 200 objects, three times
        number, shown, recall = cells[harm]
        assert number == shown
        assert recall == "100.0%"
    assert lines[6] == "| all | 30 | 30 | 100.0% |"
    # Each is one suspect, and what else is among the first has no reason but a score below 1.
    for kind in ("unannotated", "merged", "loose-outline", "wrong-class"):
        assert int(cells[kind][1]) >= 3


def test_a_model_that_finds_nothing_finds_no_harm(table: Annotations):
    results = {image_id: one[:0] for image_id, one in perfect(table, np.random.default_rng(1)).items()}
    args = argparse.Namespace(spoil=0.05, first=0.01, seed=0, repeats=1)
    lines = report(table, CLASS_NAMES, results, args).splitlines()
    assert lines[2].startswith("| dropped | 3 | 0 |")
