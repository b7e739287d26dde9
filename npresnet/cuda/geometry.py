"""ConvShape: the numbers of one convolution on a batch, as the kernels want them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.activation import Code
from npresnet.network import Array
from npresnet.window import Window

# kernels/common/conv.cuh, struct Conv: the same fields in the same order
FIELDS = "N H W C O KH KW OH OW stride_h stride_w padding_h padding_w dilation_h dilation_w groups activation"
CONV = np.dtype([(name, np.int32) for name in FIELDS.split()])


class ConvShape(NamedTuple):
    """A convolution of `images` images (N, H, W, C) with filters (O, KH, KW, C/groups).

    activation  what ends it, Code.NONE or Code.RELU: no kernel of a convolution knows another
    """

    images: int
    height: int
    width: int
    in_channels: int
    out_channels: int
    window: Window
    groups: int = 1
    activation: int = Code.NONE

    @property
    def out_size(self) -> tuple[int, int]:
        """(OH, OW)."""
        height, width = self.window.output_size((self.height, self.width))
        return height, width

    @property
    def M(self) -> int:  # noqa: N802  the matrix product's own letters
        """Rows of the matrix product: output positions of all images."""
        height, width = self.out_size
        return self.images * height * width

    @property
    def K(self) -> int:  # noqa: N802
        """Products summed for one output: KH*KW*C/groups."""
        height, width = self.window.kernel_size
        return height * width * self.in_channels // self.groups

    def struct(self) -> Array:
        """The kernel's `Conv` argument: a structured array of one item, passed by value."""
        window = self.window
        fields: tuple[Any, ...] = (
            *(self.images, self.height, self.width, self.in_channels),
            *(self.out_channels, *window.kernel_size, *self.out_size),
            *(*window.stride, *window.padding, *window.dilation),
            *(self.groups, int(self.activation)),
        )
        return np.array([fields], CONV)
