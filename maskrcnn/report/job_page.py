"""The page about a folder of images: counts, a gallery with outlines, histograms, what is unsure, measurements."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskrcnn.report.palette import BRIGHT
from maskrcnn.untrusted.names import printable, utf8

MARK = "<!-- report of maskrcnn infer -->"
"""By which a later job knows its own page."""
MAX_ROWS = 20_000
"""Of measurements on the page; the file beside it has all."""
NUM_UNSURE = 48
NUM_BINS = 24
LOG_RANGE = 30
"""Bins of values grow by a factor where the greatest is that many times the least."""
_HERE = Path(__file__).parent


def write_job_page(
    file: IO[str],
    title: str,
    facts: Sequence[tuple[str, str]],
    class_names: Sequence[str],
    images: Iterable[dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    num_rows: int,
    areas: Sequence[float],
    scores: Sequence[float],
) -> None:
    """Write one HTML file that needs nothing else, the images one after the other.

    Args:
        facts: pairs of a name and a text: how it was done.
        class_names: by label.
        images: dicts with `name`, `counts` by class name or None, `status`, `drawing` (its file name beside the page)
            or None, where it is known the `interval` of the total, and the fields of `maskrcnn.report.preview`, if
            there is a preview.
        columns, rows: the first of `num_rows` measurements, cells of text.
        areas, scores: of all objects.

    Whatever they contain is shown as text.
    """
    name = html.escape(printable(utf8(title)))
    style, script = (_HERE.joinpath(f"job_page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    # Nothing is loaded from anywhere, and no other script runs, whatever a name looks like.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    file.write(
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{name}</title>\n<style>{style}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        '<main id="page"><noscript>This page needs JavaScript; it loads nothing from elsewhere.</noscript></main>\n'
    )
    file.write('<script type="application/json" id="images">[')
    for i, image in enumerate(images):
        file.write(",\n" * bool(i) + _json(image))
    file.write("]</script>\n")
    rest = {
        "facts": facts,
        "classes": [utf8(name) for name in class_names],
        "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in (BRIGHT[3], *BRIGHT[:3], *BRIGHT[4:])],
        "columns": list(columns),
        "rows": rows,
        "numRows": num_rows,
        "numUnsure": NUM_UNSURE,
        "plots": [["area, px", histogram(areas)], ["score", histogram(scores)]],
    }
    file.write(f'<script type="application/json" id="rest">{_json(rest)}</script>\n<script>{script}</script>\n')
    file.write("</body>\n</html>\n")


def histogram(values: Sequence[float]) -> dict[str, Any]:
    """Edges (B + 1) and counts (B) of `NUM_BINS` bins from the least to the greatest; of no values no bins."""
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return {"edges": [], "counts": []}
    low, high = numbers.min(), numbers.max()
    edges = np.geomspace(low, high, NUM_BINS + 1) if 0 < low * LOG_RANGE < high else NUM_BINS
    if not isinstance(edges, int):
        edges[[0, -1]] = low, high  # a digit off, and the least or the greatest would be in no bin
    counts, edges = np.histogram(numbers, edges)
    return {"edges": [float(f"{edge:.4g}") for edge in edges], "counts": counts.tolist()}


def _hash(content: str) -> str:
    """By which a page's policy allows a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that no HTML parser takes for an end of the script, or for anything else."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
