"""Spoil annotations on purpose, and measure how many of the spoilt ones a model's list of suspects has at its top."""

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.ground_truth import ground_truth
from maskrcnn.evaluation.suspects import KINDS, Suspect, rank_suspects
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scoring import category_ids_of, detect_for_judging
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import Rle, decode, encode

Harm = Literal["dropped", "merged", "shifted", "relabelled"]
HARMS: tuple[Harm, ...] = get_args(Harm)
GAP_PX = 3
"""Between two objects that an annotator may take for one."""
SHIFTS = (0.25, 0.75)
"""How far an outline moves, in sides of a square of its area: IoU with where it was about 0.6 to 0.2."""
MIN_LEFT = 0.7
"""Of a mask that is moved towards the border, the share that must stay inside."""
SAME_IOU = 0.5
"""A suspect shows a spoilt object if what was found has this IoU with what was annotated before."""


@dataclass(frozen=True)
class Spoilt:
    """One error that was put in."""

    harm: Harm
    image_id: int
    annotation_id: str
    """Of the annotation that is wrong now; empty where it was dropped."""
    before: tuple[Rle, ...]
    """The outlines that were there."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="PATH", help="held out from the training of the weights")
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: searched near the annotations)")
    add("--weights", help="a name or a file (default: nuclei)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--spoil", type=float, default=0.05, help="share of the annotations to spoil (default: %(default)s)")
    add("--first", type=float, default=0.1, help="length of the list, in annotations (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the choice of annotations (default: %(default)s)")
    add("--repeats", type=int, default=1, help="choices, with seeds that follow one another (default: %(default)s)")
    args = parser.parse_args()
    predictor = Predictor(args.weights, device=args.device)
    table = load_annotations(args.annotations, args.images)
    print(report(table, predictor.class_names, detect_for_judging(predictor, table), args))
    return 0


def report(
    table: Annotations, class_names: Sequence[str], results: Mapping[int, Instances], args: argparse.Namespace
) -> str:
    """The table that the tool prints; figures are pooled over the repeats."""
    hit: dict[str, list[bool]] = {harm: [] for harm in HARMS}
    right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for seed in range(args.seed, args.seed + args.repeats):
        damaged, spoilt = spoil(table, args.spoil, np.random.default_rng(seed))
        truths = ground_truth(damaged, category_ids_of(class_names, damaged))
        length = round(args.first * int(damaged.is_object.sum()))
        first = rank_suspects(truths, [results[truth.image_id] for truth in truths])[:length]
        shown = shows(first, spoilt, results)
        for one, is_hit in zip(spoilt, np.any(shown, axis=0), strict=True):
            hit[one.harm].append(bool(is_hit))
        for suspect, is_right in zip(first, np.any(shown, axis=1), strict=True):
            right[suspect.kind].append(bool(is_right))
    lines = ["| spoilt | number | among the first | recall |", "|---|---|---|---|", *_rows(hit), ""]
    lines += ["| suspects among the first | number | spoilt | precision |", "|---|---|---|---|", *_rows(right)]
    return "\n".join(lines)


def _rows(values: Mapping[str, Sequence[bool]]) -> list[str]:
    pooled = {**values, "all": [one for row in values.values() for one in row]}
    return [
        f"| {name} | {len(row)} | {sum(row)} | {f'{sum(row) / len(row):.1%}' if row else '-'} |"
        for name, row in pooled.items()
    ]


def shows(suspects: Sequence[Suspect], spoilt: Sequence[Spoilt], results: Mapping[int, Instances]) -> np.ndarray:
    """(suspects, spoilt) bool: whoever looks at the suspect sees the error.

    It names the wrong annotation, or what was found there is the object as it was annotated before.
    """
    table = np.zeros((len(suspects), len(spoilt)), bool)
    masks = {image_id: results[image_id].rles() for image_id in {one.image_id for one in suspects}}
    for i, suspect in enumerate(suspects):
        found: list[Any] = [masks[suspect.image_id][d] for d in suspect.found]
        for k, one in enumerate(spoilt):
            if one.image_id == suspect.image_id:
                is_named = suspect.annotation_id != "" and suspect.annotation_id == one.annotation_id
                before: list[Any] = list(one.before)
                is_same = bool(found) and np.max(coco_mask.iou(found, before, [0] * len(before))) > SAME_IOU
                table[i, k] = is_named or (is_same and suspect.kind == "unannotated")
    return table


def spoil(table: Annotations, share: float, rng: np.random.Generator) -> tuple[Annotations, list[Spoilt]]:
    """A copy of `table` with that share of its objects spoilt, each kind of harm as often as the others.

    Objects are relabelled only where there are two classes, and merged only with one that is not `GAP_PX` away.

    Raises:
        ValueError: a share that is not in 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"--spoil: expected a share from 0 to 1, got {share:g}")
    harms = HARMS if len(table.class_names) > 1 else HARMS[:-1]
    coco = copy.deepcopy(table.coco)
    records = coco["annotations"]
    free = dict.fromkeys(rng.permutation(np.flatnonzero(table.is_object)).tolist())
    number = round(share * len(free))
    gone, spoilt = set(), []
    for k, harm in enumerate(sorted(harms, key=lambda one: one != "merged")):  # those need neighbours
        for _ in range(number // len(harms) + (k < number % len(harms))):
            other = None
            for row in list(free):
                other = _neighbour(table, row, free) if harm == "merged" else row
                if other is not None:
                    break
            else:
                break
            before = table.rle(row)
            for used in (row, other):
                free.pop(used, None)
            if harm == "dropped":
                gone.add(row)
            elif harm == "relabelled":
                others = [one for one in table.category_ids if one != records[row]["category_id"]]
                records[row]["category_id"] = int(rng.choice(others))
            else:
                if harm == "merged":
                    gone.add(other)
                    mask = decode(before) | decode(table.rle(other))
                else:
                    mask = _shifted(decode(before), rng)
                records[row] |= _outline(mask)
            outlines = (before, table.rle(other)) if harm == "merged" else (before,)
            name = "" if harm == "dropped" else table.names[row]
            spoilt.append(Spoilt(harm, table.image_ids[int(table.image[row])], name, outlines))
    coco["annotations"] = [record for row, record in enumerate(records) if row not in gone]
    return annotations_from_coco(coco, table.image_folder, table.source), spoilt


def _neighbour(table: Annotations, row: int, free: Mapping[int, None]) -> int | None:
    """A free object of the same class and image that all but touches this one."""
    others = [one for one in table.rows(int(table.image[row])).tolist() if one != row and one in free]
    others = [one for one in others if table.labels[one] == table.labels[row]]
    x0, y0, x1, y1 = table.corners(np.array([row]))[0]
    kernel = np.ones((2 * GAP_PX + 1, 2 * GAP_PX + 1), np.uint8)
    near = None
    for other, (left, top, right, bottom) in zip(others, table.corners(np.array(others, np.int64)), strict=True):
        if left - x1 < GAP_PX and x0 - right < GAP_PX and top - y1 < GAP_PX and y0 - bottom < GAP_PX:
            near = cv2.dilate(decode(table.rle(row)).astype(np.uint8), kernel) > 0 if near is None else near
            if (near & decode(table.rle(other))).any():
                return other
    return None


def _shifted(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    area = int(mask.sum())
    while True:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*SHIFTS) * np.sqrt(area)
        dx, dy = (round(length * one) for one in (np.cos(angle), np.sin(angle)))
        moved = cv2.warpAffine(mask.astype(np.uint8), np.array([[1.0, 0, dx], [0, 1, dy]]), mask.shape[::-1]) > 0
        if moved.sum() >= MIN_LEFT * area and (dx or dy):
            return moved


def _outline(mask: np.ndarray) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    box = [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
    return {"segmentation": encode(mask), "bbox": box, "area": int(mask.sum())}


if __name__ == "__main__":
    sys.exit(main())
