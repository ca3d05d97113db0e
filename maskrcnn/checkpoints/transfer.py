"""A new model that starts from the weights of another one, with other classes.

Letters: K classes of the new model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.config import Config, ModelSettings, overlay, validate
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.state import counts_by_part

ROWS_OF_A_CLASS = {"box_head.class_logits": 1, "box_head.deltas": 4, "mask_head.logits": 1}
"""Modules whose outputs belong to classes."""
LABELS = "semantic_head.predictor"
"""The one whose outputs belong to the labels of the semantic branch."""
BODY = ("kind", "name", "depth", "stem_channels", "groups", "width_per_group", "conv_bias")
"""What makes a body another one, which would take over the odd layer and be worth nothing."""
NOT_SAID = ("class_names", "category_ids", "family")


@dataclass(frozen=True)
class Transfer:
    """What became of every tensor."""

    loaded: tuple[str, ...]
    fitted: tuple[str, ...]
    """Rows of classes of the same name (and of the background) loaded, the others fresh."""
    reinitialised: tuple[str, ...]
    unused: tuple[str, ...]
    """In the source only."""
    kept_classes: tuple[str, ...]
    """All of whose rows are the source's."""
    new_classes: tuple[str, ...]
    unkept_classes: tuple[str, ...] = ()
    """The source has them too, but a head of another shape or none that was trained, so that their rows are fresh in
    those of `ROWS_OF_A_CLASS` that are `reinitialised`."""

    def table(self) -> str:
        """Numbers for every part of the network, and the classes."""
        kinds = {"loaded": self.loaded, "by class": self.fitted, "re-initialised": self.reinitialised}
        lines = counts_by_part(kinds | {"unused": self.unused})
        line = f"classes kept: {_some(self.kept_classes)}; new: {_some(self.new_classes)}"
        if self.unkept_classes:
            heads = ", ".join(_fresh_heads(self.reinitialised))
            line += f"; of the same name, but with fresh rows in {heads}: {_some(self.unkept_classes)}"
        return "\n".join([*lines, line])


def settings_from(config: Config, source: Checkpoint) -> tuple[Config, tuple[str, ...]]:
    """`config` with the network and conventions of `source` wherever it does not set its own.

    The second value names what it sets otherwise than the source, by dotted path: a sentence for each. The recommended
    score threshold is not taken over: it belongs to the old classes.
    """
    own = config.model.model_dump(exclude_unset=True)
    theirs = source.settings.model_dump()
    body = dict(own.get("backbone", {}))
    if body:  # told by its name alone, or a ResNet because nothing is said
        body["kind"] = config.model.backbone.kind
    other = [key for key in BODY if key in body and body[key] != theirs["backbone"].get(key)]
    if other:
        of_theirs = {key: theirs["backbone"].get(key, "in it") for key in other}
        said = ", ".join(f"model.backbone.{key} is {body[key]}, not {of_theirs[key]}" for key in other)
        raise ValueError(
            f"another body than that of the weights to start from: {said}; leave that out, or train.init_from"
        )
    changes = _changes(theirs, {key: value for key, value in own.items() if key not in NOT_SAID})
    of_old_classes = {"score_threshold": ModelSettings().detection.score_threshold, "exclusive_classes": ()}
    theirs["detection"] |= of_old_classes
    merged = overlay(theirs, own) | {"class_names": config.model.class_names, "category_ids": config.model.category_ids}
    model = validate(ModelSettings, merged, "model, with the settings of train.init_from below it")
    return config.model_copy(update={"model": model}), tuple(changes)


