"""Track made films with ByteTrack and OC-SORT of the package `trackers`, and judge all with `trackeval`.

Run by benchmark_tracking.py, perhaps with another Python: it needs the packages trackers and trackeval, and not ours.
"""

import sys
import time
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Print a line for each tracker and film: name, tracker, HOTA, IDF1, MOTA, identity switches, ms for a frame."""
    from trackeval.metrics import CLEAR, HOTA, Identity  # pyright: ignore[reportMissingImports]

    metrics = (
        HOTA(),
        CLEAR({"THRESHOLD": 0.5, "PRINT_CONFIG": False}),
        Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False}),
    )
    for path in sorted(folder.glob("*.npz")):
        film = dict(np.load(path))
        tracked = {"maskrcnn": (film["ours"], float(film["ours_ms"]))}
        for name, tracker in peers().items():
            tracked[name] = follow(tracker, film)
        for name, (ids, ms) in tracked.items():
            data = judged(film, ids)
            hota, clear, identity = (metric.eval_sequence(data) for metric in metrics)
            numbers = float(hota["HOTA"].mean()), float(identity["IDF1"]), float(clear["MOTA"])
            print(path.stem, name, *(f"{number:.4f}" for number in numbers), int(clear["IDSW"]), f"{ms:.2f}", sep="\t")


def peers() -> dict:
    """As they come, and with our thresholds of scores."""
    from trackers import ByteTrackTracker, OCSORTTracker  # pyright: ignore[reportMissingImports]

    scores = {"high_conf_det_threshold": 0.5}
    return {
        "ByteTrack": ByteTrackTracker(),
        "ByteTrack, our scores": ByteTrackTracker(track_activation_threshold=0.5, **scores),
        "OC-SORT": OCSORTTracker(),
        "OC-SORT, our scores": OCSORTTracker(**scores),
    }


def follow(tracker, film: dict) -> tuple[np.ndarray, float]:
    """(D,) the track of each detection, 0 for none, and ms for a frame."""
    import supervision as sv  # pyright: ignore[reportMissingImports]

    ids = np.zeros(len(film["frame"]), np.int64)
    took = 0.0
    for frame in range(int(film["num_frames"])):
        rows = np.flatnonzero(film["frame"] == frame)
        given = sv.Detections(
            xyxy=film["boxes"][rows].astype(np.float32).reshape(-1, 4),
            confidence=film["scores"][rows].astype(np.float32),
            class_id=film["labels"][rows].astype(int),
            data={"row": rows},
        )
        start = time.perf_counter()
        found = tracker.update(given)
        took += time.perf_counter() - start
        if len(found):
            ids[np.asarray(found.data["row"], int)] = np.maximum(np.asarray(found.tracker_id, int) + 1, 0)
    return ids, 1000 * took / int(film["num_frames"])


def judged(film: dict, ids: np.ndarray) -> dict:
    """A film and its tracks as trackeval takes them."""
    true_ids = {number: i for i, number in enumerate(np.unique(film["true_ids"]).tolist())}
    own_ids = {number: i for i, number in enumerate(np.unique(ids[ids > 0]).tolist())}
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for frame in range(int(film["num_frames"])):
        truth = np.flatnonzero(film["true_frame"] == frame)
        rows = np.flatnonzero((film["frame"] == frame) & (ids > 0))
        data["gt_ids"].append(np.array([true_ids[n] for n in film["true_ids"][truth].tolist()], int))
        data["tracker_ids"].append(np.array([own_ids[n] for n in ids[rows].tolist()], int))
        data["similarity_scores"].append(box_iou(film["true_boxes"][truth], film["boxes"][rows]))
    return data | {
        "num_timesteps": int(film["num_frames"]),
        "num_gt_dets": len(film["true_ids"]),
        "num_tracker_dets": int((ids > 0).sum()),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(own_ids),
    }


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) IoU of boxes."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    return inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-9)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
