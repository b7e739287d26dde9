"""A convolution's weights, prepacked for an algorithm; each prepacked form is made once, on first use.

The filters have the file's layout, (O, C/G, KH, KW), with the `scale` of a BatchNorm that was folded in. They are
processed block by block, so that a block is scaled, rounded, transposed and transformed while it is in the cache:

    direct     (B, KH*KW*C/B, O/B)      scale[o] * W[o], transposed
    winograd   (t*t, B, C/B, O/B)       G (scale[o] * W[o]) G^T, t = m + 2: with stride 2 each distinct row of G once

Memory-mapped pages are released afterwards: they are not read again.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.gemm import Form
from npresnet.cpu.kernels.layer import Choice
from npresnet.cpu.runtime.memory import Floats, aligned_floats
from npresnet.network import Array, Node
from npresnet.system.locks import Lock
from npresnet.system.mapping import drop_pages

BLOCK_CHANNELS = 32  # width of a block of groups
FILTERS_AT_ONCE = 64  # of form "gemm": whole cache lines of the result; the other forms take one panel at a time
CHANNELS_AT_ONCE = 64  # so that a block and its results, 36 * 64 * 64 floats, fit the L2 cache


class Key(NamedTuple):
    """Which prepacked form: tile is 0 for the direct product, else Winograd's output tile."""

    tile: int
    form: Form

    @classmethod
    def of(cls, choice: Choice) -> Key:
        """The prepacked form that a choice reads."""
        return cls(choice.tile if choice.algorithm == "winograd" else 0, choice.form)


