"""ClipShape: the numbers of a convolution or pool over clips on a batch, as the kernels want them."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.activation import Code
from npresnet.cuda.compiler.layout import Value
from npresnet.network import Array, Node
from npresnet.ops.record import window_of
from npresnet.window import Window

# kernels/common/clip.cuh, struct Clip: the same fields in the same order
FIELDS = (
    "N T H W C O KT KH KW OT OH OW stride_t stride_h stride_w padding_t padding_h padding_w "
    "dilation_t dilation_h dilation_w groups activation include_padding"
)
CLIP = np.dtype([(name, np.int32) for name in FIELDS.split()])
THREADS = 256


class ClipShape(NamedTuple):
    """`clips` clips of `size` (T, H, W), in_channels in and out_channels out.

    activation  Code.NONE or Code.RELU: kernels of a convolution know no other
    """

    clips: int
    size: tuple[int, ...]
    in_channels: int
    out_channels: int
    window: Window
    groups: int = 1
    activation: int = Code.NONE
    ceil_mode: bool = False
    count_include_pad: bool = True

    @classmethod
    def of(cls, node: Node, value: Value, out_channels: int, activation: int = Code.NONE) -> ClipShape:
        """Of an operation that reads `value`."""
        ceil_mode, include = node.attrs.get("ceil_mode", False), node.attrs.get("count_include_pad", True)
        channels, *size = value.shape
        window = window_of(node)
        return cls(
            value.images, tuple(size), channels, out_channels, window, node.groups, activation, ceil_mode, include
        )

    @property
    def out_size(self) -> tuple[int, ...]:
        """(OT, OH, OW)."""
        return self.window.output_size(self.size, ceil_mode=self.ceil_mode)

    @property
    def blocks(self) -> int:
        """Of a grid of one thread an output."""
        return -(-self.clips * prod(self.out_size) * self.out_channels // THREADS)

    def struct(self) -> Array:
        """The kernel's `Clip` argument: a structured array of one item, passed by value."""
        window = self.window
        fields: tuple[Any, ...] = (
            *(self.clips, *self.size, self.in_channels, self.out_channels, *window.kernel_size, *self.out_size),
            *(*window.stride, *window.padding, *window.dilation),
            *(self.groups, int(self.activation), int(self.count_include_pad)),
        )
        return np.array([fields], CLIP)
