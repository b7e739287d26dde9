"""Bilinear resizing between the two neighbours along each axis, as PyTorch resizes without antialias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.images.bands import BAND_PIXELS, Box

if TYPE_CHECKING:
    from PIL import Image

    from npresnet.images.bands import Convert

GROUP_PIXELS = 2**18  # results computed at once: their float64 values are a few MB


class Neighbours(NamedTuple):
    """For each output position along an axis the two input positions, and the weight of the second."""

    first: NDArray[Any]
    second: NDArray[Any]
    weight: NDArray[np.float32]

    def part(self, start: int, stop: int, origin: int = 0) -> Neighbours:
        """Of the outputs start to stop, in an input that begins at `origin`."""
        return Neighbours(
            *(values[start:stop] - shift for values, shift in zip(self, (origin, origin, 0), strict=True))
        )


def resize_without_antialias(image: Image.Image, convert: Convert, size: tuple[int, int], box: Box) -> Image.Image:
    """`convert(image)` resized to `size` (width, height), of which only `box` is computed, in groups of rows.

    Source: torchvision.transforms.functional.resize on a uint8 tensor with antialias=False: cast to float32,
    interpolate, round, cast.
    """
    from PIL import Image

    left, top, right, bottom = box
    down = neighbours(image.height, size[1]).part(top, bottom)
    across = neighbours(image.width, size[0]).part(left, right)
    parts = []
    for start, stop in _groups(down, image.width, right - left):
        above, below = int(down.first[start]), int(down.second[stop - 1]) + 1
        rows = image.crop((0, above, image.width, below))
        rows = rows if convert is None else convert(rows)
        parts.append(interpolated(np.asarray(rows), down.part(start, stop, above), across))
    return Image.fromarray(np.concatenate(parts))


def _groups(down: Neighbours, width: int, out_width: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of output rows that read and make few pixels; at least one row."""
    start = 0
    for row in range(1, len(down.first) + 1):
        full = row == len(down.first)
        if full or (row + 1 - start) * out_width > GROUP_PIXELS or _span(down, start, row + 1) * width > BAND_PIXELS:
            yield start, row
            start = row


def _span(down: Neighbours, start: int, stop: int) -> int:
    """The number of input rows that these output rows reach over."""
    return int(down.second[stop - 1]) + 1 - int(down.first[start])


def bilinear(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) uint8 at another size: `interpolated` at every position."""
    return interpolated(pixels, neighbours(pixels.shape[0], height), neighbours(pixels.shape[1], width))


def interpolated(pixels: NDArray[np.uint8], down: Neighbours, across: Neighbours) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) uint8 between neighbouring pixels, rounded to the nearest integer, halves to even.

    out[i,j] = (1-a)*((1-b)*x[u,v] + b*x[u,v+1]) + a*((1-b)*x[u+1,v] + b*x[u+1,v+1]),  u + a = (i + 1/2)*H/height - 1/2

    Positions outside are those of the border. Source: torch.nn.functional.interpolate(mode="bilinear",
    align_corners=False, antialias=False), in float32 with the fused multiply-adds of its builds: the product that is
    fused is kept in float64, which holds it exactly. PyTorch has two kernels, of which one thread and small images use
    another; that one rounds one pixel in thousands to a neighbouring integer.
    """
    channels = (1,) * (pixels.ndim - 2)
    b = across.weight.reshape(1, -1, *channels)
    a = down.weight.reshape(-1, 1, *channels)
    top, bottom = pixels[down.first], pixels[down.second]
    upper, lower = (_between(row[:, across.first], row[:, across.second], b) for row in (top, bottom))
    out: NDArray[np.uint8] = np.rint(_between(upper, lower, a)).astype(np.uint8)
    return out


def _between(first: NDArray[Any], second: NDArray[Any], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """fma(first, 1 - weight, second * weight), float32."""
    product = first.astype(np.float64) * (np.float32(1) - weight)
    between: NDArray[np.float32] = (product + second.astype(np.float32) * weight).astype(np.float32)
    return between


def neighbours(size: int, out_size: int) -> Neighbours:
    """Of every output position along an axis of `size` that becomes `out_size`."""
    scale = float(np.float32(size) / np.float32(out_size))
    position = np.maximum((scale * (np.arange(out_size) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = np.minimum(position.astype(np.int64), size - 1)
    weight: NDArray[np.float32] = np.minimum(position - first.astype(np.float32), np.float32(1))
    return Neighbours(first, np.minimum(first + 1, size - 1), weight)
