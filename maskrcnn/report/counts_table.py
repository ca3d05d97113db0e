"""The table of counts of many pictures."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrcnn.files import atomic_path
from maskrcnn.report.intervals import Interval
from maskrcnn.untrusted.names import table_cell


@dataclass(frozen=True)
class CountRow:
    """What came of one file, or one page of it."""

    file: str
    counts: Mapping[str, int] | None
    """By class name; None where it is not known."""
    status: str
    """`ok`, or what kept the picture from being counted whole."""
    page: int | None = None
    """From 0, of a file with several."""
    intervals: Mapping[str, Interval | None] | None = None
    """By class name, and by "" of the total; None where nothing is known of the errors of the counts."""
    check_order: int | None = None
    """Place of the image, from 1, among those to count by hand for a surer total."""


def counts_csv(
    path: str | Path, rows: Iterable[CountRow], class_names: Sequence[str], *, has_intervals: bool = False
) -> None:
    """Write one line per picture: `file`, `page`, one column for each of `class_names`, `total`, `status`.

    With `has_intervals` there are also `<class>_low`, `<class>_high`, `total_low`, `total_high` and `check_order`
    before `status`, empty where they are not known. `page` is empty for a file that holds one picture.
    A class that a row lacks is written as 0; where the counts are not known the cells are empty. The table is UTF-8 and
    holds no line of sums. Names and words are written as `table_cell` makes them, so that no cell is a formula.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    ends = [f"{name}_{end}" for name in [*class_names, "total"] for end in ("low", "high")]
    more = [*map(table_cell, ends), "check_order"] if has_intervals else []
    table.writerow(["file", "page", *map(table_cell, class_names), "total", *more, "status"])
    for row in rows:
        numbers: list[int | str] = [""] * (len(class_names) + 1)
        if row.counts is not None:
            numbers = [*(row.counts.get(name, 0) for name in class_names), sum(row.counts.values())]
        page = "" if row.page is None else row.page
        if has_intervals:
            known = [(row.intervals or {}).get(name) or ("", "") for name in [*class_names, ""]]
            numbers += [end for interval in known for end in interval]
            numbers.append("" if row.check_order is None else row.check_order)
        table.writerow([table_cell(row.file), page, *numbers, table_cell(row.status)])
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.getvalue().encode())
