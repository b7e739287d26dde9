"""PoolShape and LinearShape: the numbers of a pool and of a fully connected layer on a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.compiler.layout import Value
from npresnet.network import Array, Node
from npresnet.ops.record import window_of
from npresnet.window import Window

# kernels/common/pool.cuh, struct Pool: the same fields in the same order
POOL = np.dtype(
    [
        (name, np.int32)
        for name in (
            "N H W C OH OW KH KW stride_h stride_w padding_h padding_w dilation_h dilation_w include_padding".split()
        )
    ]
)


class PoolShape(NamedTuple):
    """A max or average pool of `images` images (N, H, W, C); the switches mean what they mean in `npresnet.ops`."""

    images: int
    height: int
    width: int
    channels: int
    window: Window
    ceil_mode: bool = False
    count_include_pad: bool = True

    @classmethod
    def of(cls, node: Node, value: Value) -> PoolShape:
        """Of a pool that reads `value`."""
        ceil_mode, include = node.attrs.get("ceil_mode", False), node.attrs.get("count_include_pad", True)
        return cls(value.images, *value.stored, window_of(node), ceil_mode, include)

    @property
    def out_size(self) -> tuple[int, int]:
        """(OH, OW)."""
        height, width = self.window.output_size((self.height, self.width), ceil_mode=self.ceil_mode)
        return height, width

    def struct(self) -> Array:
        """The kernel's `Pool` argument: a structured array of one item, passed by value."""
        window = self.window
        fields: tuple[Any, ...] = (
            *(self.images, self.height, self.width, self.channels, *self.out_size),
            *(*window.kernel_size, *window.stride, *window.padding, *window.dilation),
            int(self.count_include_pad),
        )
        return np.array([fields], POOL)


class LinearShape(NamedTuple):
    """A fully connected layer: `images` rows of `in_features` numbers in, of `out_features` out, then an activation."""

    images: int
    in_features: int
    out_features: int
    activation: Activation = NONE

    def args(self) -> tuple[Any, ...]:
        """The kernels' last arguments: N, C, O and the activation."""
        sizes = (self.images, self.in_features, self.out_features)
        return (*map(np.int32, sizes), self.activation.struct())
