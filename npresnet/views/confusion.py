"""A confusion matrix as a picture: a row for each true class, a column for each predicted one.

A cell's colour is its share of its row: blue on the diagonal, red off it; by the square root, so that one in a hundred
is seen. Few classes have their counts in the cells, up to a hundred have names, more have numbers and a list of what is
confused most. Of more than MAX_CELLS classes, neighbours share a cell.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from npresnet.views.fonts import drawable
from npresnet.views.grid import INK, WHITE

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from npresnet.views.fonts import Font

# Lengths in pixels
MARGIN = 24
GAP = 8
NAMED_UP_TO = 100
COUNTED_UP_TO = 24
MAX_CELLS = 1_200
LIST_ROWS = 30
FAINTEST = 0.45  # of the full colour, in cells of a few pixels
LIST_WIDTH = 460
HEADING_WIDTH = 420
SIZES = ((12, 56), (COUNTED_UP_TO, 40), (50, 20), (NAMED_UP_TO, 14), (300, 4), (600, 2))  # up to so many classes
TEXT = 13
MAX_LETTERS = 200  # of a label that are measured: a file may have labels of megabytes

RIGHT = np.array([23, 84, 158])  # the colour of a full cell
WRONG = np.array([190, 44, 38])
PAPER = np.array([247, 247, 247])

Array = NDArray[np.int64]


def draw_confusion(counts: Array, labels: Sequence[str]) -> Image.Image:
    """The picture.

    counts  (n, n), row i, column j: images of class i that were taken for class j
    labels  n names
    """
    from PIL import Image, ImageDraw

    n = len(labels)
    is_named = n <= NAMED_UP_TO
    cells = _pooled(counts, -(-n // MAX_CELLS))
    side = next((size for most, size in SIZES if n <= most), 1)
    names = _names_width(labels, side) if is_named else 48
    length = side * len(cells)
    left, top = MARGIN + names, MARGIN + TEXT + 2 * GAP + names
    width = max(left + length + (0 if is_named else LIST_WIDTH), HEADING_WIDTH) + MARGIN
    sheet = Image.new("RGB", (width, max(top + length, 0 if is_named else 640) + MARGIN), WHITE)
    sheet.paste(
        Image.fromarray(_colours(cells, FAINTEST if side < TEXT else 0.0)).resize(
            (length, length), Image.Resampling.NEAREST
        ),
        (left, top),
    )
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left - 1, top - 1, left + length, top + length), outline=(160, 160, 160))
    _write(draw, (MARGIN, MARGIN), f"{counts.sum():,} images; rows: true class, columns: predicted class")
    if is_named:
        _draw_names(sheet, draw, labels, side, left, top, names)
        if n <= COUNTED_UP_TO:
            _draw_counts(draw, counts, side, left, top)
    else:
        _draw_numbers(sheet, draw, n, length, left, top)
        _draw_list(draw, counts, labels, left + length + MARGIN, top)
    return sheet


def _pooled(counts: Array, block: int) -> Array:
    """Sums of `block` x `block` neighbours; the last block as large as it comes."""
    if block == 1:
        return counts
    starts = np.arange(0, len(counts), block)
    rows = np.add.reduceat(counts, starts, axis=0)
    pooled: Array = np.add.reduceat(rows, starts, axis=1)
    return pooled


def _shares(counts: Array) -> NDArray[np.float64]:
    """Of each row's sum; 0 where a class has no images."""
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _colours(counts: Array, least: float) -> NDArray[np.uint8]:
    """(n, n, 3): paper where nothing is, the full colour where a whole row is, `least` of it where anything is."""
    weight = np.maximum(np.sqrt(_shares(counts)), least * (counts > 0))[:, :, None]
    full = np.where(np.eye(len(counts), dtype=bool)[:, :, None], RIGHT, WRONG)
    colours: NDArray[np.uint8] = np.rint(PAPER + weight * (full - PAPER)).astype(np.uint8)
    return colours


