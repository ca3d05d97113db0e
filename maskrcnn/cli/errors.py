"""What the user is told when something goes wrong: one sentence, and the traceback for who asks."""

import sys
import traceback

from tqdm import tqdm

from maskrcnn.names import printable_lines


def report(error: Exception, *, with_traceback: bool) -> None:
    """Write the sentence of `error` to stderr, above a progress bar if there is one."""
    if with_traceback:
        tqdm.write("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr)
    # A name in it must not move the cursor or colour the terminal; a table keeps its lines.
    tqdm.write(f"error: {printable_lines(str(error))}", file=sys.stderr)
