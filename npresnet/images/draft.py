"""JPEG files decoded at a half, a quarter or an eighth of their size, where the resize that follows makes them smaller.

    scale = the largest of 8, 4, 2 with  side / scale >= MARGIN * resized side,  on both axes

libjpeg then computes fewer pixels of each block of 8x8 and gives them as averages. What follows, Resize with its own
filter, sees a picture that is smooth already: close to the whole picture's result, not equal to it. So it is never done
unless it is asked for. benchmarks/draft.py counts the labels that change: with a MARGIN of 3 a quarter (enlarged
pictures) or two fifths (photos) as many as with 2; see docs/performance.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

MARGIN = 3
_FORMATS = ("JPEG", "MPO")  # MPO: a JPEG file with further ones behind it, as phones write for depth or HDR


class Part(NamedTuple):
    """Where in a decoded image the picture is.

    size  (width, height) of the picture in the file's pixels, upright
    box   left, top, right, bottom in the image's pixels; fractions where the scale does not divide the size
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]

    def turned(self, orientation: int, image_size: tuple[int, int]) -> Part:
        """That of the image after `orientation.upright`; image_size is the image's before it."""
        size, (left, top, right, bottom) = self.size, self.box
        width, height = image_size
        if orientation >= 5:  # the axes change places
            size, (width, height) = size[::-1], (height, width)
            left, top, right, bottom = top, left, bottom, right
        if orientation in (2, 3, 6, 7):
            left, right = width - right, width - left
        if orientation in (3, 4, 7, 8):
            top, bottom = height - bottom, height - top
        return Part(size, (left, top, right, bottom))


def whole(size: tuple[int, int]) -> Part:
    """A picture that is decoded as it is."""
    return Part(size, (0, 0, *size))


def scaled_down(image: Image.Image, resized: tuple[int, int]) -> Part | None:
    """Have an opened file decoded as small as it may be; None where that is its own size, or it is no JPEG file.

    resized  (width, height) that it is resized to
    """
    size, least = image.size, (MARGIN * resized[0], MARGIN * resized[1])
    if image.format not in _FORMATS or min(size[0] // least[0], size[1] // least[1]) < 2:
        return None
    drafted = image.draft(None, least)
    return Part(size, drafted[1]) if drafted else None
