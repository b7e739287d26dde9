"""Layout -> Plan: every node becomes a step of tiles, every tile a list of NumPy calls on views made here, once.

Which tiles there are depends on the layer's shape alone, never on the number of threads, the batch or a clock: an
image's bits are the same however the tiles are shared out. Each tile is bound to the lane that will run it, and uses
that lane's scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npresnet.cpu import conv2d, head, pointwise, pooling
from npresnet.cpu.memory import Memory
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.network import INPUT, Node
from npresnet.plan import Layout, Plan, Step
from npresnet.plan.steps import Tile

Prepared = Mapping[str, Any]  # node name -> what the operation keeps of its weights
Lower = Callable[[Node, Any, Memory], list[Tile]]

PREPARE: dict[str, Callable[[Node], Any]] = {
    "conv2d": conv2d.prepare,
    "batch_norm": pointwise.prepare_batch_norm,
    "linear": head.prepare_linear,
}

LOWER: dict[str, Lower] = {
    "conv2d": conv2d.lower,
    "batch_norm": pointwise.lower_batch_norm,
    "relu": pointwise.lower_relu,
    "add": pointwise.lower_add,
    "shortcut_a": pointwise.lower_shortcut_a,
    "max_pool2d": pooling.lower_max_pool2d,
    "avg_pool2d": pooling.lower_avg_pool2d,
    "global_avg_pool": head.lower_global_avg_pool,
    "flatten": head.lower_flatten,
    "linear": head.lower_linear,
}


def prepare(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """What each operation needs of its weights, in the order in which it reads them; made once a network."""
    unknown = [node for node in nodes if node.op not in LOWER]
    if unknown:
        raise ArchitectureError(f"{unknown[0].name}: the CPU backend has no operation {unknown[0].op!r}")
    with np.errstate(under="ignore"):  # what is too small for a float32 rounds to 0
        return {node.name: PREPARE[node.op](node) for node in nodes if node.op in PREPARE}


def lower(layout: Layout, prepared: Prepared, lanes: int) -> Plan:
    """Bind a layout to memory of its own: an arena, and scratch for each of the lanes that will run its tiles.

    Raises DeviceError where there is not so much memory.
    """
    try:
        memory = Memory(layout, lanes)  # before the tiles, of which an image far too large has billions
        memory.add_scratch(_largest_scratch(layout, prepared))
        return _plan(layout, prepared, memory)
    except MemoryError:
        raise DeviceError(
            f"an image of {layout.input_shape} (C, H, W) needs {layout.arena_bytes / 1e6:,.0f} MB and more, and so "
            "does each that is computed at the same time; there is not so much memory. Use smaller images, or threads=1"
        ) from None


def _plan(layout: Layout, prepared: Prepared, memory: Memory) -> Plan:
    steps = []
    for node in layout.network:
        tiles = LOWER[node.op](node, prepared.get(node.name), memory)
        steps.append(Step(node.name, tuple(tiles), 2 * layout.macs[node.name], _traffic_bytes(node, layout)))
    outputs = {asked: channels_first(memory.image(name)) for asked, name in layout.network.outputs.items()}
    return Plan(channels_first(memory.image(INPUT)), tuple(steps), outputs, layout.arena_bytes)


def _largest_scratch(layout: Layout, prepared: Prepared) -> dict[str, int]:
    largest: dict[str, int] = {}
    for node in layout.network:
        if node.op == "conv2d":
            for purpose, floats in conv2d.scratch_floats(node, prepared[node.name], layout).items():
                largest[purpose] = max(floats, largest.get(purpose, 0))
    return largest


def channels_first(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(H, W, C) seen as (C, H, W); vectors stay as they are."""
    return value.transpose(2, 0, 1) if value.ndim == 3 else value


def _traffic_bytes(node: Node, layout: Layout) -> int:
    values = sum(layout.values[name].size_bytes for name in (*node.inputs, node.name))
    return values + sum(4 * array.size for array in node.params.values())
