"""The public checkpoints: where each one is, what it is, and how to tell that a file is the right one."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

import maskrcnn
from maskrcnn.config import PRESETS, validate
from maskrcnn.config.base import Settings
from maskrcnn.untrusted.excerpt import excerpt

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

SHIPPED = "shipped"
"""The table of the weights that come with the package: SHA-256 by name."""
Percent = Annotated[float, Field(ge=0, le=100)]


class Entry(Settings):
    """One public file: a table of `weights/manifest.toml`."""

    name: str
    """By which it is asked for."""
    aliases: tuple[str, ...] = ()
    """Other names for it, among them the one its publisher uses."""
    url: str
    size_bytes: PositiveInt | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{8,64}$")
    """In hexadecimal; the first digits where no more are published."""
    md5: str | None = Field(None, pattern="^[0-9a-f]{6,32}$")
    """As `sha256`, for publishers that state no other sum."""
    licence: str
    network: str
    """Body and neck, in short."""
    classes: PositiveInt
    """Without the background."""
    task: Literal["instance", "semantic"] = "instance"
    """What it finds: objects, or a class for every pixel."""
    preset: str | None = None
    """Key of `PRESETS`, of networks that find objects."""
    box_ap: Percent | None = None
    """Published, COCO val2017, in percent."""
    mask_ap: Percent | None = None
    """As `box_ap`."""
    pq: Percent | None = None
    """Panoptic quality, published, COCO val2017, in percent; of weights with a semantic branch."""
    mean_iou: Percent | None = None
    """Published, of the semantic ones: the images of COCO val2017 with VOC's labels, in percent."""
    source: str
    """Page of its publisher."""

    @property
    def file(self) -> str:
        """Name of the file, there and in our cache."""
        return self.url.rpartition("/")[2]

    @model_validator(mode="after")
    def _is_usable(self) -> "Entry":
        if not re.fullmatch(r"https?://[^/]+/(.*/)?[\w-][\w.-]*", self.url):
            raise ValueError(f"url: expected http(s)://HOST/.../FILE, got {self.url!r}")
        if self.sha256 is None and self.md5 is None:
            raise ValueError("expected sha256 or md5, got neither")
        if (self.preset is None) != (self.task == "semantic"):
            raise ValueError(f"preset: expected one for every network that finds objects, got {self.preset!r}")
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {self.preset!r}")
        return self


def find(name: str) -> Entry | None:
    """The public checkpoint of that name or alias, if there is one."""
    entries = load_manifest()
    return entries.get(name) or next((entry for entry in entries.values() if name in entry.aliases), None)


@cache
def load_manifest() -> dict[str, Entry]:
    """The public checkpoints by name.

    Raises:
        FileNotFoundError: the package has been installed without its manifest.
    """
    return read_manifest(_manifest_path())


@cache
def shipped_sums() -> dict[str, str]:
    """SHA-256, in hexadecimal, of the weights that come with the package, by name."""
    return tomllib.loads(_manifest_path().read_text(encoding="utf-8")).get(SHIPPED, {})


def _manifest_path() -> Path:
    package = Path(maskrcnn.__file__).parent
    # In a wheel it lies inside the package, in a checkout beside it.
    for path in (package / "weights" / "manifest.toml", package.parent / "weights" / "manifest.toml"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no weights/manifest.toml in {package} or beside it")


def read_manifest(path: Path) -> dict[str, Entry]:
    """The entries of a file by name.

    Raises:
        ValueError: it is no TOML, a key or value is wrong, or two entries share a name or a file; names entry and key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from None
    tables.pop(SHIPPED, None)
    entries: dict[str, Entry] = {}
    owners: dict[str, str] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: expected a table for each checkpoint, got {name} = {excerpt(table)}")
        entry = validate(Entry, {**table, "name": name}, f"{path}: {name}")
        for taken in (name, *entry.aliases, entry.file):
            if taken in owners:
                raise ValueError(f"{path}: {name}: {taken!r} belongs to {owners[taken]} already")
            owners[taken] = name
        entries[name] = entry
    return entries
