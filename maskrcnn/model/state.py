"""Which tensors of a file fit a model, and which do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

MOST_NAMED = 10  # entries of a kind that a table names


@dataclass(frozen=True)
class StateFit:
    """A model's entries and a file's, compared by name and shape."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    """In the model only."""
    unexpected: tuple[str, ...]
    """In the file only."""
    misshapen: tuple[str, ...]
    """In both, in different shapes: a sentence for each."""

    @property
    def is_exact(self) -> bool:
        """Whether every entry matched."""
        return not (self.missing or self.unexpected or self.misshapen)

    def table(self) -> str:
        """Numbers for every part of the network, then the names of what did not match."""
        kinds = {"matched": self.matched, "missing": self.missing, "unexpected": self.unexpected}
        lines = counts_by_part(kinds | {"other shape": self.misshapen})
        for title, entries in (("missing", self.missing), ("unexpected", self.unexpected), ("shape", self.misshapen)):
            lines += [f"{title}: {entry}" for entry in entries[:MOST_NAMED]]
            if len(entries) > MOST_NAMED:
                lines.append(f"{title}: and {len(entries) - MOST_NAMED} more")
        return "\n".join(lines)


def compare_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> StateFit:
    """How `tensors` fit the state of `model`."""
    own = model.state_dict()
    both = [name for name in own if name in tensors]
    return StateFit(
        matched=tuple(name for name in both if own[name].shape == tensors[name].shape),
        missing=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        misshapen=tuple(
            f"{name} is {tuple(tensors[name].shape)}, the model has {tuple(own[name].shape)}"
            for name in both
            if own[name].shape != tensors[name].shape
        ),
    )


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], *, is_partial: bool = False) -> StateFit:
    """Load `tensors` into `model`. Every name and shape must agree, or, `is_partial`, what agrees is loaded.

    Raises:
        ValueError: not all agrees; with the table of what did.
    """
    fit = compare_state(model, tensors)
    if not fit.is_exact and not is_partial:
        raise ValueError(f"the weights do not fit the model\n{fit.table()}")
    model.load_state_dict({name: tensors[name] for name in fit.matched}, strict=False)
    return fit


def counts_by_part(kinds: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a table: how many entries of each kind every part of a network has."""
    parts = list(dict.fromkeys(part_of(entry) for entries in kinds.values() for entry in entries))
    width = max((len(part) for part in parts), default=4)
    lines = ["  ".join([f"{'part':{width}}", *kinds])]
    for part in parts:
        nums = [f"{sum(part_of(e) == part for e in entries):{len(kind)}}" for kind, entries in kinds.items()]
        lines.append("  ".join([f"{part:{width}}", *nums]))
    return lines


def part_of(entry: str) -> str:
    """Of an entry or of a sentence that starts with one: `backbone`, `box_head.fcs`, ..."""
    names = entry.partition(" ")[0].split(".")
    return ".".join(names[:-1][:2] if names[0] != "backbone" else names[:1]) or names[0]