def transfer(model: MaskRCNN, settings: ModelSettings, source: Checkpoint) -> Transfer:
    """Load into `model`, which `settings` made, all that fits of `source`; heads class by class, by name.

    Raises:
        ValueError: nothing of the backbone fits.
    """
    own = model.state_dict()
    theirs = {name: tensor for name, tensor in source.tensors.items() if name not in source.untrained}
    source_names = [_plain(name) for name in source.settings.class_names]
    rows = [source_names.index(_plain(name)) if _plain(name) in source_names else None for name in settings.class_names]
    kinds: dict[str, list[str]] = {"loaded": [], "fitted": [], "reinitialised": []}
    label_rows = _label_rows(settings, source.settings)
    for name, tensor in own.items():
        if name.rpartition(".")[0] == LABELS:
            kind, value = _match_rows(tensor, theirs.get(name), label_rows, 1)
        else:
            kind, value = _match(name, tensor, theirs.get(name), rows, settings)
        kinds[kind].append(name)
        if value is not None:
            own[name] = value
    backbone = [name for name in kinds["loaded"] if name.startswith("backbone.")]
    if not backbone:
        raise ValueError(
            f"nothing of the backbone fits: the weights to start from are a {source.settings.backbone}, "
            f"the model is a {settings.backbone}"
        )
    model.load_state_dict(own)
    known = tuple(name for name, row in zip(settings.class_names, rows, strict=True) if row is not None)
    is_kept = not _fresh_heads(kinds["reinitialised"])
    return Transfer(
        tuple(kinds["loaded"]),
        tuple(kinds["fitted"]),
        tuple(kinds["reinitialised"]),
        tuple(name for name in source.tensors if name not in own),
        known if is_kept else (),
        tuple(name for name in settings.class_names if name not in known),
        () if is_kept else known,
    )


def _fresh_heads(reinitialised: Collection[str]) -> list[str]:
    """Modules that have rows for classes and nothing of the source's."""
    return [module for module in ROWS_OF_A_CLASS if f"{module}.weight" in reinitialised]


def _match(
    name: str, own: Tensor, theirs: Tensor | None, rows: Sequence[int | None], settings: ModelSettings
) -> tuple[str, Tensor | None]:
    """What happens to an entry, and its new value."""
    if theirs is None or own.shape[1:] != theirs.shape[1:]:
        return "reinitialised", None
    module = name.rpartition(".")[0]
    is_agnostic = settings.box_head.class_agnostic if module == "box_head.deltas" else settings.mask_head.class_agnostic
    if module not in ROWS_OF_A_CLASS or (module != "box_head.class_logits" and is_agnostic):
        return ("loaded", theirs) if own.shape == theirs.shape else ("reinitialised", None)
    if module == "box_head.class_logits":
        rows = [*rows, len(theirs) - 1]  # the background is last
    return _match_rows(own, theirs, rows, ROWS_OF_A_CLASS[module])


def _label_rows(settings: ModelSettings, source: ModelSettings) -> list[int | None]:
    """Of each label of the semantic branch the one of the same name; those of things are the first, whatever they are
    called."""
    if settings.semantic_head is None or source.semantic_head is None:
        return []
    known = [_plain(name) for name in source.semantic_head.stuff_names]
    names = map(_plain, settings.semantic_head.stuff_names)
    return [0, *(known.index(name) + 1 if name in known else None for name in names)]


def _match_rows(
    own: Tensor, theirs: Tensor | None, rows: Sequence[int | None], per_class: int
) -> tuple[str, Tensor | None]:
    if theirs is None or own.shape[1:] != theirs.shape[1:]:
        return "reinitialised", None
    num_theirs = len(theirs) // per_class
    if len(own) != per_class * len(rows) or any(row is not None and row >= num_theirs for row in rows):
        return "reinitialised", None  # one side has one head for all classes
    if [*range(num_theirs)] == rows:
        return "loaded", theirs
    new = [i for i, row in enumerate(rows) if row is not None]
    if not new:
        return "reinitialised", None
    old = torch.tensor([row for row in rows if row is not None])
    value = own.clone().unflatten(0, (-1, per_class))
    value[torch.tensor(new)] = theirs.unflatten(0, (-1, per_class))[old].to(value)
    return "fitted", value.flatten(0, 1)


def _changes(below: Mapping[str, Any], above: Mapping[str, Any], path: str = "model") -> list[str]:
    changes: list[str] = []
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below[key], Mapping):
            changes += _changes(below[key], value, f"{path}.{key}")
        elif value != below[key]:
            changes.append(f"{path}.{key} is {value}, {below[key]} in the weights to start from")
    return changes


def _plain(name: str) -> str:
    return name.strip().casefold()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