def _names_width(labels: Sequence[str], side: int) -> int:
    font_size = min(TEXT, side)
    widest = max(drawable(label[:60], font_size)[0].getlength(label[:60]) for label in labels)
    return min(220, int(widest) + GAP)


def _draw_names(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, labels: Sequence[str], side: int, left: int, top: int, room: int
) -> None:
    """Beside the rows, and upwards above the columns."""
    from PIL import Image, ImageDraw

    for position, label in enumerate(labels):
        text, font = _fitted(label, room - GAP, min(TEXT, side))
        middle = position * side + side // 2
        _write(draw, (left - GAP - font.getlength(text), top + middle - _height(font) / 2), text, font)
        strip = Image.new("RGB", (room - GAP, side), WHITE)
        _write(ImageDraw.Draw(strip), (0, side / 2 - _height(font) / 2), text, font)
        sheet.paste(strip.rotate(90, expand=True), (left + position * side, top - room))


def _draw_counts(draw: ImageDraw.ImageDraw, counts: Array, side: int, left: int, top: int) -> None:
    shares = _shares(counts)
    for row, column in np.argwhere(counts):
        text, font = _fitted(f"{counts[row, column]}", side - 4, TEXT)
        x = left + column * side + (side - font.getlength(text)) / 2
        dark = shares[row, column] > 0.3
        _write(draw, (x, top + row * side + (side - _height(font)) / 2), text, font, WHITE if dark else INK)


def _draw_numbers(sheet: Image.Image, draw: ImageDraw.ImageDraw, n: int, length: int, left: int, top: int) -> None:
    """Ticks at round class numbers along both sides."""
    from PIL import Image, ImageDraw

    step = next(size for size in (20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if n / size <= 12)
    for number in range(0, n, step):
        at = number * length // n
        text, font = _fitted(str(number), 44, TEXT)
        draw.line((left - 5, top + at, left - 1, top + at), fill=INK)
        draw.line((left + at, top - 5, left + at, top - 1), fill=INK)
        _write(draw, (left - GAP - font.getlength(text), top + at - _height(font) / 2), text, font)
        strip = Image.new("RGB", (40, 20), WHITE)
        _write(ImageDraw.Draw(strip), (1, 10 - _height(font) / 2), text, font)
        sheet.paste(strip.rotate(90, expand=True), (left + at - 10, top - 48))


def _draw_list(draw: ImageDraw.ImageDraw, counts: Array, labels: Sequence[str], left: int, top: int) -> None:
    """What is confused most: images, true class, predicted class."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    best = np.argsort(-wrong, axis=None, kind="stable")[:LIST_ROWS]
    _write(draw, (left, top), "most often: images, true class -> predicted class")
    for place, flat in enumerate(best):
        true, found = divmod(int(flat), len(labels))
        if not wrong[true, found]:
            break
        line = f"{wrong[true, found]}  {true} {labels[true]} -> {found} {labels[found]}"
        text, font = _fitted(line, LIST_WIDTH - MARGIN, TEXT)
        _write(draw, (left, top + (place + 2) * 19), text, font)


def _fitted(text: str, room: int, size: int) -> tuple[str, Font]:
    """On one line, in this size if it fits, else shortened."""
    font, drawn = drawable(text[:MAX_LETTERS], size)
    if len(text) <= MAX_LETTERS and font.getlength(drawn) <= room:
        return drawn, font

    def length(count: int) -> float:
        return float(font.getlength(drawn[:count] + ".."))

    most = bisect_right(range(1, len(drawn) + 1), float(room), key=length)
    return drawn[: max(1, most)] + "..", font


def _height(font: Font) -> float:
    top, bottom = font.getbbox("0")[1::2]
    return float(top + bottom)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: Font | None = None, ink: tuple[int, ...] = INK
) -> None:
    """At whole pixels: at a fraction of a negative one Pillow cuts letters off."""
    draw.text((round(at[0]), round(at[1])), text, ink, drawable(text, TEXT)[0] if font is None else font)
