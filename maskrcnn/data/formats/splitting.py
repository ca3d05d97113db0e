"""Divide a data set into one part to train on and one to validate with."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from maskrcnn.data.annotations import Annotations

NUM_NAMED = 3


class OneSidedError(ValueError):
    """So few pictures, or groups of them, that all came to one side."""


def split_dataset(
    annotations: Annotations, val_fraction: float, seed: int = 0, group_of: Callable[[str], str] | None = None
) -> tuple[Annotations, Annotations]:
    """(train, val), of which val has about the share `val_fraction` of the pictures, or of their groups.

    A picture's side depends on nothing but its file name and `seed`, so that more pictures change nothing for those
    that were there. Pictures of which `group_of` makes the same text of the file name come to the same side. Ids stay
    as they are; problems go with their pictures, and those of no picture with train.

    Raises:
        ValueError: a fraction not between 0 and 1.
        OneSidedError: a side without pictures.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"expected a fraction for validation between 0 and 1, got {val_fraction:g}")
    group_of = group_of or str
    names = annotations.file_names
    is_val = np.array([_place(group_of(name), seed) < val_fraction for name in names], bool)
    if is_val.all() or not is_val.any():
        groups = len({group_of(name) for name in names})
        raise OneSidedError(
            f"all {len(names)} images ({groups} groups) came to one side; "
            "another seed or fraction for validation divides them"
        )
    every = np.ones(len(annotations.names), bool)
    train, val = annotations.select(~is_val, every), annotations.select(is_val, every)
    goes_to_val = [problem.row >= 0 or problem.image >= 0 for problem in val.problems]
    train_problems = tuple(problem for problem, is_vals in zip(train.problems, goes_to_val, strict=True) if not is_vals)
    val_problems = tuple(problem for problem, is_vals in zip(val.problems, goes_to_val, strict=True) if is_vals)
    return replace(train, problems=train_problems), replace(val, problems=val_problems)


def group_by(pattern: str, file_names: list[str]) -> Callable[[str], str]:
    """From a file name to its group: what the parentheses of `pattern` match, searched for in it, or the whole match.

    Raises:
        ValueError: not a regular expression, or one that some of `file_names` do not match.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression for groups, got {pattern!r} ({error})") from None
    others = [name for name in file_names if not compiled.search(name)]
    if others:
        named = ", ".join(others[:NUM_NAMED])
        raise ValueError(f"the group of {len(others)} images is not told by {pattern!r}: {named}")

    def group_of(file_name: str) -> str:
        match = compiled.search(file_name)
        assert match is not None
        return "\0".join(str(part) for part in match.groups()) or match.group()

    return group_of


def _place(group: str, seed: int) -> float:
    """0 to 1, evenly spread, from the text alone."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
