"""The sections of the page about a data set: what it consists of, how it looks, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from maskrcnn.report.html import paragraph, picture, plot, table
from maskrcnn.report.text import plot_name

COCO_SIDES_PX = (32, 96)
"""Objects with fewer pixels than the square of the first are small to COCO, from that of the second on large."""
MAX_CLASSES_DRAWN = 40
MAX_ROWS = 2000
"""Problems in the page's table; the CSV file has all."""
SEVERITIES = ("error", "warning", "fixed")

ProblemRow = tuple[str, str, str, str, str]  # severity, kind, file, annotation id, reason
Numbers = Mapping[str, np.ndarray]  # by split


def size_names(areas: np.ndarray) -> dict[str, int]:
    """How many of some objects, given their pixels (N,), are small, medium and large to COCO."""
    small, large = (side * side for side in COCO_SIDES_PX)
    return {
        "small": int((areas < small).sum()),
        "medium": int(((areas >= small) & (areas < large)).sum()),
        "large": int((areas >= large).sum()),
    }


def counts_section(splits: Mapping[str, Mapping[str, object]], counts: Mapping[str, Mapping[str, int]]) -> str:
    """Tables: the facts of each split, by name of the fact; and objects of each class in each split."""
    facts = list(dict.fromkeys(fact for row in splits.values() for fact in row))
    # A row for each fact: there are a dozen facts and rarely more than three splits.
    overview = table(["", *splits], [[fact, *(str(row.get(fact, "")) for row in splits.values())] for fact in facts])
    classes = list(dict.fromkeys(name for split in counts.values() for name in split))
    rows = [[name, *(split.get(name, 0) for split in counts.values())] for name in classes]
    rows.sort(key=lambda row: -sum(row[1:]))
    return overview + table(["class", *counts], rows)


def histograms_section(
    counts: Mapping[str, Mapping[str, int]],
    areas: Numbers,
    aspect_ratios: Numbers,
    objects_per_image: Numbers,
    image_sizes: Numbers,
) -> str:
    """Plots of the classes, sizes and shapes of objects, and of the number of them in and the size of the images.

    By split: `areas` (N,) in pixels, `aspect_ratios` (N,) height / width, `objects_per_image` (I,), and `image_sizes`
    (I, 2) height and width.
    """
    sides = {split: np.sqrt(values) for split, values in areas.items()}
    figure = Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(2, 3)
    _histogram(axes[0, 0], sides, "side of an object, px (square root of its pixels)", is_log=True)
    _mark_coco_sizes(axes[0, 0])
    _histogram(axes[0, 1], aspect_ratios, "height / width of an object", is_log=True)
    _histogram(axes[0, 2], objects_per_image, "objects in an image", is_log=False)
    _scatter(axes[1, 0], image_sizes)
    longer = {split: sizes.max(axis=1, initial=0) for split, sizes in image_sizes.items()}
    _histogram(axes[1, 1], longer, "longer side of an image, px", is_log=False)
    ratios = {split: sizes[:, 0] / sizes[:, 1] for split, sizes in image_sizes.items()}
    _histogram(axes[1, 2], ratios, "height / width of an image", is_log=True)
    axes[0, 0].set_ylabel("share of objects")
    axes[0, 2].set_ylabel("share of images")
    if len(areas) > 1 and axes[0, 2].get_legend_handles_labels()[0]:
        axes[0, 2].legend(loc="upper right")
    dashed = " and ".join(str(side) for side in COCO_SIDES_PX)
    text = f"The dashed lines at {dashed} px separate small, medium and large objects, as in COCO."
    return _plot_classes(counts) + plot(figure) + paragraph(text)


def pictures_section(pictures: Sequence[tuple[np.ndarray, str]]) -> str:
    """Pictures, RGB uint8, with their captions."""
    shown = "\n".join(picture(image, caption) for image, caption in pictures)
    return f'<div class="side-by-side">\n{shown}\n</div>'


def duplicates_section(groups: Sequence[Sequence[tuple[np.ndarray, str]]], num_left_out: int = 0) -> str:
    """Pictures that are the same, each group side by side."""
    parts = [pictures_section(group) for group in groups]
    if num_left_out:
        parts.append(paragraph(f"and {num_left_out} more groups; problems.csv names them"))
    return "\n".join(parts)


