"""Pages that are one HTML file: everything is inside, so that they can be mailed, and opened without a network."""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskrcnn.report.text import NO_VALUE
from maskrcnn.untrusted.names import utf8

JPEG_QUALITY = 90
PLOT_DPI = 100
_NUMBER = re.compile(r"[+-]?[0-9.]+%?")

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { background: var(--soft); min-width: 3.9rem; max-width: 8rem; overflow-wrap: break-word; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 100%; }
.side-by-side figure { max-width: calc(50% - 1.3rem); }
figure img { max-width: 100%; height: auto; display: block; background: #fff; }
figcaption { font-size: .85rem; opacity: .8; max-width: 40rem; }
"""


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole HTML document: `title`, then for each section its heading (text) and its content (HTML).

    Content comes from the functions below, which escape what they are given; parts are joined as strings.
    """
    parts = [f"<section>\n<h2>{html.escape(heading)}</h2>\n{content}\n</section>" for heading, content in sections]
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>"
    )
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    return utf8(f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n')


def paragraph(text: str) -> str:
    """One paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells are escaped text. A column of numbers, given as such or as text such as +0.50 or 12%, stands to
    the right, its heading with it; `NO_VALUE` may be among them."""
    rows = [list(row) for row in rows]
    is_number = [_are_numbers([row[k] for row in rows]) for k in range(len(header))]
    lines = ["<table>", _row("th", header, is_number), *(_row("td", row, is_number) for row in rows), "</table>"]
    return "\n".join(lines)


def picture(image: np.ndarray | bytes, caption: str = "") -> str:
    """An image with its caption: RGB uint8 (H, W, 3), or the bytes of a PNG or JPEG file.

    An array is embedded as PNG or as JPEG, whichever is smaller: drawings suit the one, photographs the other.
    """
    data = image if isinstance(image, bytes) else _smallest(image)
    mime = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    source = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{html.escape(caption)}">{below}</figure>'


def plot(figure: Figure, caption: str = "") -> str:
    """A matplotlib figure as a picture."""
    FigureCanvasAgg(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=PLOT_DPI)
    return picture(png.getvalue(), caption)


def _are_numbers(cells: Sequence[object]) -> bool:
    texts = [text for cell in cells if (text := str(cell))]
    return bool(texts) and all(text == NO_VALUE or _NUMBER.fullmatch(text) for text in texts)


def _row(tag: str, cells: Sequence[object], is_number: Sequence[bool]) -> str:
    return f"<tr>{''.join(_cell(tag, cell, number) for cell, number in zip(cells, is_number, strict=True))}</tr>"


def _cell(tag: str, cell: object, is_number: bool) -> str:
    css = ' class="number"' if is_number else ""
    return f"<{tag}{css}>{html.escape(str(cell))}</{tag}>"


def _smallest(image: np.ndarray) -> bytes:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    files = [cv2.imencode(".png", bgr)[1], cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]]
    return min((file.tobytes() for file in files), key=len)
