"""How sure the counts of a job are, and what somebody counted by hand: the columns of both in counts.csv."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.counts_table import CountRow
from maskrcnn.report.intervals import CountIntervals, Interval, check_order, spreads
from maskrcnn.report.selection import Selection
from maskrcnn.untrusted.names import table_cell

CHECKED = "checked"
"""Status of an image that was counted by hand."""


@dataclass(frozen=True)
class JobIntervals:
    """What the weights know of the errors of counts, as far as it holds for a job."""

    fitted: CountIntervals
    level: float
    """Share of images whose count should lie in their interval."""
    category_ids: Sequence[int]
    """Of the classes in order."""
    labels: tuple[int, ...]
    """Classes that are counted."""
    predictor: Predictor

    @staticmethod
    def of(
        predictor: object, labels: Sequence[int], selection: Selection | None, level: float
    ) -> "JobIntervals | None":
        """None where the weights do not know how sure their counts are, or only a `selection` of objects counts."""
        if not isinstance(predictor, Predictor) or predictor.count_intervals is None or selection:
            return None
        ids = predictor.category_ids or range(1, len(predictor.class_names) + 1)
        return JobIntervals(predictor.count_intervals, level, ids, tuple(labels), predictor)

    def spread_of(self, records: Records, page: JobPage) -> np.ndarray | None:
        """(K + 1,) of the counts of a page; None for one unlike those that were held back: done in tiles, or cut off at
        a limit."""
        done = records.done[page]
        if done.ceilings or self.predictor.needs_tiles(done.image_size):
            return None
        annotations = records.annotations(page)
        label_of = {category_id: label for label, category_id in enumerate(self.category_ids)}
        labels = np.array([label_of[one["category_id"]] for one in annotations], np.int64)
        scores = np.array([one["score"] for one in annotations], np.float64)
        return spreads(labels, scores, len(self.category_ids))

    def of_page(self, counts: Mapping[str, int], spread: np.ndarray) -> dict[str, Interval | None]:
        """By name of each class that is counted, and by "" of their total."""
        names = self.fitted.class_names
        found = self.fitted.of(np.array([counts.get(name, 0) for name in names]), spread, self.level)
        intervals = {names[label]: found[label] for label in self.labels}
        if len(self.labels) == len(names):
            return intervals | {"": found[-1]}
        return intervals | ({"": found[self.labels[0]]} if len(self.labels) == 1 else {"": None})


@dataclass(frozen=True)
class TotalInterval:
    """How sure the count of all objects in all images is."""

    level: float
    interval: Interval
    num_images: int
    """Held-back images that it was calibrated on."""
    num_checked: int
    num_to_check: int
    """Images to count by hand for an interval half as wide."""


def with_intervals(
    rows: Sequence[CountRow], pages: Sequence[JobPage], records: Records, intervals: JobIntervals
) -> tuple[list[CountRow], TotalInterval | None]:
    """`rows` of `pages` with what is known of their errors, and that of the sum of all.

    The latter is None where classes were left out, images are done in tiles, or too few were held back.
    """
    spread: dict[int, np.ndarray] = {}
    for i, page in enumerate(pages):
        if page in records.done and rows[i].status != CHECKED:
            found = intervals.spread_of(records, page)
            if found is not None:
                spread[i] = found
    places = list(spread)
    totals = np.array([spread[i][-1] for i in places])
    ranks = {places[j]: rank for rank, j in enumerate(check_order(totals).tolist(), start=1)} if len(places) > 1 else {}
    result = []
    for i, row in enumerate(rows):
        if row.counts is not None and row.status == CHECKED:
            sure = {name: (row.counts.get(name, 0),) * 2 for name in _counted(intervals)}
            row = replace(row, intervals=sure | {"": (sum(row.counts.values()),) * 2})
        elif row.counts is not None and i in spread:
            row = replace(row, intervals=intervals.of_page(row.counts, spread[i]), check_order=ranks.get(i))
        result.append(row)
    return result, _total(result, totals, intervals)


def facts_of_intervals(level: float, total: TotalInterval | None) -> list[tuple[str, str]]:
    """A name and a text each, for a page about the job."""
    facts = [("lowest and highest count", f"{level:.0%} of true counts lie between them")]
    if total is not None:
        facts.append(("total of all images", "{} to {}".format(*total.interval)))
    return facts


def read_checked(
    path: str | Path, names: Mapping[JobPage, str], class_names: Sequence[str]
) -> dict[JobPage, dict[str, int]]:
    """The counts of a counts.csv in which somebody put numbers of their own and the status `checked`.

    Args:
        names: of the files of the pages, as in the table.
        class_names: its columns.

    Raises:
        ValueError: a table that lacks a column, a row of an unknown file, a count that is none; no row that is checked.
        OSError: the table cannot be read.
    """
    page_of = {
        (table_cell(name), "" if page.number is None else str(page.number)): page for page, name in names.items()
    }
    checked: dict[JobPage, dict[str, int]] = {}
    for number, row in _lines(path, ["file", "page", *map(table_cell, class_names), "status"]):
        if row["status"].strip().lower() != CHECKED:
            continue
        page = page_of.get((row["file"], row["page"].strip()))
        if page is None:
            where = f"{row['file']!r}" + f" page {row['page']}" * bool(row["page"])
            raise ValueError(f"{path}, line {number}: {where} is not among the images of this run")
        counts = {}
        for name in class_names:
            text = row[table_cell(name)].strip()
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise ValueError(
                    f"{path}, line {number}: expected the number of {name!r} in column {name!r}, got {text!r}"
                )
            counts[name] = int(text)
        checked[page] = counts
    if not checked:
        raise ValueError(
            f"{path}: no row with the status {CHECKED!r}; put your own numbers into a copy of counts.csv, and "
            f"{CHECKED!r} as the status of their rows"
        )
    return checked


def _lines(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        delimiter = max(",;\t", key=header.count)  # spreadsheets of some countries write semicolons
        table = csv.DictReader(text.splitlines(), delimiter=delimiter)
        missing = [name for name in columns if name not in (table.fieldnames or [])]
        if missing:
            raise ValueError(f"{path}: expected the columns of counts.csv of this run, {missing[0]!r} is missing")
        for row in table:
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {table.line_num}: expected {len(table.fieldnames or [])} cells")
            yield table.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a table as counts.csv ({error})") from None


def _counted(intervals: JobIntervals) -> list[str]:
    return [intervals.fitted.class_names[label] for label in intervals.labels]


def _total(rows: Sequence[CountRow], totals: np.ndarray, intervals: JobIntervals) -> TotalInterval | None:
    known = [row for row in rows if row.counts is not None]
    num_checked = sum(row.status == CHECKED for row in known)
    is_whole = len(intervals.labels) == len(intervals.fitted.class_names)
    if len(known) < 2 or not is_whole or len(totals) + num_checked < len(known):
        return None
    total = sum(sum(row.counts.values()) for row in known if row.counts is not None)
    found = intervals.fitted.of_sum(total, totals, intervals.level, num_checked)
    num_to_check = intervals.fitted.num_to_check(totals, intervals.level)
    if found is None or num_to_check is None:
        return None
    return TotalInterval(intervals.level, found, len(intervals.fitted.errors[-1]), num_checked, num_to_check)
