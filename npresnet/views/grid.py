"""Pages of images in a 4x4 grid with titles, as written by `npresnet predict --grid out.png`."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ImageError, NpresnetError
from npresnet.system.files import replacing
from npresnet.system.settings import quiet
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Lengths in pixels
CELL = 224
GAP = 20
MARGIN = 28
TITLE = 26
BASELINE = 17
FONT_SIZES = (17, 16, 15, 14, 13)
MAX_LETTERS = 200  # longer titles never fit
# Of Linux, Windows and macOS
SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "arial.ttf", "Arial Unicode.ttf", "Arial.ttf")

WHITE = (255, 255, 255)
INK = (32, 32, 32)
FAINT = (225, 225, 225)  # the frame of an image that could not be read

SEVERAL_PAGES = (".pdf", ".tif", ".tiff")

Pictures = Iterable[tuple[Any, str]]


def save_pages(path: str | PathLike[str], pictures: Pictures, *, rows: int = 4, columns: int = 4) -> list[str]:
    """Draw images with titles on as many pages as necessary, and save them.

    path      the first page; further pages are called out-2.png, out-3.png, ... A .pdf or .tif holds all pages
    pictures  an iterable, possibly lazy, of pairs (picture, title): a (H, W, 3) or (H, W) uint8 array, a PIL image, or
              None for an empty frame

    Returns the files written, [] if there are no pictures. Only one page is in memory at a time, except with .pdf and
    .tif. Files are replaced atomically. Raises ImageError if a page cannot be written.
    """
    path = os.fspath(path)
    stem, suffix = os.path.splitext(path)
    kind = _format(path, suffix.lower())
    pages = _pages(iter(pictures), rows, columns)
    first = next(pages, None)
    if first is None:
        return []
    if suffix.lower() in SEVERAL_PAGES:
        _save(first, path, kind, save_all=True, append_images=pages)
        return [path]
    written = []
    for number, page in enumerate(chain([first], pages), start=1):
        written.append(path if number == 1 else f"{stem}-{number}{suffix}")
        _save(page, written[-1], kind)
    return written


def _pages(pictures: Iterator[tuple[Any, str]], rows: int, columns: int) -> Iterator[Image.Image]:
    while cells := list(islice(pictures, rows * columns)):
        yield draw_page(cells, rows=rows, columns=columns)


@quiet
def draw_page(cells: Pictures, *, rows: int = 4, columns: int = 4) -> Image.Image:
    """One page: a white sheet of equal cells, filled row by row."""
    from PIL import Image, ImageDraw

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


def _draw_title(draw: ImageDraw.ImageDraw, title: str, left: int, top: int) -> None:
    """Draw a title centred above its cell; all font sizes share one baseline."""
    from PIL import ImageFont

    text, font = fit_title(title, CELL)
    start = left + (CELL - font.getlength(text)) / 2
    if isinstance(font, ImageFont.FreeTypeFont):
        draw.text((start, top + BASELINE), text, INK, font, anchor="ls")
    else:  # bitmap fonts do not support anchors
        draw.text((start, top + BASELINE - 11), text, INK, font)


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


def fit_title(title: str, width: int) -> tuple[str, Font]:
    """The title on one line in the largest font that fits; shortened with an ellipsis if none does."""
    text = visible(" ".join(title.split())[:MAX_LETTERS])
    for size in FONT_SIZES:
        font, drawn = _drawable(text, size)
        if font.getlength(drawn) <= width:
            return drawn, font
    while drawn and font.getlength(drawn.rstrip() + "...") > width:
        drawn = drawn[:-1]
    return drawn.rstrip() + "...", font


def _drawable(text: str, size: int) -> tuple[Font, str]:
    """A font, and the text restricted to its characters: Pillow's built-in font has little beyond ASCII."""
    font = None if text.isascii() else _system_font(size)
    if font is not None:
        return font, text
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _built_in_font(size), plain.encode("ascii", "replace").decode("ascii")


@lru_cache(maxsize=len(FONT_SIZES))
def _built_in_font(size: int) -> Font:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError, OSError):  # before Pillow 10.1, or without FreeType: 6x11 pixels per letter
        return ImageFont.load_default()


@lru_cache(maxsize=len(FONT_SIZES))
def _system_font(size: int) -> Font | None:
    """An installed font with many alphabets, or None."""
    from PIL import ImageFont

    for name in SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except (OSError, ImportError):
            continue
    return None


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
        raise ImageError(f"{path} cannot be written: {error}; check that its folder exists and is writable") from error
