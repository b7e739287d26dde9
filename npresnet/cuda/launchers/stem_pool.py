"""What the launchers of a stem with its max pool share: its shape, its bands. See kernels/stem/band.cuh."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers.vectors import ceil_div
from npresnet.cuda.shapes import PoolShape
from npresnet.window import Window


class PooledStem(NamedTuple):
    """A convolution of images and the max pool after it; the convolution's activation comes in between."""

    conv: ConvShape
    window: Window
    ceil_mode: bool = False

    @property
    def pool(self) -> PoolShape:
        """The pool, of the convolution's result."""
        conv = self.conv
        return PoolShape(conv.images, *conv.out_size, conv.out_channels, self.window, self.ceil_mode)


class Tile(NamedTuple):
    """One way to run it.

    rows   pooled rows that a block computes, going down the image with the weights that it loaded once
    """

    rows: int

    def __str__(self) -> str:
        return f"rows{self.rows}"


def pools_within(shape: PooledStem, width: int, most_rows: int) -> bool:
    """Whether a pool's window, without dilation, fits `width` columns and `most_rows` rows of the convolution."""
    window = shape.window
    return window.dilation == (1, 1) and window.kernel_size[0] <= most_rows and window.kernel_size[1] <= width


def bands(shape: PooledStem, rows: int, width: int) -> int:
    """Of all images: `rows` pooled rows each, of the pooled columns within `width` columns of the convolution."""
    OH, OW = shape.pool.out_size
    columns = (width - shape.window.kernel_size[1]) // shape.window.stride[1] + 1
    return shape.conv.images * ceil_div(OH, rows) * ceil_div(OW, columns)


def band_rows(shape: PooledStem, rows: int) -> int:
    """Rows of the convolution that a band in the middle of an image computes."""
    (height, _), (stride, _) = shape.window.kernel_size, shape.window.stride
    return min((rows - 1) * stride + height, shape.conv.out_size[0])


def band_heights(shape: PooledStem) -> list[int]:
    """Pooled rows of a band, in equal parts of an image's, the longest first."""
    height = shape.pool.out_size[0]
    return sorted({ceil_div(height, parts) for parts in (1, 2, 3, 4, 6, 8, 12, 16, 24)}, reverse=True)


def bytes_moved(shape: PooledStem, element: Element, image_bytes: int) -> int:
    """From and to DRAM: images of that many bytes a pixel, weights, bias, y."""
    conv, (OH, OW) = shape.conv, shape.pool.out_size
    images = conv.images * conv.height * conv.width * image_bytes
    y = conv.images * OH * OW * conv.out_channels
    return images + (y + conv.out_channels * conv.K) * element.item_bytes + 4 * conv.out_channels