def problems_section(problems: Sequence[ProblemRow], meanings: Mapping[str, str]) -> str:
    """How often each kind of problem occurs and what it means; then all of them."""
    if not problems:
        return paragraph("none")
    kinds = Counter((row[0], row[1]) for row in problems)
    ordered = sorted(kinds.items(), key=lambda entry: (SEVERITIES.index(entry[0][0]), -entry[1]))
    summary = table(
        ["verdict", "kind", "number", "what it means"],
        [[severity, kind, number, meanings.get(kind, "")] for (severity, kind), number in ordered],
    )
    rows = sorted(problems, key=lambda row: SEVERITIES.index(row[0]))
    more = len(rows) - MAX_ROWS
    note = paragraph(f"and {more} more; problems.csv has all") if more > 0 else ""
    return summary + table(["verdict", "kind", "file", "annotation", "reason"], rows[:MAX_ROWS]) + note


def _plot_classes(counts: Mapping[str, Mapping[str, int]]) -> str:
    totals = Counter[str]()
    for split in counts.values():
        totals.update(split)
    names = [name for name, _ in totals.most_common(MAX_CLASSES_DRAWN)]
    if len(names) < 2:
        return ""
    figure = Figure(figsize=(11, 1 + 0.22 * len(names) * max(1, len(counts) / 2)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(counts)
    for k, (split, of_class) in enumerate(counts.items()):
        places = np.arange(len(names)) + height * (k + 0.5 - len(counts) / 2)
        axes.barh(places, [of_class.get(name, 0) for name in names], height, label=split)
    axes.set_yticks(np.arange(len(names)), [plot_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("objects")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", alpha=0.3)
    if len(counts) > 1:
        axes.legend(loc="lower right")
    left_out = len(totals) - len(names)
    return plot(figure, f"the {len(names)} most frequent of {len(totals)} classes" if left_out else "")


def _mark_coco_sizes(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_ylim(top=1.12 * axes.get_ylim()[1])  # room for the words
    limits = (low, *COCO_SIDES_PX, high)
    for name, left, right in zip(("small", "medium", "large"), limits, limits[1:], strict=False):
        left, right = max(left, low), min(right, high)
        if left < right:
            place = np.sqrt(left * right)
            axes.text(place, 0.98, name, ha="center", va="top", transform=axes.get_xaxis_transform())
    for side in COCO_SIDES_PX:
        if low < side < high:
            axes.axvline(side, color="gray", linestyle="--", linewidth=1)


def _histogram(axes: Axes, values: Numbers, label: str, *, is_log: bool) -> None:
    """One line a split, as shares: splits differ in size."""
    every = np.concatenate([np.zeros(0), *values.values()])
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    if not len(every):
        return
    low, high = float(every.min()), float(every.max())
    if is_log:
        bins = np.geomspace(low / 1.1, high * 1.1, 41)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if _is_round(value) else ""))
    else:
        low, high = (low, high) if high > low else (low - 5, high + 5)
        step = max(1, int(np.ceil((high - low + 1) / 40)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        bins = np.arange(low, high + step + 1, step) - 0.5
    for split, numbers in values.items():
        if len(numbers):
            weights = np.full(len(numbers), 1 / len(numbers))
            axes.hist(numbers, bins.tolist(), weights=weights, histtype="stepfilled", alpha=0.45, label=split)


def _is_round(value: float) -> bool:
    """Whether the first digit is 2 or 5, so that minor ticks do not run into one another."""
    return value > 0 and round(value / 10 ** np.floor(np.log10(value) + 1e-9)) in (2, 5)


def _scatter(axes: Axes, image_sizes: Numbers) -> None:
    """Sizes of images, a disc for each, larger where many have it."""
    for split, sizes in image_sizes.items():
        unique, numbers = np.unique(sizes.reshape(-1, 2), axis=0, return_counts=True)
        area = 20 + 200 * numbers / max(1, numbers.max(initial=1))
        axes.scatter(unique[:, 1], unique[:, 0], area, alpha=0.45, label=split)
    axes.set_xlabel("width of an image, px (larger discs: more images)")
    axes.set_ylabel("height, px")
    every = np.concatenate([np.ones((1, 2)), *(sizes.reshape(-1, 2) for sizes in image_sizes.values())])
    axes.set_xlim(0, 1.1 * every[:, 1].max())
    axes.set_ylim(0, 1.1 * every[:, 0].max())
    axes.grid(alpha=0.3)
