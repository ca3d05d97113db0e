"""Which picture files a path, a folder or a pattern names."""

import errno
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from maskrcnn.data.pictures.kinds import UNREAD_EXTENSIONS
from maskrcnn.untrusted.names import printable

# What `find_images` takes from a folder. A file that is named explicitly is taken whatever its extension.
IMAGE_EXTENSIONS = frozenset(
    {".avif", ".bmp", ".btf", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tf8", ".tga", ".tif", ".tiff", ".webp"}
    # TIFFs of slide scanners and microscopes.
    | {".lsm", ".ndpi", ".qptiff", ".scn", ".stk", ".svs"}
)
_ZARR = frozenset({"zarr.json", ".zgroup", ".zarray"})
"""A folder with one of these is one picture, and not a folder of files."""

OnError = Callable[[OSError], None]


def find_images(
    paths: str | Path | Sequence[str | Path],
    on_error: OnError | None = None,
    on_unread: Callable[[str], None] = lambda sentence: None,
) -> list[Path]:
    """List the image files that `paths` name, each once, in the order given.

    A file is taken as it is; a folder gives the images below it (by `IMAGE_EXTENSIONS` in any case, hidden ones left
    out) sorted by path; a pattern such as "scans/**/*.tif" gives its sorted matches, folders among them included.
    Linked folders are followed, each once. Names are kept as the system gives them, also those that are not UTF-8. What
    has the name of an image is listed whatever it is (a broken link, a pipe): `read_image` says what is wrong with it.

    Args:
        on_error: takes an error, whose text names the folder, for each folder that cannot be listed; the search goes
            on. Without it the first is raised.
        on_unread: takes a sentence, which names the folder or pattern, for each sort of image that is there beside
            others and cannot be read (`UNREAD_EXTENSIONS`): how many, and what to do.

    Raises:
        FileNotFoundError: a path that does not exist, a link to nothing, or a pattern without a match.
        OSError: a folder that cannot be listed (without `on_error`), a link that leads back to itself.
        ValueError: a folder or pattern without images.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[str, Path] = {}
    for given in paths:
        for path in _expand(given, on_error or _raise, on_unread):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def missing_file(path: Path, noun: str) -> OSError:
    """Why there is nothing at `path`, or what is wrong with the link there."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return OSError(f"{printable(str(path))}: this link leads back to itself")
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and path.is_symlink():
            return FileNotFoundError(
                f"{printable(str(path))}: this is a link to {printable(os.readlink(path))}, which is not there"
            )
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return type(error)(f"{printable(str(path))}: cannot be opened ({error.strerror})")
    except ValueError as error:  # a zero byte
        return OSError(f"{printable(str(path))}: cannot be the name of a file ({error})")
    return FileNotFoundError(f"{printable(str(path))}: there is no such {noun}")


def _raise(error: OSError) -> None:
    raise error


def _exists(path: Path) -> bool:
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True


def _expand(given: str | Path, on_error: OnError, on_unread: Callable[[str], None]) -> Iterator[Path]:
    path = Path(given)
    if _exists(path) and not os.path.isdir(path):
        yield path
        return
    if os.path.isdir(path):
        images, others, num_errors = _look_through([path], on_error)
        if not images and not num_errors:
            raise ValueError(f"{printable(str(path))}: no images in this folder{_others(others)}")
    elif glob.has_magic(str(given)):
        matches = sorted(Path(match) for match in glob.glob(str(given), recursive=True))
        if not matches:
            raise FileNotFoundError(f"{printable(str(given))}: nothing matches this pattern")
        files = [match for match in matches if not os.path.isdir(match)]
        images, others, num_errors = _look_through([match for match in matches if os.path.isdir(match)], on_error)
        images += [file for file in files if _is_image(file.name)]
        others += [file.name for file in files if not _is_image(file.name)]
        if not images and not num_errors:
            raise ValueError(f"{printable(str(given))}: {len(matches)} matches, none of them an image{_others(others)}")
    else:
        raise missing_file(path, "file or folder")
    for sentence in _unread(others):
        on_unread(f"{printable(str(given))}: {sentence}")
    yield from sorted(images)


def _look_through(folders: Sequence[Path], on_error: OnError) -> tuple[list[Path], list[str], int]:
    """Images in and below `folders`, the names of other files, and how many folders could not be listed."""
    images: list[Path] = []
    others: list[str] = []
    num_errors = 0

    def fail(error: OSError) -> None:
        nonlocal num_errors
        num_errors += 1
        on_error(type(error)(f"{printable(str(error.filename))}: the folder cannot be listed ({error.strerror})"))

    for folder in folders:
        seen: set[str] = set()  # linked folders may lead back to where the walk has been
        for parent, inner, files in os.walk(folder, onerror=fail, followlinks=True):
            if os.path.realpath(parent) in seen:
                inner.clear()
                continue
            seen.add(os.path.realpath(parent))
            if not _ZARR.isdisjoint(files):
                others.append(Path(parent).name.removesuffix(".zarr") + ".zarr")
                inner.clear()
                continue
            inner[:] = [name for name in inner if not name.startswith(".")]
            images += [Path(parent, name) for name in files if _is_image(name)]
            others += [name for name in files if not _is_image(name)]
    return images, others, num_errors


def _is_image(name: str) -> bool:
    return _extension(name) in IMAGE_EXTENSIONS and not name.startswith(".")


def _unread(names: list[str]) -> list[str]:
    """A sentence for each sort, the most frequent first."""
    ends = [_extension(name) for name in names if not name.startswith(".")]
    counts = Counter(end for end in ends if end in UNREAD_EXTENSIONS)
    return [
        f"{number} {end} file{'s' * (number > 1)} not read: {UNREAD_EXTENSIONS[end]}"
        for end, number in counts.most_common()
    ]


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _others(names: list[str]) -> str:
    """What is there instead, " (it holds 12 .czi, 1 .txt; looked for .avif .bmp ...)" say, and what to do about it."""
    ends = [_extension(name) or "without extension" for name in names if not name.startswith(".")]
    most = sorted(Counter(ends).items(), key=lambda item: (-item[1], item[0]))[:5]
    holds = f"it holds {', '.join(f'{number} {end}' for end, number in most)}; " if most else ""
    instead = "".join(f"; {sentence}" for sentence in _unread(names))
    return f" ({holds}looked for {' '.join(sorted(IMAGE_EXTENSIONS))}){instead}"
