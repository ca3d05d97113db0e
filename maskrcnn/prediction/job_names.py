"""What the files of a job are called: in its tables, and as drawings."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from maskrcnn.report.semantic_files import MAP_ENDING
from maskrcnn.report.written import DRAWING_ENDING, is_ours
from maskrcnn.untrusted.names import printable

MAX_NAME_BYTES = 200
"""Of a drawing's name; file systems take 255, some network ones less."""
_HASH_DIGITS = 8
_PAGE = re.compile(r"_page\d+$")
_IN_FOLDER_NAMES = re.compile(r'[\\/:*?"<>|]')  # what Windows refuses, and what would lead into another folder


def common_folder(folders: Iterable[Path]) -> Path | None:
    """The deepest folder that holds all `folders`, absolute; None where they are on several drives."""
    try:
        return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    except ValueError:
        return None


def relative_names(files: Iterable[Path], root: Path | None) -> dict[Path, str]:
    """The name of each file as seen from the folder `root`, with forward slashes on every system.

    Raises:
        ValueError: a file that is not in `root`.
    """
    full_root = None if root is None else Path(os.path.abspath(root))
    return {file: relative_name(Path(os.path.abspath(file)), full_root) for file in files}


def relative_name(file: PurePath, root: PurePath | None) -> str:
    """The absolute path `file` from `root`, or from the machine where that is None: `C:\\a\\b.png` is `C/a/b.png`."""
    if root is None:
        return "/".join([part for part in (file.drive.strip(":\\/").replace("\\", "/"), *file.parts[1:]) if part])
    if not file.is_relative_to(root):
        raise ValueError(f"{file}: expected a file in {root}")
    return file.relative_to(root).as_posix()


def drawing_names(names: Sequence[str], root_name: str, ending: str = DRAWING_ENDING) -> dict[str, str]:
    """The file name of the drawing of each file, by the `names` of `relative_names`; no two are equal in any case.

    It is the stem; where several files have that, with the folder (`root_name` for those in none), then the extension;
    and where all that is taken, too long, or has characters that a file system may refuse, cut and with a hash of the
    name. Which files there are decides on it, not their order.
    """
    paths = {name: PurePath(name) for name in names}
    folders = {name: path.parent.name or root_name for name, path in paths.items()}
    spellings = {
        name: (path.stem, f"{folders[name]}_{path.stem}", f"{folders[name]}_{path.stem}_{path.suffix[1:]}")
        for name, path in paths.items()
    }
    # Lower case, since some file systems do not tell cases apart.
    used = Counter(spelling.lower() for some in spellings.values() for spelling in dict.fromkeys(some))
    chosen: dict[str, str] = {}
    for name, some in spellings.items():
        free = [spelling for spelling in some if used[spelling.lower()] == 1 and _is_plain(spelling)]
        # What the page of another file is drawn as is taken, however many pages that has.
        free = [one for one in free if not _PAGE.search(one) or not used[_PAGE.sub("", one.lower())]]
        if free:
            chosen[name] = free[0]
    taken = set(used)
    for name in sorted(set(names) - set(chosen)):
        chosen[name] = _with_hash(name, taken)
        taken.add(chosen[name].lower())
    return {name: f"{chosen[name]}{ending}" for name in names}


def page_drawing(drawing: Path, number: int, num: int) -> Path:
    """Where a page of a file with so many is drawn, by the name that `drawing_names` gives the file."""
    ending = MAP_ENDING if drawing.name.endswith(MAP_ENDING) else DRAWING_ENDING
    stem = drawing.name.removesuffix(ending)
    return drawing.with_name(f"{stem}_page{number:0{len(str(num - 1))}d}{ending}")


def full_drawing(drawing: Path) -> Path:
    """Where a slide is drawn at its full size, by where its overview is drawn."""
    return drawing.with_suffix(".tif")


def _is_plain(spelling: str) -> bool:
    is_short = len(os.fsencode(spelling)) <= MAX_NAME_BYTES - len(DRAWING_ENDING)
    return is_short and printable(spelling) == spelling and not _IN_FOLDER_NAMES.search(spelling)


def _with_hash(name: str, taken: set[str]) -> str:
    """A spelling of `name` that is not `taken`."""
    stem = _IN_FOLDER_NAMES.sub("_", printable(PurePath(name).stem))
    cut = stem.encode()[: MAX_NAME_BYTES // 2].decode(errors="ignore")
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    lengths = range(_HASH_DIGITS, len(digest) + 1)
    return next(spelling for n in lengths if (spelling := f"{cut}_{digest[:n]}").lower() not in taken)


def drawing_paths(names: Mapping[Path, str], root_name: str, out: Path, ending: str) -> dict[Path, Path]:
    """Where each file is drawn.

    Raises:
        ValueError: in the place of one of the files.
    """
    chosen = drawing_names(list(names.values()), root_name, ending)
    drawings = {file: out / chosen[name] for file, name in names.items()}
    expect_no_source(out, list(drawings.values()), list(names))
    return drawings


def expect_no_source(out: Path, drawings: Sequence[Path], files: Sequence[Path]) -> None:
    sources = {os.path.realpath(file): file for file in files}
    for drawing in drawings:
        file = sources.get(os.path.realpath(drawing))
        if file is not None:
            raise ValueError(f"{out}: a drawing would replace the image {file}; choose another folder")


def expect_ours(paths: Sequence[Path]) -> None:
    others = [path for path in paths if os.path.lexists(path) and not is_ours(path)]
    if others:
        which = ", ".join(map(str, others[:3])) + ", ..." * (len(others) > 3)
        what = "a file" if len(others) == 1 else f"{len(others)} files"
        raise FileExistsError(f"{which}: {what} that no earlier job wrote would be overwritten")
