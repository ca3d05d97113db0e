"""What became of objects and predictions of one image, by loops over bitmaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mask:
    bitmap: np.ndarray  # (H, W) bool
    label: int
    score: float = 1.0
    is_crowd: bool = False


@dataclass
class Verdict:
    """Of each prediction: hit, double, ignored or spurious with the object concerned or -1; and what is special."""

    predictions: list[tuple[str, int]]
    merged: set[int]
    split: dict[int, set[int]]
    missed: set[int]


def judge(objects: Sequence[Mask], predictions: Sequence[Mask]) -> Verdict:
    """No two predictions have the same score."""

    def common(d: int, g: int) -> int:
        return int((predictions[d].bitmap & objects[g].bitmap).sum())

    def iou(d: int, g: int) -> float:
        return common(d, g) / int((predictions[d].bitmap | objects[g].bitmap).sum())

    def same(d: int, g: int) -> bool:
        return predictions[d].label == objects[g].label

    def best(d: int, candidates: Sequence[int]) -> int:
        close = [g for g in candidates if iou(d, g) > 0.5]
        return max(close, key=lambda g: iou(d, g), default=-1)

    by_score = sorted(range(len(predictions)), key=lambda d: -predictions[d].score)
    true = [g for g in range(len(objects)) if not objects[g].is_crowd]
    crowds = [g for g in range(len(objects)) if objects[g].is_crowd]
    found: dict[int, int] = {}  # prediction to object
    for d in by_score:
        g = best(d, [g for g in true if same(d, g) and g not in found.values()])
        if g >= 0:
            found[d] = g
    ignored = {
        d
        for d in by_score
        if d not in found and any(same(d, g) and common(d, g) > 0.5 * predictions[d].bitmap.sum() for g in crowds)
    }
    for d in by_score:
        if d not in found and d not in ignored:
            g = best(d, [g for g in true if g not in found.values()])
            if g >= 0:
                found[d] = g
    verdicts: list[tuple[str, int]] = []
    for d in range(len(predictions)):
        if d in found:
            verdicts.append(("hit", found[d]))
        elif d in ignored:
            verdicts.append(("ignored", -1))
        elif best(d, true) >= 0:
            verdicts.append(("double", best(d, true)))
        else:
            verdicts.append(("spurious", -1))
    missed = {g for g in true if g not in found.values()}
    merged = {
        d
        for d in range(len(predictions))
        if sum(
            same(d, g) and (g in missed or found.get(d) == g) and common(d, g) > 0.5 * objects[g].bitmap.sum()
            for g in true
        )
        > 1
    }
    parts = {
        g: {
            d
            for d in range(len(predictions))
            if same(d, g)
            and (verdicts[d][0] == "spurious" or found.get(d) == g)
            and common(d, g) > 0.5 * predictions[d].bitmap.sum()
        }
        for g in true
    }
    return Verdict(verdicts, merged, {g: found for g, found in parts.items() if len(found) > 1}, missed)
