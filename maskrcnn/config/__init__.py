"""Settings: what the network is, how it is trained, and the presets of the published families."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskrcnn.config.base import Settings, validate
from maskrcnn.config.model import ModelSettings
from maskrcnn.config.presets import PRESETS
from maskrcnn.config.semantic import SemanticSettings
from maskrcnn.config.training import AugmentSettings, DataSettings, TrainSettings
from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.plain_yaml import read_plain_yaml
from maskrcnn.untrusted.spelling import did_you_mean

__all__ = [
    "PRESETS",
    "AugmentSettings",
    "Config",
    "DataSettings",
    "ModelSettings",
    "SemanticSettings",
    "TrainSettings",
    "load_config",
    "model_settings",
    "overlay",
    "settings",
    "validate",
]


class Config(Settings):
    """A whole configuration, as a YAML file under `configs/` gives it."""

    model: ModelSettings = ModelSettings()
    semantic: SemanticSettings | None = None
    """A network that gives a class for every pixel, to be trained in place of `model`; `{}` is a U-Net."""
    train: TrainSettings = TrainSettings()
    data: DataSettings = DataSettings()


def model_settings(preset: str = "maskrcnn", source: str = "model", **differences: Any) -> ModelSettings:
    """Settings of a published family, or ours, with `differences` (nested dicts) laid over them.

    Raises:
        ValueError: for an unknown preset or key, naming `source`.
    """
    if preset not in PRESETS:
        raise ValueError(f"{source}: {_unknown_preset(preset)}")
    return validate(ModelSettings, overlay(PRESETS[preset], differences), source)


def settings(path: str | Path | None = None, preset: str | None = None, **differences: Any) -> Config:
    """A whole configuration: a YAML file or a preset of the network, with `differences` (nested dicts) laid over it.

    `settings("nuclei.yaml", train={"steps": 500}, data={"val_fraction": 0.1})`; what none of them says is left open,
    for `train` to decide by the data and the device.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: both a file and a preset, an unknown preset or key, or a value out of range; names the dotted path.
    """
    if path is not None and preset is not None:
        raise ValueError("settings: expected a file or a preset, got both (a file names its own as model.preset)")
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"settings: {_unknown_preset(preset)}")
    below: Mapping[str, Any] = {"model": PRESETS[preset or "maskrcnn"]}
    if path is not None:
        below = load_config(path).model_dump(exclude_unset=True)
    return validate(Config, overlay(below, differences), "settings")


def load_config(path: str | Path) -> Config:
    """Read a YAML file that holds the differences from the defaults; `model.preset` names a family to start from.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML mapping, or a key or value is wrong; names the file and the dotted path.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no configuration file {path}")
    try:
        values = read_plain_yaml(path) or {}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping with the keys model, train and data, got {type(values).__name__}")
    values = {key: value for key, value in values.items() if value is not None}  # "model:" with nothing below it
    if not isinstance(values.get("model", {}), dict):
        raise ValueError(f"{path}: model: expected a mapping, got {excerpt(values['model'])}")
    model = dict(values.get("model", {}))
    preset = model.pop("preset", "maskrcnn")
    if preset not in list(PRESETS):  # a list is compared with anything, also with what cannot be a key
        raise ValueError(f"{path}: model.preset: {_unknown_preset(preset)}")
    return validate(Config, {**values, "model": overlay(PRESETS[preset], model)}, str(path))


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, group by group."""
    merged = dict(below)
    for key, value in above.items():
        both_groups = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both_groups else value
    return merged


def _unknown_preset(preset: object) -> str:
    hint = did_you_mean(preset, PRESETS) if isinstance(preset, str) else ""
    return f"unknown preset {excerpt(preset)}{hint}; known: {', '.join(PRESETS)}"
