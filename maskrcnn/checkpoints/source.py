"""A checkpoint file of another package as it was read: its content, how it must be used, and whether it is sound."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

USUAL = ("sizes", "anchors", "thresholds")
"""What only a config says, so that files without one are taken to have what their family publishes."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of another package, read and not yet understood."""

    path: Path
    tensors: dict[str, Tensor]
    """On the CPU, in the dtype and under the names of the file; of an HDF5 file `layer/weight`."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What else the file says: plain values only."""
    choices: tuple[str, ...] = ()
    """What was taken where the file holds several such things: half sentences that follow "assumed:"."""


@dataclass(frozen=True)
class Conventions:
    """How the weights of a file must be used: what its names and shapes cannot tell."""

    family: str
    """What a person calls it: "torchvision v1"."""
    preset: str
    """Key of `maskrcnn.config.PRESETS`."""
    differences: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the preset, group by group."""
    class_names: tuple[str, ...] = ()
    """Of the labels 0..K-1, as far as the file or what lies beside it names them; else empty."""
    category_ids: tuple[int, ...] = ()
    """The data set's id of each label; empty where they are 1..K."""
    facts: tuple[str, ...] = ()
    """What is known, with where it is known from: "BGR, stride in 1x1: from the config beside it"."""
    assumptions: tuple[str, ...] = ()
    """What the file does not say and is taken for granted: "BGR", "the published file's norm eps of 0"."""


def in_words(usual: Sequence[str] = USUAL) -> str:
    """The usual sizes, anchors and thresholds."""
    return f"the usual {' and '.join(part for part in (', '.join(usual[:-1]), usual[-1]) if part)}"


def renamed(name: str, modules: Iterable[tuple[str, str]]) -> str:
    """Entry `name` with its module called as the first pair (pattern, template) that fits says; else as it is."""
    module, _, leaf = name.rpartition(".")
    for pattern, ours in modules:
        found = re.fullmatch(pattern, module)
        if found:
            return f"{found.expand(ours)}.{leaf}"
    return name


_VARIANCES = ("running_var", "moving_variance")  # of torch and of Keras


def damage_in(tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the first entry that holds NaN, infinity or a negative variance; None where all are sound."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        numbers = tensor if tensor.element_size() > 1 else tensor.float()
        lowest, highest = (float(end) for end in torch.aminmax(numbers))  # of NaN both are NaN
        if not (isfinite(lowest) and isfinite(highest)):
            bad = int((~numbers.isfinite()).sum())
            return f"{name} holds NaN or infinity in {bad} of {numbers.numel()} places, so the weights are of no use"
        if lowest < 0 and name.endswith(_VARIANCES):
            return f"{name} holds a variance of {lowest:.3g}, so the weights are of no use"
    return None


@dataclass(frozen=True)
class Exported:
    """A checkpoint of ours as another package has it."""

    content: dict[str, Any]
    """What `torch.save` writes."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Text of the files that lie beside it, by their names."""
    how: str = ""
    """Lines of Python that load it there."""
    preset: str | None = None
    """With which it is read back."""
    free: frozenset[str] = frozenset()
    """Dotted settings that those lines say, and the file does not."""


def names_there(names: Collection[str], modules: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The entry of theirs for each of ours: the inverse of `renamed` with the same pairs, in the latest spelling.

    Where theirs tells batch norms (`bn`) from group norms (`gn`), statistics tell here; where it tells one convolution
    of the RPN from several, their number.

    Raises:
        ValueError: an entry that no pair makes.
    """
    pairs = [turned for pair in modules for turned in _turned(*pair)]
    has_several = "rpn.convs.1.conv.weight" in names
    found = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        theirs = [match.expand(template) for pattern, template in pairs if (match := re.fullmatch(pattern, module))]
        if not theirs:
            raise ValueError(f"{name}: there is no place for it")
        if module.endswith(".norm"):
            other = "gn" if f"{module}.running_mean" in names else "bn"
            theirs = [one for one in theirs if not re.search(rf"\.{other}\d*$", one)] or theirs
        found[name] = f"{theirs[-1 if has_several and module.startswith('rpn.convs.') else 0]}.{leaf}"
    return found


def _turned(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Pattern and template with their sides changed, one for each spelling; what is optional is there."""
    choice = re.search(r"\(\?:([^()]*)\)\??", theirs)
    if choice:
        for spelling in choice[1].split("|"):
            yield from _turned(theirs[: choice.start()] + spelling + theirs[choice.end() :], ours)
        return
    groups = re.findall(r"\(([^()]*)\)", theirs)
    numbers = iter(range(1, len(groups) + 1))
    template = re.sub(r"\([^()]*\)", lambda _: rf"\g<g{next(numbers)}>", theirs).replace(r"\.", ".")
    parts = re.split(r"\\(\d)", ours)  # text, number of a group, text, ...
    pattern = "".join(
        f"(?P<g{part}>{groups[int(part) - 1]})" if i % 2 else re.escape(part) for i, part in enumerate(parts)
    )
    yield pattern, template
