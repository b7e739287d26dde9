"""Bands of a picture's rows: what is done with each pixel alone needs little memory band by band."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    # Of a picture or a band of its rows, pixel by pixel. None: there is nothing to convert.
    Convert = Callable[[Image.Image], Image.Image] | None

BAND_PIXELS = 2**20

# A part of a picture: its left, top, right, bottom; the last column and row are excluded.
Box = tuple[int, int, int, int]


def row_bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, band) from the top, of at most BAND_PIXELS or one row; a picture of no more is one band, itself."""
    rows = max(1, BAND_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


@dataclass(frozen=True)
class ToMode:
    """Pillow's own conversion to a mode; alpha is dropped, that of palettes as well."""

    mode: str

    def __call__(self, image: Image.Image) -> Image.Image:
        if self.copies(image):
            image = image.copy()  # avoids Pillow's warning
            del image.info["transparency"]
        return image.convert(self.mode)

    @staticmethod
    def copies(image: Image.Image) -> bool:
        """Whether more is held meanwhile than the result."""
        return "transparency" in image.info


def converted(image: Image.Image, convert: Convert) -> Image.Image:
    """`convert(image)`, of a large picture band by band.

    At once where Pillow holds nothing but the result: bands take a third longer, those of palettes twice as long.
    """
    from PIL import Image

    if convert is None:
        return image
    if isinstance(convert, ToMode) and not convert.copies(image):
        return convert(image)
    whole: Image.Image | None = None
    for top, band in row_bands(image):
        made = convert(band)
        if made.size == image.size:
            return made
        if whole is None:
            whole = Image.new(made.mode, image.size)
        whole.paste(made, (0, top))
    assert whole is not None
    return whole
