"""The weights of a convolution over clips, as those of a convolution over images.

A window over KT frames reads KT*C neighbouring numbers of every position (`plan.layout`), so the filters
(O, C/G, KT, KH, KW) are filters (O, KT*C/G, KH, KW) of an image with the channels of KT frames:

    filters[o, k*C/G + c, u, v] = weight[o, c, k, u, v]

All prepacked forms are those of `filters`. With groups the products of a block sum over its channels of every frame.
"""

from __future__ import annotations

import numpy as np

from npresnet.cpu.kernels.filters import Filters, block_diagonal
from npresnet.cpu.runtime.memory import Floats
from npresnet.network import Array, Node
from npresnet.window import Window


class ClipFilters(Filters):
    """The weights of one conv3d; `window` is that over height and width, `time` the one over frames."""

    def __init__(self, node: Node):
        super().__init__(node)
        out_channels, in_width, taps, *kernel_size = self.weight.shape
        fields = (self.window.kernel_size, self.window.stride, self.window.padding, self.window.dilation)
        self.time = Window(*(field[:1] for field in fields))
        self.window = Window(*(field[1:] for field in fields))
        self.shape = (out_channels, taps * in_width, *kernel_size)

    def _some(self, filters: slice, channels: slice) -> Array:
        """Some channels of some frames; they are gathered, so that the whole weight is never copied."""
        tap, channel = np.divmod(np.arange(self.shape[1])[channels], self.weight.shape[1])
        taken: Array = self.weight[filters][:, channel, tap]
        return taken

    def _in_blocks(self, tile: int) -> Floats:
        """(B, KH*KW*KT*C/B, O/B): the direct form, the only one of grouped convolutions."""
        out_channels, in_width = self.weight.shape[:2]
        taps_first = self._scaled().transpose(2, 3, 1, 0)  # (KH, KW, KT*C/G, O)
        taps = taps_first.astype(np.float32, order="C").reshape(-1, in_width, out_channels)
        blocks = block_diagonal(taps, self.groups, self.blocks)  # (KH*KW*KT, B, C/B, O/B)
        found: Floats = blocks.transpose(1, 0, 2, 3).reshape(self.blocks, self.depth, out_channels // self.blocks)
        return found
