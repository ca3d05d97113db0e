"""What the user is told when something goes wrong: one sentence, the option that helps, the traceback for who asks."""

import argparse
import re
import sys
import traceback

from tqdm import tqdm

from maskrcnn.untrusted.names import printable_lines

HINTS = (
    ("partial", r"; partial loading takes", "--partial does that"),
    ("preset", r", so the preset is \w+ or ", "choose it with --preset"),
    ("class_names", r": \d+ class(es)?, got \d+ names", "name them with --class-names"),
    ("weights", r": carries its own settings and class names", "leave out --preset and --class-names"),
    ("force", r" tensors were never trained ", "--force uses them all the same"),
    ("max_pixels", r"megapixels, more than the [\d.,]+ allowed| MB allowed ", "--max-pixels raises the limit"),
    ("channel", r"expected to be told which channel", "choose it with --channel"),
    ("resize", r"a smaller resize\.longest_edge limits it", "--resize sets it"),
    ("exclusive", r"^detection\.exclusive_classes: ", "they come from --exclusive"),
    ("split", r" has the splits .*; say which one$", "choose it with --split"),
    ("format", r"holds annotations in several formats ", "choose one with --format"),
    ("images", r"; name their folder$", "--images does that"),
    ("images", r" images of .* are not in ", "name their folder with --images"),
    ("val_fraction", r"^group_key needs val_fraction", "add --val-fraction"),
    ("split", r"^the data is already split ", "choose it with --split"),
    ("seed", r"came to one side; another seed or fraction", "try --seed or --val-fraction"),
    ("val_fraction", r"came to one side; another seed or fraction", "try --val-fraction"),
    ("resume", r"holds a run already; resume it", "to resume, write --resume instead of --out"),
    ("init", r"preset \S+ is for the weights to start from", "name them with --init"),
)
"""(argument, what an error says, the hint): modules below the command line know no options, so they are named here."""


def report(error: Exception, args: argparse.Namespace) -> None:
    """Write the sentence of `error` to stderr, above a progress bar if there is one, with the option that helps."""
    if args.debug:
        tqdm.write("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr)
    # A name in it must not move the cursor or colour the terminal; a table keeps its lines.
    sentence, *table = printable_lines(str(error)).split("\n")
    tqdm.write("\n".join([f"error: {sentence}{_hint(sentence, args)}", *table]), file=sys.stderr)


def _hint(sentence: str, args: argparse.Namespace) -> str:
    """Only of options that the command has."""
    for argument, pattern, hint in HINTS:
        if hasattr(args, argument) and re.search(pattern, sentence):
            return f"; {hint}"
    return ""
