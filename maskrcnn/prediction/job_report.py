"""report.html of a job, made from its records: the same page whatever interrupted the job."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrcnn.data.pages import Reading
from maskrcnn.files import atomic_path
from maskrcnn.prediction.box_predictor import BoxPredictor
from maskrcnn.prediction.job_measurements import measurement_rows
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.counts_table import CountRow
from maskrcnn.report.job_page import MAX_ROWS, write_job_page
from maskrcnn.report.selection import Selection
from maskrcnn.structures.regions import Region
from maskrcnn.untrusted.names import printable, utf8

REPORT = "report.html"


def facts_of(
    predictor: JobPredictor,
    reading: Reading,
    selection: Selection | None,
    pixel_size_um: float | None,
    about: Mapping[str, str],
) -> list[tuple[str, str]]:
    """With what images were done, as pairs of a name and a text; those of `about` come first."""
    facts: dict[str, object] = {**about}
    if isinstance(predictor, BoxPredictor):
        facts["boxes"] = predictor.boxes.source.name
        predictor = predictor.predictor
    facts["network" if isinstance(predictor, Predictor) else "method"] = predictor.description
    facts["classes"] = ", ".join(predictor.class_names)
    if isinstance(predictor, Predictor):
        settings = predictor.settings
        for name, part in (("detection", settings.detection), ("resize", settings.resize)):
            facts |= {f"{name}.{key}": value for key, value in part.model_dump(mode="json").items()}
        facts["most detections"] = (
            "as the settings say" if predictor.max_detections is None else predictor.max_detections
        )
        facts["tiles"] = (
            predictor.tile if predictor.overlap is None else f"{predictor.tile}, overlap {predictor.overlap}"
        )
        facts["runs on"] = predictor.execution.description
    facts["counted"] = str(selection) if selection else "all objects"
    facts |= {name: value for name in ("channel", "planes") if (value := getattr(reading, name)) is not None}
    if pixel_size_um is not None:
        facts["pixel size"] = f"{pixel_size_um:g} um"
    return [(name, printable(utf8(str(value)))) for name, value in facts.items()]


def write_report(
    out: Path,
    root: Path | None,
    facts: Sequence[tuple[str, str]],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None,
    rows: Iterable[CountRow],
    records: Records,
    names: Mapping[JobPage, str],
    drawing_of: Callable[[JobPage], Path | None],
    pixel_size_um: float | None,
    regions: Sequence[Region],
) -> None:
    """Write `out`/report.html of the pages in `names`, done or not; `rows` says what came of each, in their order."""
    done = {page: names[page] for page in names if page in records.done}
    class_of = dict(zip(category_ids or range(1, len(class_names) + 1), class_names, strict=True))
    table = measurement_rows(records, done, class_of, pixel_size_um, regions)
    columns = [str(name) for name in next(table)]
    numeric = range(columns.index("score"), len(columns) - bool(regions))
    places = [columns.index(name) for name in ("area_px", "score") if name in columns]
    first: list[list[str]] = []
    values = array("d"), array("d")  # of a slide there may be millions
    for row in table:
        for own, place in zip(values, places, strict=False):
            own.append(float(str(row[place]) or "nan"))
        if len(first) < MAX_ROWS:
            first.append([_short(str(cell)) if i in numeric else str(cell) for i, cell in enumerate(row)])
    areas, scores = values if len(places) == 2 else (array("d"), values[0])
    title = f"{'' if root is None else root.absolute().name or root}: what was found"
    with atomic_path(out / REPORT) as temporary, temporary.open("w", encoding="utf-8", newline="") as page:
        images = _images(rows, records, names, drawing_of)
        write_job_page(page, title, facts, class_names, images, columns, first, len(scores), areas, scores)


def _short(number: str) -> str:
    """A number to five digits, as is enough to read it; "" for none."""
    return f"{float(number):.5g}" if "." in number else number


def _images(
    rows: Iterable[CountRow],
    records: Records,
    names: Mapping[JobPage, str],
    drawing_of: Callable[[JobPage], Path | None],
) -> Iterator[dict[str, Any]]:
    for (page, name), row in zip(names.items(), rows, strict=True):
        shown = name if page.number is None else f"{name} page {page.number}"
        counts = None if row.counts is None else {utf8(one): number for one, number in row.counts.items()}
        image: dict[str, Any] = {
            "name": printable(utf8(shown)),
            "status": printable(utf8(row.status)),
            "counts": counts,
        }
        interval = (row.intervals or {}).get("")
        if interval is not None:
            image["interval"] = interval
        if page in records.done:
            image |= records.preview(page)
            drawing = drawing_of(page)
            image["drawing"] = None if drawing is None else utf8(drawing.name)
        yield image
