"""How many pixels a picture may have: in its file, before it is decoded; and on its way to the network.

A file of 80 bytes can say that it has 9,000 x 9,000 pixels, and a strip of 1 x 2,000 grows by 65,536 when its short
side becomes 256. So sizes are worked out before anything is decoded or scaled, and refused beyond these limits, all of
which `max_pixels` raises.

    a file's pixels            PIL.Image.MAX_IMAGE_PIXELS: 89,478,485 unless it was changed
    resized, before the crop   MAX_RESIZED_PIXELS, or four times what any picture is resized to
    scaled along one axis      MAX_BETWEEN_PIXELS, or as many as the picture has or gets
    the network's input        MAX_INPUT_PIXELS, where the picture and not the preprocessing decides its size
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from npresnet.errors import ImageError

MAX_RESIZED_PIXELS = 2**26
MAX_BETWEEN_PIXELS = 2**25
MAX_INPUT_PIXELS = 2**24

WAY_OUT = "shrink it first, or allow more by max_pixels (--max-pixels on the command line) if you trust it"


def checked_limit(max_pixels: Any) -> int | None:
    """A limit of the caller, or None. Raises ImageError unless it is a positive integer."""
    if max_pixels is None:
        return None
    try:
        limit = operator.index(max_pixels)
    except TypeError:
        limit = 0
    if limit < 1 or isinstance(max_pixels, (bool, np.bool_)):
        raise ImageError(f"max_pixels must be a positive integer, or None for Pillow's limit, got {max_pixels!r:.60}")
    return limit


def check_file(size: tuple[int, int], max_pixels: int | None, name: str) -> None:
    """Raise ImageError for a file whose header says more pixels than the caller's limit, else Pillow's."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels  # Pillow only warns up to twice its own
    if limit is None or size[0] * size[1] <= limit:
        return
    whose = "Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS =" if max_pixels is None else "max_pixels ="
    raise ImageError(f"{name} has {_product(size)} pixels, more than {whose} {limit}; {WAY_OUT}")


def check_resized(
    size: tuple[int, int], resized: tuple[int, int], asked: int, max_pixels: int | None, name: str
) -> None:
    """Raise ImageError for a picture that would grow beyond the limits when it is resized.

    size, resized  (width, height) of the picture, and after Resize
    asked          pixels that the preprocessing asks for of any picture: the square of its short side, or all
    """
    area, resized_area = size[0] * size[1], resized[0] * resized[1]
    between = resized[0] * size[1]  # scaled along its rows, not yet along its columns
    given = max_pixels or 0
    if resized != size and (
        resized_area > max(MAX_RESIZED_PIXELS, 4 * asked, given)
        or between > max(MAX_BETWEEN_PIXELS, area, resized_area, given)
    ):
        raise ImageError(
            f"{name} has {size[0]}x{size[1]} pixels and would be resized to {resized[0]}x{resized[1]}; crop it "
            f"first, choose a smaller resize, or allow more by max_pixels (--max-pixels on the command line)"
        )


def check_input(size: tuple[int, int], input_size: tuple[int, int], max_pixels: int | None, name: str) -> None:
    """Raise ImageError where the picture decides the size of the network's input, and that is beyond the limit."""
    limit = max_pixels or MAX_INPUT_PIXELS
    if input_size[0] * input_size[1] > limit:
        raise ImageError(
            f"{name} has {size[0]}x{size[1]} pixels, and without a crop the network's input would have "
            f"{_product(input_size)}, more than {limit}; choose a crop or a smaller resize, or allow more by "
            "max_pixels (--max-pixels on the command line)"
        )


def _product(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} = {size[0] * size[1]}"
