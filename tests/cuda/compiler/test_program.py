"""What a program refuses before any memory is taken, and where images lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from npresnet import DeviceError, passes
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.program import compile_program
from npresnet.cuda.compiler.reduction import Reduced, segmentations
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


def twice_read() -> Sequence[Reduced]:
    """Two stems with their pools, of the same images, and what comes after."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = []
    for name in ("a", "b"):
        weight = {"weight": rng.standard_normal((64, 3, 7, 7))}
        nodes += [
            Node(f"conv_{name}", "conv2d", (INPUT,), Window.of(7, 2, 3), params=weight, activation="relu"),
            Node(name, "max_pool2d", (f"conv_{name}",), Window.of(3, 2, 1)),
        ]
    rest = [Node("sum", "add", ("a", "b")), Node("end", "conv2d", ("sum",), Window.of(1), params=NODE.params)]
    return segmentations(passes.optimize(Network((*nodes, *rest), {"y": "end"})))


@pytest.mark.parametrize("fused", [False, True])
def test_images_stay_where_they_are_as_long_as_they_are_read(fused):
    """Or for ever, where another run is to find them."""
    ways = twice_read()[int(fused) :][:1]
    for keeps_images in (False, True):
        made = compile_program(ways, (3, 64, 64), 2, HALF, H200, keeps_images=keeps_images)
        layout, step = made.layout, [node.name for node in made.core]
        assert sum(node.op == "conv2d_max_pool2d" for node in made.core) == (2 if fused else 0)
        start, end = layout.images_offset, layout.images_offset + layout.images_bytes
        over = {
            name
            for name, value in layout.values.items()
            if name != INPUT or layout.has_input
            if value.offset_bytes < end and start < value.offset_bytes + value.size_bytes
        }
        read = len(step) if keeps_images else 2 if fused else 0
        assert not over & {INPUT, *step[:read]}
        if not fused:
            assert bool(over) is not keeps_images, "whether their place is used again"


def test_images_are_padded_where_none_that_reads_them_would_see_it():
    """A pool would: its result had more channels."""
    weight = {"weight": np.ones((8, 3, 3, 3))}
    conv = Node("conv", "conv2d", (INPUT,), Window.of(3, 1, 1), params=weight)
    pool = Node("pool", "max_pool2d", (INPUT,), Window.of(2, 2))
    for nodes, channels in (((conv,), 4), ((conv, pool), 3), ((pool,), 3)):
        ways = segmentations(Network(nodes, {node.name: node.name for node in nodes}))
        made = compile_program(ways, (3, 8, 8), 1, ELEMENTS["float32"], H200)
        assert made.layout.values[INPUT].stored.channels == channels
