"""What a program refuses before any memory is taken."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import DeviceError
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.program import compile_program
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.launchers import conv2d_mma, conv2d_wgmma, conv2d_wgmma_tma
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window

HALF, H200 = ELEMENTS["float16"], Processor("NVIDIA H200", 90, 132)
NODE = Node("conv", "conv2d", (INPUT,), Window.of(1), params={"weight": np.ones((64, 64, 1, 1))})
WAYS = segmentations(Network((NODE,), {"y": "conv"}))
INTS = 2**31


@pytest.mark.parametrize(("images", "size"), [(1, (1, INTS - 1)), (1, (2, INTS // 2 - 100)), (256, (2896, 2897))])
def test_positions_beyond_an_int_are_refused(images, size):
    """Those of the last tile's end as well: threads compute their place before they know that it is outside."""
    with pytest.raises(DeviceError, match="too many pixels at once; give fewer"):
        compile_program(WAYS, (64, *size), images, HALF, H200)


def test_the_last_tile_of_the_largest_batch_ends_within_an_int():
    largest = (1, 2**31 - 257)
    shape = compile_program(WAYS, (64, *largest), 1, HALF, H200).bound["conv"].choice.shape
    tiles = [tile for kernel in (conv2d_mma, conv2d_wgmma, conv2d_wgmma_tma) for tile in kernel.tiles(shape, HALF, 90)]
    assert max(-(-shape.M // tile.rows) * tile.rows for tile in tiles) < INTS
