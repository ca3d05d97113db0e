"""Count made crossings of a line with ours and with supervision's LineZone (if installed), and print the errors.

Both get the same tracks. LineZone looks at the corners of boxes by default, and at their centres when told to.
"""

import argparse
from importlib.util import find_spec

import numpy as np

from crossing_ways import KINDS, SIDE_PX, films_of_ways, wrong_counts
from maskrcnn.structures.instances import Instances
from maskrcnn.tracking.lines import TRACK_IDS


def main() -> None:
    """Print a table: of each kind of way the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", type=int, default=10_000, help="in all (default: %(default)s)")
    parser.add_argument("--side", type=int, default=SIDE_PX, help="of the objects, px (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    columns = {"maskrcnn": wrong_counts(args.ways, args.seed, args.side)}
    if find_spec("supervision") is not None:
        columns |= {
            name: _of_supervision(args.ways, args.seed, args.side, is_centre)
            for name, is_centre in (("LineZone, corners", False), ("LineZone, centre", True))
        }
    print(f"| {args.ways // len(KINDS)} ways each | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for kind in KINDS:
        print(f"| {kind} | " + " | ".join(str(wrong[kind]) for wrong in columns.values()) + " |")
    print("| all | " + " | ".join(str(sum(wrong.values())) for wrong in columns.values()) + " |")


def _of_supervision(num: int, seed: int, side: int, is_centre: bool) -> dict[str, int]:
    """Errors of LineZone: ways whose crossings, in either direction, are not as many as there are."""
    import supervision as sv

    wrong = {}
    for kind, line, frames, truth in films_of_ways(num, seed, side):
        start, end = (sv.Point(float(x), float(y)) for x, y in line)
        anchors = {"triggering_anchors": [sv.Position.CENTER]} if is_centre else {}
        zone, counted = sv.LineZone(start, end, **anchors), np.zeros_like(truth)  # pyright: ignore[reportArgumentType]
        for instances in frames:
            crossed_in, crossed_out = zone.trigger(_detections(sv, instances))
            counted[:, 0] += crossed_in
            counted[:, 1] += crossed_out
        # Its "in" may be our "out": the better of both.
        errors = [int((each != truth).any(axis=1).sum()) for each in (counted, counted[:, ::-1])]
        wrong[kind] = min(errors)
    return wrong


def _detections(sv, instances: Instances):
    return sv.Detections(
        xyxy=instances.boxes.numpy(),
        confidence=instances.scores.numpy(),
        class_id=instances.labels.numpy(),
        tracker_id=instances.extra[TRACK_IDS].numpy(),
    )


if __name__ == "__main__":
    main()
