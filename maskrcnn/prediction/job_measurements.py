"""Tables of what a job measured, made from its records: of each object, of each region; and their histograms."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from maskrcnn.prediction.job_records import JobPage, Records
from maskrcnn.report.histograms import PLOTTED, plot_histograms
from maskrcnn.report.measure import METRIC, METRIC_M, ON_A_MAP_UM, cell, in_metres, in_micrometres
from maskrcnn.report.regions import membership, names_of
from maskrcnn.report.written import MEASURED_FIRST, REGIONS_FIRST
from maskrcnn.structures.regions import Region
from maskrcnn.untrusted.names import table_cell


def measurement_rows(
    records: Records,
    names: Mapping[JobPage, str],
    class_of: Mapping[int, str],
    pixel_size_um: float | None,
    regions: Sequence[Region],
) -> Iterator[list[object]]:
    """The lines of measurements.csv; files with other channels have their own columns, and empty cells in others.

    Lengths are in micrometres, too, where the size of a pixel is known, or in metres where it is that of a map.

    Args:
        names: of the files, by page, of what is done.
        class_of: by category id.
        pixel_size_um: in place of what the files say.
    """
    sizes = {page: pixel_size_um or _side(records.done[page].pixel_size_um) for page in names}
    measured = list(dict.fromkeys(name for page in names for name in records.done[page].measured))
    sides = [size for size in sizes.values() if size is not None]
    metric = ["pixel_size_um", *METRIC] if any(size < ON_A_MAP_UM for size in sides) else []
    metric += ["pixel_size_m", *METRIC_M] if any(size >= ON_A_MAP_UM for size in sides) else []
    yield [*MEASURED_FIRST, *measured, *metric, *["region"] * bool(regions)]
    for page, name in names.items():
        side, before = sizes[page], 0
        number = "" if page.number is None else page.number
        for annotations, columns in records.objects(page):
            if side is not None and columns:
                numbers = {key: np.array(values, float) for key, values in columns.items() if key.endswith("_px")}
                is_map = side >= ON_A_MAP_UM
                told = in_metres(numbers, side) if is_map else in_micrometres(numbers, side)
                columns |= {key: values.tolist() for key, values in told.items()}
                columns["pixel_size_m" if is_map else "pixel_size_um"] = [side / 1e6 if is_map else side] * len(
                    annotations
                )
            where = names_of(membership(_centroids(columns), regions), regions) if regions else []
            for i, annotation in enumerate(annotations):
                x, y, width, height = annotation["bbox"]
                box = [x, y, x + width, y + height]
                about = [before + i + 1, class_of[annotation["category_id"]], annotation["score"], *box]
                rest = [columns[key][i] if key in columns else None for key in (*measured, *metric)]
                yield [table_cell(name), number, *map(cell, about + rest + where[i : i + 1])]
            before += len(annotations)


def region_rows(
    records: Records,
    names: Mapping[JobPage, str],
    class_of: Mapping[int, str],
    counted: Sequence[str],
    regions: Sequence[Region],
) -> Iterator[list[object]]:
    """The lines of regions.csv: of each region of each page the objects of each class that was `counted`."""
    yield [*REGIONS_FIRST, *map(table_cell, counted), "total"]
    for page, name in names.items():
        counts = [Counter[str]() for _ in regions]
        for annotations, columns in records.objects(page):  # those of a slide are never held at once
            is_in = membership(_centroids(columns), regions)
            for annotation, row in zip(annotations, is_in, strict=True):
                for i in np.flatnonzero(row).tolist():
                    counts[i][class_of[annotation["category_id"]]] += 1
        number = "" if page.number is None else page.number
        for region, found in zip(regions, counts, strict=True):
            numbers = [found[one] for one in counted]
            yield [table_cell(name), number, table_cell(region.name), cell(region.area_px), *numbers, sum(numbers)]


def write_histograms(
    path: Path,
    records: Records,
    names: Mapping[JobPage, str],
    class_of: Mapping[int, str],
    pixel_size_um: float | None,
) -> None:
    """A picture of how the measurements of all objects are distributed; areas in micrometres if all are known so."""
    sizes = [pixel_size_um or _side(records.done[page].pixel_size_um) for page in names]
    is_metric = all(size is not None and size < ON_A_MAP_UM for size in sizes)
    parts: dict[str, list[np.ndarray]] = {}
    classes: list[str] = []
    for page, side in zip(names, sizes, strict=True):
        pieces: dict[str, list[np.ndarray]] = {}
        own: list[str] = []
        for annotations, measured in records.objects(page):
            own += [class_of[one["category_id"]] for one in annotations]
            for key, values in measured.items():
                if key in PLOTTED or key.startswith("mean_intensity"):
                    pieces.setdefault(key, []).append(np.array(values, float))
        columns = {key: np.concatenate(values) for key, values in pieces.items()}
        if is_metric and side is not None and "area_px" in columns:
            columns["area_um2"] = columns.pop("area_px") * side**2
        for key in (*columns, *(key for key in parts if key not in columns)):
            missing = np.full(len(classes), np.nan)
            parts.setdefault(key, [missing]).append(columns.get(key, np.full(len(own), np.nan)))
        classes += own
    plot_histograms(path, {key: np.concatenate(values) for key, values in parts.items()}, classes)


def _centroids(columns: Mapping[str, Sequence[int | float | None]]) -> np.ndarray:
    """(N, 2), NaN for an object without a pixel."""
    return np.array([columns.get("centroid_x", []), columns.get("centroid_y", [])], float).T.reshape(-1, 2)


def _side(size_um: tuple[float, float] | None) -> float | None:
    """Of a pixel that is square within a part in a hundred: lengths across others depend on their direction."""
    if size_um is None or abs(size_um[0] - size_um[1]) > 0.01 * max(size_um):
        return None
    return (size_um[0] * size_um[1]) ** 0.5
