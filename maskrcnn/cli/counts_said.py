"""What `infer` says of the counts of all images together."""

import argparse
from collections.abc import Iterator, Sequence

from maskrcnn.prediction.job_intervals import CHECKED, TotalInterval
from maskrcnn.prediction.job_results import JobSummary, describe
from maskrcnn.report.count import add_counts

OPTION_OF = {"detection.max_detections": "--max-detections", "resize.longest_edge": "--resize"}
"""Options that raise a limit, by the setting that a sentence about it names."""


def counts_said(args: argparse.Namespace, class_names: Sequence[str], summary: JobSummary) -> Iterator[str]:
    """A sentence each: the total and how sure it is, what may be counted twice, and what reached a limit."""
    total = add_counts(counts for _, counts in summary.counts)
    if len(summary.counts) > 1:
        yield f"total of {len(summary.counts)} images: {describe(total)}"
    if summary.total is not None:
        yield from _total_said(summary.total)
    if summary.doubles:
        where = next(iter(summary.doubles)) if len(summary.doubles) == 1 else f"{len(summary.doubles)} images"
        yield (
            f"possibly counted twice in {where}: {sum(summary.doubles.values())} pairs of objects cover nearly the "
            "same pixels; if an object can only be one of several classes, name these with --exclusive"
        )
    for sentence, files in summary.notes.items():
        yield f"{files[0] if len(files) == 1 else f'{len(files)} images'}: {sentence}"
    for sentence, files in summary.ceilings.items():
        option = next((f"; {option} changes it" for key, option in OPTION_OF.items() if key in sentence), "")
        where = files[0] if len(files) == 1 else f"{len(files)} images"
        yield f"limit reached in {where}: {sentence}{option}"
    if args.weights is None and args.method is None and args.paths and not any(total.values()):
        yield (
            f"the default model finds only {few_names(class_names)}, and found none; for everyday photographs use "
            "--weights coco (maskrcnn zoo lists more)"
        )


def few_names(class_names: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    return ", ".join(class_names[:5]) + (f" and {len(class_names) - 5} more" if len(class_names) > 5 else "")


def _total_said(total: TotalInterval) -> Iterator[str]:
    low, high = total.interval
    by_hand = f", with {total.num_checked} of the images counted by hand" * (total.num_checked > 0)
    yield f"{total.level:.0%} interval of the total: {low} to {high}{by_hand}"
    if total.num_to_check and low < high:
        images = "1 image" if total.num_to_check == 1 else f"{total.num_to_check} images"
        yield (
            f"to halve it, count {images} by hand, in the order of check_order in counts.csv, and give a copy with "
            f"your numbers and the status {CHECKED} to --checked"
        )
