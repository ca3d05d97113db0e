"""Small text: one line as a coverage mask, put onto a picture, and words flowing into a block."""

import functools
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskrcnn.untrusted.names import printable

Color = tuple[int, int, int]

PANEL: Color = (24, 24, 24)
"""The ground of legends and strips."""
NO_VALUE = "-"
"""In a table, for a number that there is not."""


def text_mask(text: str, size_px: int) -> np.ndarray:
    """Coverage 0..255 of one line of text, uint8 (h, w).

    `h` is `line_height(size_px)` whatever the text, so that lines of one size stand on one base line. With OpenCV 5 any
    script can be written; without it accents are lost and other scripts become question marks.
    """
    baseline = round(0.95 * size_px)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    face = _opencv_face()
    if face is not None:
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size_px)
        mask = np.zeros((line_height(size_px), width + 2), np.uint8)
        # The range to wrap at is endless: by default, the width of the mask, the last letter could go to a second line.
        cv2.putText(mask, text, (1, baseline), (255,), face, size_px, 0, cv2.PUT_TEXT_ALIGN_LEFT, (0, 1 << 20))
        return mask
    text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    text = "".join(letter if letter.isascii() else "?" for letter in text)
    font = ImageFont.load_default(size_px)
    image = Image.new("L", (round(font.getlength(text)) + 2, line_height(size_px)))
    ImageDraw.Draw(image).text((1, baseline), text, fill=255, font=font, anchor="ls")
    return np.asarray(image)


def line_height(size_px: int) -> int:
    """Height in pixels of a line of letters of this size."""
    return round(1.3 * size_px)


def stamp(canvas: np.ndarray, mask: np.ndarray, x: int, y: int, ink: Color, paper: Color) -> None:
    """Put a line, `mask` uint8 (h, w), in `ink` on `paper` onto `canvas`, RGB uint8 (H, W, 3); clipped at its borders.

    (x, y) is the left upper corner.
    """
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(canvas.shape[1], x + mask.shape[1]), min(canvas.shape[0], y + mask.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    opacity = np.arange(256, dtype=np.float32)[:, None] / 255.0
    colors = np.rint(np.array(paper) * (1.0 - opacity) + np.array(ink) * opacity).astype(np.uint8)  # (256, 3)
    canvas[y0:y1, x0:x1] = cv2.applyColorMap(mask[y0 - y : y1 - y, x0 - x : x1 - x], colors[:, None])


def text_block(
    words: Sequence[tuple[str, Color, Color | None]], size_px: int, max_width: int, background: Color
) -> np.ndarray:
    """Picture, RGB uint8 (h, w, 3), of words that flow into lines; w is at most `max_width` if the longest word allows.

    Each word is (text, its colour, the colour of a square before it or None).
    """
    pad, height = max(3, size_px // 2), line_height(size_px)
    placed = []
    x, y, width = pad, pad, 0
    for text, color, square in words:
        mask = text_mask(text, size_px)
        indent = size_px if square else 0
        if x > pad and x + indent + mask.shape[1] + pad > max_width:
            x, y = pad, y + height
        placed.append((mask, color, square, x, y))
        x += indent + mask.shape[1] + pad
        width = max(width, x)
    block = np.full((y + height + pad, width, 3), background, np.uint8)
    for mask, color, square, x, y in placed:
        if square:
            top = y + round(0.3 * size_px)
            block[top : top + round(0.65 * size_px), x : x + round(0.65 * size_px)] = square
        stamp(block, mask, x + (size_px if square else 0), y, color, background)
    return block


def page_above_strip(
    size: tuple[int, int], lines: Sequence[Sequence[tuple[str, Color, Color | None]]], font_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """A page, RGB uint8, with a strip of `lines` of words below room for a picture of (height, width); and that room.

    The room is a view of the page, for its owner to draw on: a picture may have 300 MB.
    """
    height, width = size
    blocks = [text_block(line, font_px, max(width, 12 * font_px), PANEL) for line in lines]
    page_size = height + sum(block.shape[0] for block in blocks), max(width, *(block.shape[1] for block in blocks))
    page = np.empty((*page_size, 3), np.uint8)
    page[:height, width:] = page[height:] = PANEL
    top = height
    for block in blocks:
        page[top : top + block.shape[0], : block.shape[1]] = block
        top += block.shape[0]
    return page, page[:height, :width]


def shorten(name: str, limit: int = 24) -> str:
    """`name` in one line: its first letters and an ellipsis where it has more than `limit`."""
    name = printable(name[: limit + 1])
    return name if len(name) <= limit else name[: limit - 1] + "…"


def plot_name(name: str, limit: int = 24) -> str:
    """`name` as matplotlib shows it: shortened, without formulas (`$`), and in legends, which leave out `_...`."""
    name = shorten(name, limit).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


@functools.cache
def _opencv_face() -> "cv2.FontFace | None":
    # The Unicode font inside OpenCV 5; earlier versions have none.
    return cv2.FontFace("uni") if hasattr(cv2, "FontFace") else None


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first flush left, the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
