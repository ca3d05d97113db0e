"""All that is known about semantic maps judged against true ones, as a value and as text for a terminal (K classes)."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskrcnn.evaluation.semantic_scores import ImageTally, SemanticScore, score_of
from maskrcnn.report.text import NO_VALUE, grid, shorten

NAME_LETTERS = 24
MAX_ROWS = 60
"""Classes in the printed table; evaluation.json has all of them."""
MAX_CONFUSIONS = 5


@dataclass(frozen=True)
class SemanticImageScore:
    """One image."""

    index: int
    """Of the picture in its table."""
    file_name: str
    mean_iou: float | None
    """Over the classes that are in either map of this image; None where no pixel has a true class."""


@dataclass(frozen=True)
class SemanticEvaluation:
    """What was found on a set of images."""

    class_names: tuple[str, ...]
    score: SemanticScore
    images: tuple[SemanticImageScore, ...]
    seconds_per_image: float | None = None
    """As measured by the caller, reading included."""

    def worst_images(self, n: int) -> tuple[SemanticImageScore, ...]:
        """The `n` images with the lowest mean IoU."""
        known = [image for image in self.images if image.mean_iou is not None]
        return tuple(sorted(known, key=lambda image: image.mean_iou or 0.0)[: max(0, n)])

    def summary(self) -> dict[str, float | None]:
        """The headline numbers, flat: one row of a training log."""
        score = self.score
        return {
            "mean_iou": score.mean_iou,
            "mean_dice": score.mean_dice,
            "pixel_accuracy": score.pixel_accuracy,
            "frequency_weighted_iou": score.frequency_weighted_iou,
            "mean_boundary_f": score.mean_boundary_f,
        }

    def to_dict(self) -> dict:
        """Only what JSON knows; None stays for what has no value."""
        return dataclasses.asdict(self) | {"score": self.score.to_dict()}

    def table(self, num_worst: int = 5) -> str:
        """Text for a terminal: the figures of all pixels, of each class, what is confused, and the worst images."""
        score = self.score
        lines = [f"{score.num_images} images; IoU and Dice of a class are over the pixels of all images"]
        lines += [f"{name:24}{value_text(value)}" for name, value in headline(score)]
        header, *rows = class_rows(score)
        more = len(rows) - MAX_ROWS
        left_out = [f"and {more} more classes; evaluation.json has all of them"] if more > 0 else []
        parts = ["\n".join(lines), "\n".join([grid([header, *rows[:MAX_ROWS]]), *left_out])]
        pairs = confusions(score)[:MAX_CONFUSIONS]
        if pairs:
            named = [f"  {share:.1%} of {shorten(true)} called {shorten(found)}" for true, found, share in pairs]
            parts.append("\n".join(["what is confused most:", *named]))
        worst = [
            f"worst: {image.file_name}, mean IoU {value_text(image.mean_iou)}" for image in self.worst_images(num_worst)
        ]
        parts.append("\n".join(worst))
        return "\n\n".join(part for part in parts if part)


def evaluated(
    tallies: Mapping[int, ImageTally],
    file_names: Sequence[str],
    class_names: Sequence[str],
    seconds_per_image: float | None = None,
) -> SemanticEvaluation:
    """Of the tallies of images by their index, of which `file_names` has all."""
    order = sorted(tallies)
    return SemanticEvaluation(
        tuple(class_names),
        score_of((tallies[index] for index in order), class_names),
        tuple(SemanticImageScore(index, file_names[index], tallies[index].mean_iou) for index in order),
        seconds_per_image,
    )


def headline(score: SemanticScore) -> list[tuple[str, float | None]]:
    """The figures of all pixels, with their names."""
    return [
        ("pixel accuracy", score.pixel_accuracy),
        ("mean IoU", score.mean_iou),
        ("frequency-weighted IoU", score.frequency_weighted_iou),
        ("mean Dice", score.mean_dice),
        ("mean boundary F", score.mean_boundary_f),
    ]


def class_rows(score: SemanticScore) -> list[list[str]]:
    """A table with its header: IoU, Dice, boundary F and the share of the true pixels of each class."""
    true = score.confusion.sum(axis=1)
    rows = [["class", "IoU", "Dice", "boundary F", "of all pixels"]]
    for k, name in enumerate(score.class_names):
        share = true[k] / max(int(true.sum()), 1)
        values = map(value_text, (score.iou[k], score.dice[k], score.boundary_f[k]))
        rows.append([shorten(name, NAME_LETTERS), *values, f"{share:.1%}"])
    return rows


def confusions(score: SemanticScore) -> list[tuple[str, str, float]]:
    """(true class, predicted class, share of the true pixels) of every pair that is confused, the most pixels first."""
    names, pixels = score.class_names, score.confusion
    pairs = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j and pixels[i, j]]
    pairs.sort(key=lambda pair: -pixels[pair])
    return [(names[i], names[j], float(pixels[i, j] / max(int(pixels[i].sum()), 1))) for i, j in pairs]


def semantic_line(summary: Mapping[str, float | None]) -> str:
    """The most useful figures of `SemanticEvaluation.summary` in one line, with the loss on val if it is among them."""
    parts = [f"mean IoU {value_text(summary.get('mean_iou'))}", f"Dice {value_text(summary.get('mean_dice'))}"]
    parts.append(f"pixel accuracy {value_text(summary.get('pixel_accuracy'))}")
    if summary.get("val_loss") is not None:
        parts.append(f"val loss {value_text(summary['val_loss'])}")
    return ", ".join(parts)


def value_text(value: float | None) -> str:
    """Three decimals everywhere, or the sign for no value."""
    return NO_VALUE if value is None else f"{value:.3f}"
