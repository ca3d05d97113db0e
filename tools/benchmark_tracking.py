"""Compare our tracker with ByteTrack and OC-SORT on made films whose truth is known.

All get the same detections. Needs the packages trackers and trackeval, which may be those of another Python.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from film_maker import Cutout, Scene, detections, made_cutouts, make_film, read_cutouts
from maskrcnn.data.images import read_image
from maskrcnn.tracking.tracker import NO_TRACK, Tracker

SCENES = (
    Scene("crossing", 20),
    Scene("occluded", 20, bars=3),
    Scene("leaving", 30, leaves=True, speeds=(0.1, 0.3)),
    Scene("stopping", 30, stops=True),
    Scene("shake", 30, shake_px=6.0),
    Scene("few", 10, sides=(30.0, 80.0), bars=2, speeds=(0.05, 0.4)),
    Scene("hundred", 100, size=(720, 960), stops=True, leaves=True),
    Scene("crowd", 300, size=(960, 1280), num_frames=80, sides=(20.0, 36.0), leaves=True),
)
DATA_SETS = {
    "nuts": ("nuts/trainval.json", "nuts/images"),
    "balloon": ("balloon/instances_train.json", "balloon/train"),
    "nuclei": ("nuclei/annotations/train.json", "nuclei/images"),
}


def main() -> int:
    """Make the films, track them, have them judged, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder with nuts/, balloon/, nuclei/ and photos/ (default: ellipses)"
    )
    parser.add_argument("--python", default=sys.executable, help="a Python with trackers and trackeval")
    parser.add_argument("--seeds", type=int, default=3, help="films of each scene (default: %(default)s)")
    parser.add_argument("--scenes", nargs="+", default=[scene.name for scene in SCENES], help="default: all")
    args = parser.parse_args()
    sets = _cutouts(args.data)
    grounds = sorted((args.data / "photos").glob("*.jpg")) if args.data else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in SCENES:
            if scene.name not in args.scenes:
                continue
            for seed in range(args.seeds):
                kind = sorted(sets)[seed % len(sets)]
                ground = read_image(grounds[(7 * seed) % len(grounds)]) if grounds else None
                film = _tracked(scene, sets[kind], seed, ground)
                np.savez(folder / f"{scene.name}_{kind}_{seed}.npz", **film)
        judge = Path(__file__).with_name("tracking_peers.py")
        done = subprocess.run([args.python, judge, folder], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    _print_table([line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 6])
    return 0


def _cutouts(data: Path | None) -> dict[str, tuple[list[Cutout], list[str]]]:
    if data is None:
        return {"ellipses": (made_cutouts(), ["ellipse"])}
    return {name: read_cutouts(data / file, data / images) for name, (file, images) in DATA_SETS.items()}


def _tracked(
    scene: Scene, cutouts: tuple[list[Cutout], list[str]], seed: int, ground: np.ndarray | None
) -> dict[str, Any]:
    """Truth, detections, and our tracks of a film."""
    rng, tracker, took = np.random.default_rng(1000 + seed), Tracker(), 0.0
    table = defaultdict(list)
    for number, frame in enumerate(make_film(scene, cutouts[0], seed, ground)):
        found = detections(frame, cutouts[1], rng)
        found.crops()
        start = time.perf_counter()
        table["keys"].append(tracker.update(found, number / 25))
        took += time.perf_counter() - start
        columns = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
        for key, values in columns.items():
            table[key].append(values.numpy())
        table["frame"].append(np.full(len(found), number))
        table["true_ids"].append(frame.ids)
        table["true_boxes"].append(frame.boxes)
        table["true_frame"].append(np.full(len(frame.ids), number))
    tracker.finish()
    arrays = {key: np.concatenate(parts) for key, parts in table.items()}
    ours = tracker.numbers(arrays.pop("keys"))
    assert NO_TRACK == 0
    num_frames = np.array(scene.num_frames)
    return arrays | {"ours": ours, "ours_ms": np.array(1000 * took / scene.num_frames), "num_frames": num_frames}


def _print_table(rows: list[list[str]]) -> None:
    """The mean of each scene and tracker, and of all."""
    scores: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for film, tracker, *numbers in rows:
        for scene in (film.split("_")[0], "all"):
            scores[scene, tracker].append([float(number) for number in numbers])
    print("| film | tracker | HOTA | IDF1 | MOTA | switches | ms a frame |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for scene, tracker in sorted(scores, key=lambda key: (key[0] == "all", key[0])):
        hota, idf1, mota, switches, ms = np.mean(scores[scene, tracker], axis=0)
        print(f"| {scene} | {tracker} | {hota:.3f} | {idf1:.3f} | {mota:.3f} | {switches:.1f} | {ms:.1f} |")


if __name__ == "__main__":
    sys.exit(main())
