"""What the processes of a job do together, and agree on."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from maskrcnn.data.pages import Reading
from maskrcnn.distributed import gather, is_first
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.job_pages import PageReader
from maskrcnn.prediction.job_records import JobPage
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.slide_job import share_tiles


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` gives in the first process, known to all, or raises."""
    value, failure = None, None
    if is_first():
        try:
            value = make()
        except (OSError, ValueError) as error:
            failure = error
    value, failure = gather((value, failure))[0]
    if failure is not None:
        raise failure
    return value


def expect_same_files(files: Sequence[Path]) -> None:
    names = "\0".join(map(str, files)).encode(errors="surrogatepass")
    if len(set(gather(hashlib.sha256(names).hexdigest()))) > 1:
        raise ValueError("the processes see different files; each needs all of them, under the same paths")


def share_slides(
    predictor: Predictor,
    pages: Sequence[JobPage],
    reading: Reading,
    kept: Callable[[JobPage, FileState], TileFiles],
) -> None:
    """Do this process's part of the tiles of every slide, until all have done theirs."""
    reader = PageReader(reading, predictor.needs_tiles)
    for page in pages:
        with suppress(Exception):  # whoever counts the page says what is wrong with it, and does what is missing
            large = reader.large(page)
            if large is not None:
                state, opened = large
                with closing(opened):
                    share_tiles(predictor, opened.slide.source, kept(page, state))
    with suppress(RuntimeError):  # of a process that died the others do the part
        gather(None)


def wait_for_all(failures: dict[JobPage, str]) -> dict[JobPage, str]:
    """The pages that any process could not do; where one died, the first has to do with its own."""
    try:
        return {page: status for part in gather(failures) for page, status in part.items()}
    except RuntimeError:  # a process that dies closes its connections
        if not is_first():
            raise
        return failures
