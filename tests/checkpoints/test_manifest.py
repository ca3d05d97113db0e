import re
from pathlib import Path

import pytest
import torchvision

from maskrcnn.checkpoints.families.coco_classes import CLASS_NAMES, CLASS_NAMES_WITH_GAPS
from maskrcnn.checkpoints.manifest import Entry, find, load_manifest, read_manifest
from maskrcnn.config import PRESETS
from maskrcnn.semantic.torchvision_networks import NAMES, VOC_CLASSES

ENTRIES = list(load_manifest().values())
OF_OBJECTS = [entry for entry in ENTRIES if entry.task == "instance"]
TABLE = """
[tiny]
url = "https://example.org/files/tiny-01234567.pth"
sha256 = "01234567"
licence = "MIT"
network = "R18-FPN"
classes = 3
preset = "torchvision_v1"
source = "https://example.org"
"""


@pytest.mark.parametrize("entry", OF_OBJECTS, ids=lambda entry: entry.name)
def test_an_entry_is_complete(entry: Entry) -> None:
    assert entry.url.startswith("https://")
    assert entry.source.startswith("https://")
    assert entry.preset is not None
    assert entry.preset in PRESETS
    assert entry.name.partition("-")[0].startswith(entry.preset.partition("_")[0])
    assert entry.classes in (len(CLASS_NAMES), len(CLASS_NAMES_WITH_GAPS))
    assert entry.box_ap is not None
    assert entry.box_ap > (entry.mask_ap or 0)
    assert entry.size_bytes is None or entry.size_bytes > 150e6


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_checksum_is_the_one_in_the_name(entry: Entry) -> None:
    # Of torchvision and mmdetection the first 8 digits of the SHA-256, of detectron2 the first 6 of the MD5.
    in_name = re.search(r"(?:-([0-9a-f]{8})\.pth|_([0-9a-f]{6})\.pkl)$", entry.file)
    assert (in_name is None) == entry.name.startswith("matterport")
    if in_name:
        sha256, md5 = in_name.groups()
        assert (entry.sha256 or "")[:8] == (sha256 or "")
        assert entry.md5 == md5


def test_semantic_entries_are_those_of_torchvision() -> None:
    of_classes = {entry.name: entry for entry in ENTRIES if entry.task == "semantic"}
    assert tuple(of_classes) == NAMES
    for name, entry in of_classes.items():
        published = torchvision.models.get_model_weights(name)["DEFAULT"]
        assert entry.url == published.url
        assert entry.mean_iou == published.meta["_metrics"]["COCO-val2017-VOC-labels"]["miou"]
        assert (entry.preset, entry.box_ap, entry.classes) == (None, None, 20)
        assert (*VOC_CLASSES[1:],) == (*published.meta["categories"][1:],)


def test_every_preset_of_a_family_has_a_file() -> None:
    # torchvision_own is for what people train from torchvision's bodies; C4 and DC5 can be trained, not yet read.
    without = {"maskrcnn", "torchvision_own", "detectron2_c4", "detectron2_dc5"}
    assert {entry.preset for entry in OF_OBJECTS} == set(PRESETS) - without


def test_names_are_unique_and_found() -> None:
    names = [name for entry in ENTRIES for name in (entry.name, *entry.aliases, entry.file)]
    assert len(names) == len(set(names))
    for entry in ENTRIES:
        for name in (entry.name, *entry.aliases):
            assert find(name) is entry
    assert find("nuclei") is None
    assert find("") is None


def test_coco_is_a_good_model_of_80_classes() -> None:
    coco = find("coco")
    assert coco is not None
    assert coco.url.endswith("mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl")
    assert (coco.classes, coco.box_ap, coco.mask_ap) == (80, 42.9, 38.6)


def test_what_an_entry_may_leave_out(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(TABLE)
    (entry,) = read_manifest(tmp_path / "manifest.toml").values()
    assert (entry.name, entry.file) == ("tiny", "tiny-01234567.pth")
    assert (entry.aliases, entry.size_bytes, entry.md5, entry.box_ap, entry.mask_ap) == ((), None, None, None, None)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("sha256", "sha265", "tiny: unknown key sha265; did you mean sha256?"),
        ('sha256 = "01234567"', "", "tiny: .*expected sha256 or md5, got neither"),
        ('"01234567"', '"0123456"', "tiny: sha256: .*, got '0123456'"),
        ('"01234567"', '"0123456X"', "tiny: sha256: .*, got '0123456X'"),
        ("torchvision_v1", "torchvision", "tiny: .*preset: expected one of maskrcnn, .*, got 'torchvision'"),
        ("https://example.org/files", "file:///files", "tiny: .*url: expected http"),
        ("tiny-01234567.pth", "", "tiny: .*url: expected http"),
        ("tiny-01234567.pth", "..", "tiny: .*url: expected http"),
        ("tiny-01234567.pth", "f.pth?raw=true", "tiny: .*url: expected http"),
        ("classes = 3", "classes = 0", "tiny: classes: expected a whole number above 0, got 0"),
        ("classes = 3", "box_ap = 101", "tiny: .*box_ap: .*, got 101"),
        ('licence = "MIT"', "", "tiny: licence: expected a value, got nothing"),
        ("[tiny]", "tiny = 3\n[other]", "expected a table for each checkpoint, got tiny = 3"),
        ("[tiny]", "[tiny", "not valid TOML: "),
        ("[tiny]", '[tiny]\naliases = ["tiny"]', "tiny: 'tiny' belongs to tiny already"),
        ("[tiny]", f"{TABLE.replace('[tiny]', '[other]')}[tiny]", "'tiny-01234567.pth' belongs to other already"),
    ],
)
def test_mistakes_name_the_file_the_entry_and_the_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(ValueError, match=sentence) as error:
        read_manifest(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
