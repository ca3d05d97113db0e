"""What a check of a data set says on the terminal: counts, problems by kind, and the verdict in the last line."""

from collections import Counter
from collections.abc import Mapping, Sequence

from maskrcnn.report.dataset_page import SEVERITIES, ProblemRow

NUM_NAMED = 3
"""Problems of one kind that are written out; the rest are counted."""
MAX_CLASSES = 20


def counts_text(splits: Mapping[str, Mapping[str, object]], counts: Mapping[str, Mapping[str, int]]) -> str:
    """Two tables: the facts of each split, by name of the fact, and objects of each class, the most frequent first."""
    facts = list(dict.fromkeys(fact for row in splits.values() for fact in row))
    overview = [["", *splits], *([fact, *(row.get(fact, "") for row in splits.values())] for fact in facts)]
    totals = Counter[str]()
    for split in counts.values():
        totals.update(split)
    rows = [[name, *(split.get(name, 0) for split in counts.values())] for name, _ in totals.most_common(MAX_CLASSES)]
    lines = _aligned(overview)
    if rows:  # annotations that give every pixel a class have no objects
        lines += ["", *_aligned([["objects of class", *counts], *rows])]
    if len(totals) > MAX_CLASSES:
        lines.append(f"and {len(totals) - MAX_CLASSES} more classes")
    return "\n".join(lines)


def problems_text(problems: Sequence[ProblemRow], meanings: Mapping[str, str]) -> str:
    """A paragraph for each kind of problem, errors first: its meaning, the first few, and the number of the others."""
    kinds: dict[tuple[str, str], list[ProblemRow]] = {}
    for row in sorted(problems, key=lambda row: SEVERITIES.index(row[0])):
        kinds.setdefault(row[:2], []).append(row)
    lines = []
    for (severity, kind), rows in kinds.items():
        meaning = f": {meanings[kind]}" if kind in meanings else ""
        lines.append(f"{severity} {kind} ({len(rows)}){meaning}")
        lines += [f"    {_place(row)}: {row[4]}" for row in rows[:NUM_NAMED]]
        if len(rows) > NUM_NAMED:
            lines.append(f"    and {len(rows) - NUM_NAMED} more")
    return "\n".join(lines)


def verdict_text(problems: Sequence[ProblemRow]) -> str:
    """One line."""
    numbers = Counter(row[0] for row in problems)
    if not problems:
        return "good: no problem found"
    said = ", ".join(
        f"{numbers[name]} {name if name == 'fixed' else _plural(name, numbers[name])}" for name in SEVERITIES
    )
    return f"{'not usable as it is' if numbers['error'] else 'usable'}: {said}"


def _place(row: ProblemRow) -> str:
    _, _, file, annotation_id, _ = row
    return f"{file}, annotation {annotation_id}" if annotation_id else file


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
