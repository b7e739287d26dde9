"""Pages of images in a 4x4 grid with titles, as written by `npresnet predict --grid out.png`.

A title has one line or two, such as a label with its probability and a file's name. The last page is as large as what
is on it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ImageError, NpresnetError
from npresnet.system.files import replacing
from npresnet.system.settings import quiet
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible
from npresnet.views.fonts import drawable

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from npresnet.views.fonts import Font

# Lengths in pixels
CELL = 224
GAP = 20
MARGIN = 28
TITLE = 44
BASELINES = (17, 35)
FONT_SIZES = ((17, 16, 15, 14, 13), (13, 12, 11))  # of the first line, and of the second
NAME_END = 8  # letters of a file's name that are kept where it is shortened
MAX_LETTERS = 200  # longer titles never fit

WHITE = (255, 255, 255)
INK = (32, 32, 32)
PALE = (110, 110, 110)  # of the second line
FAINT = (225, 225, 225)  # the frame of an image that could not be read

ROWS, COLUMNS = 4, 4
PICTURES = ROWS * COLUMNS  # on a page
SEVERAL_PAGES = (".pdf", ".tif", ".tiff")

Pictures = Iterable[tuple[Any, str]]


def save_pages(path: str | PathLike[str], pictures: Pictures, *, rows: int = ROWS, columns: int = COLUMNS) -> list[str]:
    """Draw images with titles on as many pages as necessary, and save them.

    path      the first page; further pages are called out-2.png, out-3.png, ... A .pdf or .tif holds all pages
    pictures  an iterable, possibly lazy, of pairs (picture, title): a (H, W, 3) or (H, W) uint8 array, a PIL image, or
              None for an empty frame; the title's second line, if any, stands behind a line end

    Returns the files written, [] if there are no pictures. Only one page is in memory at a time, except with .pdf and
    .tif. Files are replaced atomically. Raises ImageError if a page cannot be written.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    kind = _format(path, suffix)
    pages = _pages(iter(pictures), rows, columns)
    first = next(pages, None)
    if first is None:
        return []
    if suffix in SEVERAL_PAGES:
        _save(first, path, kind, save_all=True, append_images=pages)
        return [path]
    written = []
    for number, page in enumerate(chain([first], pages), start=1):
        written.append(page_path(path, number))
        _save(page, written[-1], kind)
    return written


def page_path(path: str, number: int) -> str:
    """The file of a page, from 1: out.png, out-2.png, ..."""
    stem, suffix = os.path.splitext(path)
    return path if number == 1 else f"{stem}-{number}{suffix}"


def _pages(pictures: Iterator[tuple[Any, str]], rows: int, columns: int) -> Iterator[Image.Image]:
    while cells := list(islice(pictures, rows * columns)):
        yield draw_page(cells, rows=rows, columns=columns)


@quiet
def draw_page(cells: Pictures, *, rows: int = ROWS, columns: int = COLUMNS) -> Image.Image:
    """One page: a white sheet of equal cells, filled row by row; rows and columns that would be empty are left out."""
    from PIL import Image, ImageDraw

    cells = list(cells)
    rows = min(rows, max(1, math.ceil(len(cells) / columns)))
    columns = min(columns, max(1, len(cells)))
    width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    height = 2 * MARGIN + rows * (TITLE + CELL) + (rows - 1) * GAP
    sheet = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(sheet)
    for number, (picture, title) in enumerate(cells):
        row, column = divmod(number, columns)
        left = MARGIN + column * (CELL + GAP)
        top = MARGIN + row * (TITLE + CELL + GAP)
        _draw_title(draw, title, left, top)
        if picture is None:
            draw.rectangle((left, top + TITLE, left + CELL - 1, top + TITLE + CELL - 1), outline=FAINT)
        else:
            _paste(sheet, picture, left, top + TITLE)
    return sheet


def title_of(label: str, score: float, name: str) -> str:
    """Two lines: "dog 99 %", and the name of the file without its folder."""
    return f"{visible(label)} {percent(score)}\n{visible(os.path.basename(name))}"


def percent(score: float) -> str:
    """A probability: "99 %"."""
    return "? %" if math.isnan(score) else f"{100 * score:.0f} %"


def _draw_title(draw: ImageDraw.ImageDraw, title: str, left: int, top: int) -> None:
    """Draw a title centred above its cell; all font sizes share one baseline a line."""
    from PIL import ImageFont

    first, _, second = title.partition("\n")
    score = re.search(r" \S+ %$", first)
    lines = [(first, INK, len(score[0]) if score else 0), (second, PALE, NAME_END if len(second) > NAME_END else 0)]
    for (line, colour, keep), baseline, sizes in zip(lines, BASELINES, FONT_SIZES, strict=True):
        text, font = fit_title(line, CELL, sizes, keep)
        start = left + (CELL - font.getlength(text)) / 2
        if isinstance(font, ImageFont.FreeTypeFont):
            draw.text((start, top + baseline), text, colour, font, anchor="ls")
        else:  # bitmap fonts do not support anchors
            draw.text((start, top + baseline - 11), text, colour, font)


def _paste(sheet: Image.Image, picture: Any, left: int, top: int) -> None:
    """Scale a picture to fit its cell, keeping the aspect ratio, and paste it below its title."""
    from PIL import Image

    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
    scale = CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # nearest neighbour for tiny images (CIFAR's 32x32), so that their pixels are visible
    smooth = Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS
    fitted = image.convert("RGB").resize(size, smooth)
    sheet.paste(fitted, (left + (CELL - size[0]) // 2, top))


def fit_title(title: str, width: int, sizes: Sequence[int] = FONT_SIZES[0], keep: int = 0) -> tuple[str, Font]:
    """The title on one line in the largest font that fits; shortened by an ellipsis before its last `keep` letters."""
    text = visible(" ".join(title.split()))
    if len(text) > MAX_LETTERS:
        text = text[: MAX_LETTERS - keep] + text[len(text) - keep :]
    for size in sizes:
        font, drawn = drawable(text, size)
        if font.getlength(drawn) <= width:
            return drawn, font
    drawn, end = drawn[: len(drawn) - keep], drawn[len(drawn) - keep :]
    while drawn and font.getlength(drawn.rstrip() + "..." + end) > width:
        drawn = drawn[:-1]
    return drawn.rstrip() + "..." + end, font


def _format(path: str, suffix: str) -> str:
    from PIL import Image

    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        raise ImageError(
            f"pictures cannot be written as {path}: use a name that ends in .png, .jpg, .webp, .tif or .pdf"
        )
    return kind


def _save(page: Image.Image, path: str, kind: str, **options: Any) -> None:
    try:
        with replacing(path) as file:
            page.save(file, kind, **options)
    except NpresnetError:  # raised by the iterable of pictures
        raise
    except (OSError, ValueError) as error:
        raise_signals(error)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ImageError(f"{path} cannot be written: {reason}") from error