class Filters:
    """The weights of one convolution.

    blocks  how many blocks its groups are combined into, 1 without groups
    bias    (O,) or None
    """

    def __init__(self, node: Node):
        assert node.window is not None
        self.window = node.window
        self.weight: Array = node.params["weight"]  # (O, C/G, KH, KW)
        self.shape: tuple[int, ...] = self.weight.shape
        self.scale: Array | None = node.params.get("scale")  # (O,) float64
        out_channels, in_width = self.weight.shape[:2]
        self.groups = node.groups
        self.blocks = node.groups // groups_per_block(node.groups, in_width, out_channels // node.groups)
        bias = node.params.get("bias")
        self.bias: Floats | None = None if bias is None else np.asarray(bias, np.float32)
        self._made: dict[Key, Floats] = {}
        self._taps: Floats | None = None
        self._lock = Lock()

    @property
    def is_depthwise(self) -> bool:
        """Whether each filter reads one channel, and each channel is read by one filter."""
        return self.groups > 1 and self.weight.shape[:2] == (self.groups, 1)

    def taps(self) -> Floats:
        """(KH*KW, C): the scaled weights of a depthwise convolution, tap by tap."""
        with self._lock.plain:
            if self._taps is None:
                with np.errstate(all="ignore"):
                    self._taps = self._scaled().reshape(self.groups, -1).T.astype(np.float32, order="C")
            return self._taps

    @property
    def depth(self) -> int:
        """K of the direct product: KH * KW * input channels of a block."""
        _, in_width, kernel_height, kernel_width = self.shape
        found: int = kernel_height * kernel_width * in_width * (self.groups // self.blocks)
        return found

    def direct(self, form: Form) -> Floats:
        """(B, KH*KW*C/B, O/B), prepacked."""
        return self.prepacked(Key(0, form))

    def winograd(self, tile: int, form: Form) -> Floats:
        """G g G^T of every filter for output tiles of tile x tile: ((tile+2)^2, B, C/B, O/B), prepacked."""
        return self.prepacked(Key(tile, form))

    def prepacked(self, key: Key) -> Floats:
        """A prepacked form, made on first use."""
        with self._lock.plain:
            if key not in self._made:
                with np.errstate(all="ignore"):  # the tiny numbers of channels that training disabled round to 0
                    self._made[key] = self._make(key)
                drop_pages(self.weight)
            return self._made[key]

    def has(self, key: Key) -> bool:
        """Whether this prepacked form has been made."""
        return key in self._made

    def adopt(self, key: Key, prepacked: Floats) -> None:
        """Use an existing prepacked form, of `prepacked_shape`."""
        with self._lock.plain:
            self._made.setdefault(key, prepacked)

    def prepacked_shape(self, key: Key) -> tuple[int, ...]:
        """The shape of a prepacked form."""
        return gemm.prepacked_shape(key.form, self._shape(key))

    def _shape(self, key: Key) -> tuple[int, ...]:
        """(..., K, N) before it is prepacked."""
        out_width = len(self.weight) // self.blocks
        if key.tile == 0:
            return (self.blocks, self.depth, out_width)
        in_width = self.shape[1] * (self.groups // self.blocks)
        return ((key.tile + 2) ** 2, self.blocks, in_width, out_width)

    def _make(self, key: Key) -> Floats:
        if self.groups > 1:  # few weights, and mostly zeros in blocks
            return gemm.prepack(key.form, np.ascontiguousarray(self._in_blocks(key.tile)))
        points, _, depth, out_channels = (1, *self._shape(key))[-4:]
        shape = self.prepacked_shape(key)
        out = aligned_floats(prod(shape)).reshape(shape)
        width = FILTERS_AT_ONCE if key.form == "gemm" else shape[-1]
        for first in range(0, out_channels, width):
            last = min(first + width, out_channels)
            columns = gemm.columns_of(key.form, out, first, last).reshape(points, depth, last - first)
            for start in range(0, self.shape[1], CHANNELS_AT_ONCE):
                channels = slice(start, start + CHANNELS_AT_ONCE)
                self._write(columns, key.tile, slice(first, last), channels)
        return out

    def _write(self, columns: Floats, tile: int, filters: slice, channels: slice) -> None:
        """Write some channels of some filters to columns (1, KH*KW*C, o) or (t*t, C, o)."""
        taps_first = self._scaled(filters, channels).transpose(2, 3, 1, 0)  # (KH, KW, c, o)
        if tile:
            columns[:, channels] = transformed(taps_first, tile, self.window.stride[0])
        else:
            columns.reshape(*taps_first.shape[:2], -1, columns.shape[-1])[:, :, channels] = taps_first

    def _scaled(self, filters: slice = slice(None), channels: slice = slice(None)) -> Array:
        """A block of the scaled filters, still to be rounded to float32 once."""
        weight = self._some(filters, channels)
        if self.scale is None:
            return weight
        scaled: Array = np.multiply(weight, self.scale[filters, None, None, None], dtype=np.float64)
        return scaled

    def _some(self, filters: slice, channels: slice) -> Array:
        """Some channels of some filters, (o, c, KH, KW)."""
        return self.weight[filters, channels]

    def _in_blocks(self, tile: int) -> Floats:
        taps_first = self._scaled().transpose(2, 3, 1, 0)  # (KH, KW, C/G, O)
        in_width, out_channels = taps_first.shape[2:]
        if tile:
            return block_diagonal(transformed(taps_first, tile, self.window.stride[0]), self.groups, self.blocks)
        taps = taps_first.astype(np.float32, order="C").reshape(-1, in_width, out_channels)
        blocks = block_diagonal(taps, self.groups, self.blocks)  # (KH*KW, B, C/B, O/B)
        found: Floats = blocks.transpose(1, 0, 2, 3).reshape(self.blocks, self.depth, out_channels // self.blocks)
        return found


def transformed(taps_first: Array, tile: int, stride: int) -> Floats:
    """G g G^T of filters (3, 3, C, O): (t*t, C, O), by a single product with the Kronecker square of G."""
    _, _, in_width, out_channels = taps_first.shape
    taps = taps_first.astype(np.float32, order="C").reshape(9, -1)
    points: Floats = filter_transform(tile, stride) @ taps
    return points.reshape(-1, in_width, out_channels)


@cache
def filter_transform(tile: int, stride: int = 1) -> Floats:
    """G kron G, (t*t, 9), t = m + 2: the transform of a filter's 9 taps. Rounded only once, for accuracy.

    With stride 2 the rows of G from m + 1 on are equal, and only one of them is kept.
    """
    from npresnet.ops.winograd import balanced  # slow fractions, not needed with prepared files

    g = balanced(tile, stride).kernel_transform[: tile + 2]  # (t, 3) float64
    return np.kron(g, g).astype(np.float32)


def groups_per_block(groups: int, in_width: int, out_width: int) -> int:
    """The most groups that fit one block of BLOCK_CHANNELS and divide the number of groups."""
    fitting = [n for n in range(1, groups + 1) if groups % n == 0 and n * max(in_width, out_width) <= BLOCK_CHANNELS]
    return max(fitting, default=1)


def block_diagonal(weights: Floats, groups: int, blocks: int) -> Floats:
    """(P, C/G, O) -> (P, B, C/B, O/B): for each of P positions, a group's filters see only its own channels."""
    positions, in_width, out_channels = weights.shape
    out_width, per_block = out_channels // groups, groups // blocks
    if per_block == 1:
        found: Floats = weights.reshape(positions, in_width, blocks, out_width).transpose(0, 2, 1, 3)
        return found
    dense = np.zeros((positions, blocks, per_block, in_width, per_block, out_width), np.float32)  # zero where g != g'
    grouped = weights.reshape(positions, in_width, blocks, per_block, out_width)
    for g in range(per_block):
        dense[:, :, g, :, g, :] = grouped[:, :, :, g].transpose(0, 2, 1, 3)
    return dense.reshape(positions, blocks, per_block * in_width, per_block * out_width)
