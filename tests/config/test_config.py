"""Settings: presets and files load, mistakes are named, nothing changes afterwards."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from maskrcnn.config import PRESETS, Config, ModelSettings, load_config, model_settings, validate
from maskrcnn.config.base import Settings

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def load_text(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def groups_of(settings: type[Settings]) -> list[type[Settings]]:
    """`settings` and every group inside it."""
    groups = [settings]
    for field in settings.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            groups += groups_of(field.annotation)
    return groups


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path and value of everything that is no group."""
    found = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


class TestPresets:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_loads_and_says_where_it_comes_from(self, preset: str):
        settings = model_settings(preset)
        assert settings.family == preset
        given = leaves(PRESETS[preset])
        resolved = leaves(settings.model_dump())
        assert {path: resolved[path] for path in given} == given

    @pytest.mark.parametrize("preset", PRESETS)
    def test_differences_keep_the_rest_of_their_group(self, preset: str):
        plain, changed = (leaves(model_settings(preset, **d).model_dump()) for d in ({}, {"rpn": {"convs": 7}}))
        assert {path for path in plain if plain[path] != changed[path]} == {"rpn.convs"}

    def test_unknown(self):
        with pytest.raises(ValueError, match=r"weights\.pth: unknown preset 'yolo'; known: maskrcnn, torchvision_v1"):
            model_settings("yolo", "weights.pth")

    def test_ours_is_the_default(self):
        assert model_settings() == ModelSettings()


class TestFiles:
    @pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
    def test_every_file_in_configs_loads(self, path: Path):
        load_config(path)

    def test_there_are_some(self):
        assert len(CONFIGS) >= 3

    @pytest.mark.parametrize("text", ["", "# nothing\n", "model:\ntrain:\n", "model: {}\n"])
    def test_nothing_is_all_defaults(self, tmp_path: Path, text: str):
        assert load_text(tmp_path, text) == Config()

    def test_a_preset_and_differences(self, tmp_path: Path):
        config = load_text(
            tmp_path,
            "model:\n  preset: matterport\n  backbone: {depth: 50}\ntrain: {learning_rate: 1e-4}\n",
        )
        assert config.model == model_settings("matterport", backbone={"depth": 50})
        assert config.model.backbone.norm_eps == 1e-3
        assert config.train.learning_rate == 1e-4  # YAML 1.1 reads a text there

    def test_what_is_resolved_loads_again(self):
        config = Config(model=model_settings("torchvision_v2"))
        assert validate(Config, config.model_dump(mode="json"), "again") == config

    def test_no_file(self, tmp_path: Path):
        with pytest.raises(FileNotFoundError, match=r"no configuration file .*absent\.yaml"):
            load_config(tmp_path / "absent.yaml")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("- 1\n- 2\n", "expected a mapping with the keys model, train and data, got list"),
            ("model: [1, 2]\n", r"model: expected a mapping, got \[1, 2\]"),
            ("model: {backbone: [\n", "not valid YAML"),
            ("model: {preset: yolo}\n", "model.preset: unknown preset 'yolo'; known: maskrcnn"),
            (
                "model: {preset: detectron_msra}\n",
                r"model.preset: unknown preset 'detectron_msra'; did you mean detectron2_msra\?",
            ),
            ("model: {preset: [yolo]}\n", r"model.preset: unknown preset \['yolo'\]"),
        ],
    )
    def test_mistakes_name_the_file(self, tmp_path: Path, text: str, sentence: str):
        with pytest.raises(ValueError, match=rf"mine\.yaml: {sentence}"):
            load_text(tmp_path, text)


