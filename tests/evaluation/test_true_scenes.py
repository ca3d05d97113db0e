"""True scenes of panoptic annotations in the classes of a model."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.panoptic_quality import Quality, panoptic_quality, tally
from maskrcnn.evaluation.true_scenes import true_scenes
from tests.panoptic_set import STUFF, THING_IDS, THINGS, write_set


def test_scenes_come_back_as_they_were_written(tmp_path: Path):
    file, scenes = write_set(tmp_path, 3)
    truth = true_scenes(load_annotations(file), THING_IDS, THINGS, STUFF)
    tallies = []
    for index, scene in enumerate(scenes):
        true, crowds = truth(index)
        assert crowds == []
        assert true.counts() == scene.counts()
        assert true.stuff_shares() == scene.stuff_shares()
        assert np.array_equal(true.ids == 0, scene.ids == 0)
        tallies.append(tally(scene, true))
    assert panoptic_quality(tallies, THINGS, STUFF).all == Quality(1.0, 1.0, 1.0)


def test_classes_of_a_model_are_found_by_id_and_by_name(tmp_path: Path):
    file, scenes = write_set(tmp_path, 1)
    document = json.loads(file.read_text())
    for category in document["categories"]:
        category["name"] = {"grass": "grass-merged", "sky": "sky-other-merged"}.get(category["name"], category["name"])
    thing = next(s for s in document["annotations"][0]["segments_info"] if s["category_id"] in THING_IDS)
    thing["iscrowd"] = 1
    file.write_text(json.dumps(document))
    # The model has its discs first, no square, and another kind of stuff beside the sky.
    true, crowds = true_scenes(load_annotations(file), (7,), ("disc",), ("road", "Sky"))(0)
    scene = scenes[0]
    discs = [s for s in scene.segments if s.is_thing and s.label == 1]
    assert true.counts() == {"disc": len(discs)}
    assert true.stuff_shares() == {"road": 0.0, "Sky": scene.stuff_shares()["sky"]}
    unknown = [s.id for s in scene.segments if scene.name_of(s) in ("square", "grass")]
    assert np.array_equal(true.ids == 0, np.isin(scene.ids, [0, *unknown]))
    assert len(crowds) == (scene.name_of(next(s for s in scene.segments if s.id == thing["id"])) == "disc")


def test_annotations_without_stuff_or_with_other_stuff_are_refused(tmp_path: Path):
    file, _ = write_set(tmp_path, 1)
    table = load_annotations(file)
    with pytest.raises(ValueError, match=r"stuff out of road\.\.\., got grass, sky"):
        true_scenes(table, THING_IDS, THINGS, ("road",))
    document = json.loads(file.read_text())
    document["categories"] = [one for one in document["categories"] if one["isthing"]]
    for record in document["annotations"]:
        record["segments_info"] = [s for s in record["segments_info"] if s["category_id"] in THING_IDS]
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="panoptic annotations, got ones without stuff"):
        true_scenes(load_annotations(file), THING_IDS, THINGS, STUFF)
