"""A film through a predictor: every object followed and counted once, whatever interrupts it; drawing and tables."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from maskrcnn.data.films.frame import Choice, Film, FilmError, Frame, chosen_frames
from maskrcnn.data.films.live import LiveFrames
from maskrcnn.data.films.opening import FilmLike, is_address, open_film
from maskrcnn.files import clear_temporaries, folder_lock
from maskrcnn.prediction.ahead import ahead
from maskrcnn.prediction.file_state import state_of
from maskrcnn.prediction.film_files import (
    ZONES,
    FilmFiles,
    film_file_names,
    unique_counts,
    write_zones,
)
from maskrcnn.prediction.film_names import OwnFiles, film_stem
from maskrcnn.prediction.film_records import FilmRecords, found_in, record_of
from maskrcnn.prediction.film_settings import FilmSettings, FilmSummary
from maskrcnn.prediction.folder_job import RECORDS
from maskrcnn.prediction.job_records import settings_key
from maskrcnn.prediction.job_results import COUNTS
from maskrcnn.prediction.tracks import (
    FRAMES_AHEAD,
    FilmPredictor,
    Stages,
    TrackedFrame,
    find,
    followed,
    in_background,
    sure_score,
)
from maskrcnn.report.counts_table import CountRow, counts_csv
from maskrcnn.report.draw_tracks import DrawnLine, DrawnZone, draw_tracks
from maskrcnn.report.regions import centroids
from maskrcnn.structures.instances import Instances
from maskrcnn.tracking.lines import LineCounter
from maskrcnn.tracking.tracker import Tracker, TrackingRules
from maskrcnn.tracking.zones import ZoneCounter
from maskrcnn.untrusted.names import printable
from maskrcnn.untrusted.spelling import did_you_mean

MAX_DRAWN_AHEAD = 3
"""Frames that wait to be drawn and written."""
USUAL_RATE = 25.0
"""Frames in a second of a film that does not say it."""


def infer_film(
    predictor: FilmPredictor,
    where: FilmLike,
    out: Path,
    settings: FilmSettings,
    *,
    say: Callable[[str], None],
) -> FilmSummary:
    """Follow the objects of a film, and write `<stem>_instances.mp4`, tracks.csv, crossings.csv, zones.csv,
    counts_over_time.csv and its plot, instances.json and mot.txt into `out`.

    A frame's detections are on record as soon as they are known, so that the same job, killed and run again, needs the
    network only for the rest; so does a job with other lines, zones or rules of tracking. Cameras and streams are not
    recorded; Ctrl-C ends them, and what was seen is written.

    Raises:
        FileNotFoundError, ValueError: what `open_film` raises, a film without a frame, a line outside of the picture,
            an unknown class.
        FileExistsError: a file in `out` that no earlier job wrote would be replaced.
        FolderInUseError: another job writes into `out`.
        OSError: `out` cannot be written.
    """
    kept_labels = _labels(predictor, settings.classes)
    with ExitStack() as stack:
        film = stack.enter_context(closing(open_film(where, frame_rate=settings.frame_rate, reading=settings.reading)))
        stack.enter_context(folder_lock(out, "infer"))
        clear_temporaries(out)
        for left in out.glob(".maskrcnn-*.mp4"):  # of a killed job
            left.unlink(missing_ok=True)
        stem = film_stem(where, film)
        names = film_file_names(
            stem, is_drawn=settings.is_drawn, has_lines=bool(settings.lines), has_zones=bool(settings.zones)
        )
        own = OwnFiles(out)
        if not settings.overwrite:
            own.expect([*names, COUNTS])
        records = _records(predictor, where, film, out, settings)
        if records is not None:
            stack.callback(records.close)
            if settings.redo:
                records.forget()
            elif records.num_done:
                say(f"{printable(film.name)}: {records.num_done} frames were seen by the network before")
        job = _FilmJob(predictor, film, settings, kept_labels, records)
        rate = _rate_of(film, settings.choice) if settings.is_drawn else None
        ids = predictor.category_ids or range(1, len(predictor.class_names) + 1)
        classes = list(predictor.class_names)
        with FilmFiles(out, film.name, stem, classes, list(ids), rate, has_lines=bool(settings.lines)) as files:
            job.run(files)
        if settings.zones:
            write_zones(out / ZONES, job.zones)
        counts = unique_counts(job.tracker.labels, predictor.class_names)
        counts = {name: n for label, (name, n) in enumerate(counts.items()) if label in kept_labels}
        own.add([*names, *files.thumbnails])
        return FilmSummary(
            film.name,
            counts,
            job.num_frames,
            job.num_dropped,
            tuple([*film.notes(), *job.ceilings]),
            {line.name: {way: sum(n.values()) for way, n in line.counts.items()} for line in job.lines},
            {zone.name: (len(zone.dwell_s), _mean(list(zone.dwell_s.values()))) for zone in job.zones},
            files.codec,
            job.stages.seconds,
            job.was_stopped,
        )


def write_film_counts(out: Path, rows: Sequence[CountRow], class_names: Sequence[str]) -> None:
    """counts.csv, a row for each film."""
    counts_csv(out / COUNTS, rows, class_names)


class _FilmJob:
    """The way of the frames: decoded by a thread, seen by the network here, drawn and written by another thread."""

    def __init__(
        self,
        predictor: FilmPredictor,
        film: Film,
        settings: FilmSettings,
        labels: list[int],
        records: FilmRecords | None,
    ) -> None:
        self._predictor, self._film, self._settings, self._records = predictor, film, settings, records
        self._labels = torch.tensor(labels)
        rules = TrackingRules(sure_score(predictor), settings.confirm_frames, settings.max_lost_frames)
        self.tracker = Tracker(rules)
        self.lines = [
            LineCounter(line.start, line.end, name=line.name, hysteresis_px=settings.hysteresis_px)
            for line in settings.lines
        ]
        self.zones = [ZoneCounter(zone) for zone in settings.zones]
        self.stages = Stages()
        self.num_frames = self.num_dropped = 0
        self.ceilings: dict[str, None] = {}
        self.was_stopped = False
        self._trails: dict[int, deque[tuple[float, float]]] = {}
        self._last_seen: dict[int, int] = {}

    def run(self, files: FilmFiles) -> None:
        live = LiveFrames(self._film, self._settings.choice) if self._settings.live else None
        decoded = iter(live) if live is not None else in_background(self._decoded(), FRAMES_AHEAD)
        total = _num_expected(self._film, self._settings.choice)
        with (
            closing(decoded) as frames,
            ThreadPoolExecutor(1) as pool,
            tqdm(total=total, unit="frame", disable=None) as bar,
        ):
            tracked = self._timed_tracks(self._found(self._until_stopped(frames)))
            drawn = (self._counted(frame, files) for frame in tracked)

            def finish(one: "_Drawing | None") -> None:
                if one is not None:
                    self._finish(one, files)

            for _ in ahead(finish, drawn, pool, lambda: MAX_DRAWN_AHEAD):
                bar.update()
        self.num_dropped = live.num_dropped if live is not None else 0
        if not self.num_frames:
            chosen = self._settings.choice != Choice()
            why = (
                "none of its frames is among those chosen" if chosen else "there is no frame in it that can be decoded"
            )
            raise FilmError(f"{self._film.name}: {why}")

    def _decoded(self) -> Iterator[Frame]:
        frames = chosen_frames(self._film, self._settings.choice)
        while True:
            with self.stages.of("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _until_stopped(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Ctrl-C is how a camera is ended; of a file it stops the job, which goes on when it is run again."""
        while True:
            try:
                frame = next(frames, None)
            except KeyboardInterrupt:
                if not self._film.is_live:
                    raise
                self.was_stopped = True
                return
            if frame is None:
                return
            yield frame

    def _found(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Instances]]:
        """Frames and what is in them, from the record as far as it goes."""
        known = iter(self._records) if self._records is not None else iter(())
        names, size = tuple(self._predictor.class_names), max(1, self._predictor.batch_size)
        is_known, batch = True, []
        for frame in frames:
            if not self.num_frames and not batch:
                _expect_inside(self.lines, self.zones, frame.image.shape[:2])
            record = next(known, None) if is_known else None
            if record is not None and record[0] != frame.number:
                raise RuntimeError(f"{self._film.name}: it was changed since its frames were recorded; use redo")
            if record is not None:
                yield frame, self._chosen(found_in(record[1], names))
                continue
            is_known = False
            batch.append(frame)
            if len(batch) == size:
                yield from self._seen(batch)
                batch = []
        yield from self._seen(batch)

    def _seen(self, frames: list[Frame]) -> Iterator[tuple[Frame, Instances]]:
        if not frames:
            return
        with self.stages.of("network"):
            results = find(self._predictor, [frame.image for frame in frames])
        for frame, found in zip(frames, results, strict=True):
            if self._records is not None:
                self._records.add(frame.number, found)
            plain = found_in(record_of(frame.number, found), found.class_names)  # as it is when read from the record
            yield frame, self._chosen(plain)

    def _chosen(self, found: Instances) -> Instances:
        self.ceilings |= dict.fromkeys(found.ceilings)
        return self._settings.selection(found[torch.isin(found.labels, self._labels)])

    def _timed_tracks(self, found: Iterator[tuple[Frame, Instances]]) -> Iterator[TrackedFrame]:
        """`followed`, and how long it takes but for what it waits for."""

        def source() -> Iterator[tuple[Frame, Instances]]:
            while True:
                with self.stages.of("waiting for detections"):
                    one = next(found, None)
                if one is None:
                    return
                yield one

        frames = followed(source(), self.tracker)
        while True:
            waited = self.stages.seconds.get("waiting for detections", 0.0)
            with self.stages.of("tracking and waiting"):
                frame = next(frames, None)
            took = self.stages.seconds["tracking and waiting"]
            self.stages.seconds["tracking and waiting"] = 0.0
            waited = self.stages.seconds.get("waiting for detections", 0.0) - waited
            self.stages.seconds["tracking"] = self.stages.seconds.get("tracking", 0.0) + max(took - waited, 0.0)
            if frame is None:
                return
            yield frame

    def _counted(self, frame: TrackedFrame, files: FilmFiles) -> "_Drawing | None":
        """Lines, zones and tables of a frame, and what is needed to draw it."""
        self.num_frames += 1
        with self.stages.of("counting"):
            crossings = [one for line in self.lines for one in line.update(frame.instances, frame.number, frame.time_s)]
            for zone in self.zones:
                zone.update(frame.instances, frame.time_s)
        with self.stages.of("tables"):
            files.add(frame)
            files.add_crossings(crossings, frame)
        if not self._settings.is_drawn:
            return None
        self._move_trails(frame)
        return _Drawing(
            frame,
            {track: np.array(trail) for track, trail in self._trails.items()},
            [_drawn_line(line) for line in self.lines],
            [DrawnZone(z.name, z.region.rings, sum(z.present.values()), len(z.dwell_s)) for z in self.zones],
            self._words(frame),
        )

    def _move_trails(self, frame: TrackedFrame) -> None:
        for track, place in zip(frame.track_ids.tolist(), centroids(frame.instances).tolist(), strict=True):
            if np.isfinite(place).all():
                self._trails.setdefault(track, deque(maxlen=self._settings.trail_frames or 1)).append(tuple(place))
                self._last_seen[track] = self.num_frames
        old = [track for track, seen in self._last_seen.items() if self.num_frames - seen > 2]
        for track in old:
            del self._last_seen[track], self._trails[track]

    def _words(self, frame: TrackedFrame) -> list[str]:
        different = unique_counts(self.tracker.labels, self._predictor.class_names)
        now = np.bincount(frame.instances.labels.numpy(), minlength=len(different)).tolist()
        pairs = [(name, n, now[label]) for label, (name, n) in enumerate(different.items()) if n]
        most = sorted(pairs, key=lambda one: -one[1])[:6]
        return [f"{frame.time_s:.1f} s", *(f"{name}: {present} now, {n} in all" for name, n, present in most)]

    def _finish(self, one: "_Drawing", files: FilmFiles) -> None:
        with self.stages.of("drawing"):
            picture = draw_tracks(
                one.frame.image,
                one.frame.instances,
                one.frame.track_ids,
                trails=one.trails,
                lines=one.lines,
                zones=one.zones,
                counts=one.words,
            )
        with self.stages.of("writing"):
            files.draw(picture, one.frame.time_s)