class TestMistakes:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"tran": {}}, "unknown key tran; did you mean train?"),
            ({"model": {"backbon": {}}}, "unknown key model.backbon; did you mean backbone?"),
            (
                {"model": {"rpn": {"nms_treshold": 0.5}}},
                "unknown key model.rpn.nms_treshold; did you mean nms_threshold?",
            ),
            ({"train": {"augment": {"horizontalflip": 1}}}, "unknown key train.augment.horizontalflip; did you mean "),
            ({"train": {"zzz": 1}}, "unknown key train.zzz; known here: accumulate, augment, "),
        ],
    )
    def test_an_unknown_key_is_guessed(self, values: dict, sentence: str):
        with pytest.raises(ValueError) as error:  # noqa: PT011 (the sentence is compared below)
            validate(Config, values, "a.yaml")
        assert str(error.value).startswith(f"a.yaml: {sentence}")

    @pytest.mark.parametrize(
        ("values", "path"),
        [
            ({"model": {"backbone": {"depth": 51}}}, "model.backbone.depth"),
            ({"model": {"detection": {"score_threshold": 1.5}}}, "model.detection.score_threshold"),
            ({"model": {"rpn": {"channels": 0}}}, "model.rpn.channels"),
            ({"model": {"anchors": {"sizes": [8, 16, 32, 64]}}}, "model.anchors"),
            ({"model": {"anchors": {"sizes": [8, 16, 32, 64, []]}}}, "model.anchors.sizes.4"),
            ({"model": {"rpn": {"background_iou": 0.8}}}, "model.rpn"),
            ({"model": {"resize": {"shortest_edge": 1400}}}, "model.resize"),
            ({"model": {"backbone": {"kind": "vgg"}}}, "model.backbone"),
            ({"model": {"backbone": {"name": "convnext_giant"}}}, "model.backbone.name"),
            ({"model": {"backbone": {"name": "swin_t"}, "neck": "c4", "anchors": {"sizes": [[8, 16]]}}}, "model"),
            ({"model": {"neck": "c4"}}, "model.anchors"),
            ({"model": {"anchors": {"sizes": [8, 16, 32, 64, -1]}}}, "model.anchors.sizes.4"),
            ({"model": {"pixels": {"mean": [1, 2]}}}, "model.pixels.mean.2"),
            ({"model": {"class_names": ["a", "a"]}}, "model"),
            ({"model": {"class_names": []}}, "model"),
            ({"model": {"class_names": ["a"], "category_ids": [1, 2]}}, "model"),
            ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
            ({"train": {"augment": {"scale": [0.0, 1.0]}}}, "train.augment.scale.0"),
            ({"train": []}, "train"),
        ],
    )
    def test_a_value_out_of_range_has_its_full_path(self, values: dict, path: str):
        with pytest.raises(ValueError, match=r"^a\.yaml: ") as error:
            validate(Config, values, "a.yaml")
        assert str(error.value).startswith(f"a.yaml: {path}: ")

    def test_all_mistakes_are_told_at_once(self):
        with pytest.raises(ValueError, match=r"model\.fpn\.chanels; did you mean channels.*train\.steps"):
            validate(Config, {"model": {"fpn": {"chanels": 1}}, "train": {"steps": 0}}, "a.yaml")


def test_settings_are_frozen():
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.model.rpn.convs = 2
    with pytest.raises(ValidationError, match="frozen"):
        config.train = config.train


@pytest.mark.parametrize("group", groups_of(Config), ids=lambda group: group.__name__)
def test_every_group_of_numbers_says_what_it_is(group: type[Settings]):
    assert group.__doc__
    silent = [name for name, field in group.model_fields.items() if not field.description]
    is_plain = [name for name in silent if name not in WITHOUT_A_SENTENCE and not is_group(group, name)]
    assert is_plain == []


WITHOUT_A_SENTENCE = ("optimizer",)  # its name and its choices say it all


def is_group(group: type[Settings], name: str) -> bool:
    annotation = group.model_fields[name].annotation
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def test_num_classes_is_without_the_background():
    assert ModelSettings(class_names=("a", "b")).num_classes == 2


def test_settings_of_bottlenecks_need_bottlenecks():
    with pytest.raises(ValueError, match=r"test: backbone: groups, .* depth 50 and more, got 18$"):
        model_settings("maskrcnn", "test", backbone={"depth": 18, "groups": 32})
