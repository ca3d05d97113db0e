"""List the public checkpoints, and download them ahead of time."""

import argparse
import difflib
import textwrap

from maskrcnn.checkpoints.download import cache_folder, cached_path, fetch, part_path
from maskrcnn.checkpoints.manifest import Entry, find, load_manifest

LINE_LETTERS = 120


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `zoo`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="List the public checkpoints that --weights knows by name. They are downloaded on first use. AP, "
        "and PQ of those that also name the stuff around the objects, are the published figures, on COCO val2017.",
        epilog="example: %(prog)s --download coco",
    )
    parser.add_argument("--download", nargs="+", metavar="NAME", help="download these now")
    parser.add_argument("--urls", action="store_true", help="show where each file comes from, and all its names")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.download:
        entries = {name: _entry(name) for name in args.download}
        for name, entry in entries.items():
            path = fetch(entry)
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, licence {entry.licence}; use it with --weights {name}")
        return 0
    entries = load_manifest().values()
    header = ("name", "network", "classes", "box AP", "mask AP", "PQ", "mean IoU", "MB", "licence", "cached")
    print(_table([header, *(_row(entry) for entry in entries)]))
    if args.urls:
        for entry in entries:
            others = f", also called {', '.join(entry.aliases)}" if entry.aliases else ""
            print(f"\n{entry.name}{others}\n  {entry.url}\n  from {entry.source}")
    short = ", ".join(f"{alias} is {entry.name}" for entry in entries for alias in entry.aliases if "_" not in alias)
    print("\n" + textwrap.fill(short, LINE_LETTERS, break_on_hyphens=False))
    print(f"downloads are kept in {cache_folder()} (set MASKRCNN_HOME to change this)")
    return 0


def _entry(name: str) -> Entry:
    entry = find(name)
    if entry is None:
        known = [name for entry in load_manifest().values() for name in (entry.name, *entry.aliases)]
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(
            f"no public checkpoint named {name!r}; "
            + (f"did you mean {close[0]}?" if close else "maskrcnn zoo lists them")
        )
    return entry


def _row(entry: Entry) -> tuple[str, ...]:
    path, part = cached_path(entry), part_path(entry)
    size = path.stat().st_size if path.exists() else entry.size_bytes
    cached = "yes" if path.exists() else f"{part.stat().st_size / 1e6:.0f} MB" if part.exists() else "no"
    return (
        entry.name,
        entry.network,
        str(entry.classes),
        _number(entry.box_ap),
        _number(entry.mask_ap),
        _number(entry.pq),
        _number(entry.mean_iou),
        f"{size / 1e6:.0f}" if size else "-",
        entry.licence,
        cached,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)
