"""A convolution's weights, arranged as an algorithm reads them; each arrangement is made when first asked for, once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from npresnet.cpu import gemm
from npresnet.cpu.gemm import Form
from npresnet.cpu.memory import Floats
from npresnet.network import Node
from npresnet.ops.winograd import BALANCED_POINTS, transforms

BLOCK_CHANNELS = 32  # width of a block of groups


class Filters:
    """The weights of one convolution.

    blocks  into how many blocks its groups are packed, 1 without groups
    bias    (O,) or None
    """

    def __init__(self, node: Node):
        assert node.window is not None
        self.window = node.window
        self._weight = np.asarray(node.params["weight"], np.float32)  # (O, C/G, KH, KW)
        out_channels, in_width = self._weight.shape[:2]
        self._groups = node.groups
        self.blocks = node.groups // groups_per_block(node.groups, in_width, out_channels // node.groups)
        bias = node.params.get("bias")
        self.bias: Floats | None = None if bias is None else np.asarray(bias, np.float32)
        self._made: dict[tuple[str, int, Form], Floats] = {}
        self._lock = threading.Lock()

    @property
    def depth(self) -> int:
        """K of the direct product: KH * KW * input channels of a block."""
        _, in_width, kernel_height, kernel_width = self._weight.shape
        return kernel_height * kernel_width * in_width * (self._groups // self.blocks)

    def direct(self, form: Form) -> Floats:
        """(B, KH*KW*C/B, O/B), arranged: a view of what `fold_batch_norm` made where that can be."""
        return self._once("direct", 0, form, self._direct)

    def winograd(self, tile: int, form: Form) -> Floats:
        """G g G^T of every filter for output tiles of tile x tile: (t*t, B, C/B, O/B), arranged."""
        return self._once("winograd", tile, form, lambda: self._winograd(tile))

    def _once(self, algorithm: str, tile: int, form: Form, make: Callable[[], Floats]) -> Floats:
        key = (algorithm, tile, form)
        with self._lock:
            if key not in self._made:
                self._made[key] = gemm.arrange(form, np.ascontiguousarray(make()))
            return self._made[key]

    def _direct(self) -> Floats:
        out_channels, in_width, kernel_height, kernel_width = self._weight.shape
        taps_first = self._weight.transpose(2, 3, 1, 0)  # (KH, KW, C/G, O)
        if self.blocks == self._groups == 1:
            return taps_first.reshape(1, -1, out_channels)
        blocks = block_diagonal(taps_first.reshape(-1, in_width, out_channels), self._groups, self.blocks)
        return blocks.transpose(1, 0, 2, 3).reshape(self.blocks, self.depth, out_channels // self.blocks)

    def _winograd(self, tile: int) -> Floats:
        """By matrix products over all filters at once: the vector of 9 taps times the Kronecker square of G."""
        out_channels, in_width = self._weight.shape[:2]
        kernel = transforms(tile, 3, BALANCED_POINTS).kernel_transform.astype(np.float32)  # (t, 3)
        taps = self._weight.transpose(2, 3, 1, 0).reshape(9, -1)
        transformed = (np.kron(kernel, kernel) @ taps).reshape(-1, in_width, out_channels)  # (t*t, C/G, O)
        return block_diagonal(transformed, self._groups, self.blocks)


def groups_per_block(groups: int, in_width: int, out_width: int) -> int:
    """The most groups that share one block of BLOCK_CHANNELS, and divide the number of groups."""
    fitting = [n for n in range(1, groups + 1) if groups % n == 0 and n * max(in_width, out_width) <= BLOCK_CHANNELS]
    return max(fitting, default=1)


def block_diagonal(weights: Floats, groups: int, blocks: int) -> Floats:
    """(P, C/G, O) -> (P, B, C/B, O/B): for each of P positions, a group's filters see only its own channels."""
    positions, in_width, out_channels = weights.shape
    out_width, per_block = out_channels // groups, groups // blocks
    if per_block == 1:
        return weights.reshape(positions, in_width, blocks, out_width).transpose(0, 2, 1, 3)
    dense = np.zeros((positions, blocks, per_block, in_width, per_block, out_width), np.float32)  # zero where g != g'
    grouped = weights.reshape(positions, in_width, blocks, per_block, out_width)
    for g in range(per_block):
        dense[:, :, g, :, g, :] = grouped[:, :, :, g].transpose(0, 2, 1, 3)
    return dense.reshape(positions, blocks, per_block * in_width, per_block * out_width)