@dataclass(frozen=True, eq=False)
class _Drawing:
    """A frame with all that was known when it came."""

    frame: TrackedFrame
    trails: Mapping[int, np.ndarray]
    lines: list[DrawnLine]
    zones: list[DrawnZone]
    words: list[str]


def _records(
    predictor: FilmPredictor, where: FilmLike, film: Film, out: Path, settings: FilmSettings
) -> FilmRecords | None:
    """Of a film that can be read again."""
    if film.is_live or settings.live or isinstance(where, int) or is_address(where):
        return None
    if (out / RECORDS).is_symlink():
        raise ValueError(f"{out / RECORDS}: this is a link; expected a folder of ours, or nothing")
    key = settings_key(predictor, [], settings.reading)
    if isinstance(where, str | Path):
        return FilmRecords(out / RECORDS, key, state_of(Path(where)), settings.choice)
    files = [state_of(Path(file)) for file in where if Path(file).is_file()]
    if not files:
        return None
    together = json.dumps([state.model_dump() for state in files])
    return FilmRecords(out / RECORDS, f"{key} {together}", files[0], settings.choice)


def _labels(predictor: FilmPredictor, classes: Sequence[str] | None) -> list[int]:
    known = list(predictor.class_names)
    unknown = [name for name in classes or () if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ValueError(f"classes: no class {unknown[0]!r} in these weights{hint}; known: {', '.join(known)}")
    return [known.index(name) for name in (known if classes is None else classes)]


def _rate_of(film: Film, choice: Choice) -> float:
    return max((film.frame_rate or USUAL_RATE) / choice.every, 0.1)


def _num_expected(film: Film, choice: Choice) -> int | None:
    """Frames that will be taken, for a progress bar."""
    if film.num_frames is None:
        return choice.frames
    rate = film.frame_rate or USUAL_RATE
    last = film.num_frames if choice.end_s is None else min(film.num_frames, choice.end_s * rate)
    num = max(last - choice.start_s * rate, 1)
    num = num if choice.seconds is None else min(num, choice.seconds * rate)
    num = int(num + choice.every - 1) // choice.every
    return num if choice.frames is None else min(num, choice.frames)


def _expect_inside(lines: Sequence[LineCounter], zones: Sequence[ZoneCounter], size: tuple[int, ...]) -> None:
    height, width = size
    for line in lines:
        (x0, y0), (x1, y1) = np.clip(np.rint(line.points), -1e6, 1e6).astype(int).tolist()
        if not cv2.clipLine((0, 0, width, height), (x0, y0), (x1, y1))[0]:
            raise ValueError(
                f"line {line.name}: {line.points[0, 0]:g},{line.points[0, 1]:g} to {line.points[1, 0]:g},"
                f"{line.points[1, 1]:g} lies outside of the picture of {width} x {height} px"
            )
    for zone in zones:
        points = np.concatenate(zone.region.rings)
        if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= (width, height)).any():
            raise ValueError(f"zone {zone.name}: it lies outside of the picture of {width} x {height} px")


def _drawn_line(line: LineCounter) -> DrawnLine:
    num = {way: sum(counts.values()) for way, counts in line.counts.items()}
    return DrawnLine(line.name, line.points, num["in"], num["out"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
