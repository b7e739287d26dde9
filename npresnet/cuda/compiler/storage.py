"""How every value is stored: NHWC, in the order that a flatten has passed on, with channels padded or not."""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.cuda.compiler.layout import Stored
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.network import INPUT, Network
from npresnet.plan.shapes import Shape


def stored_values(network: Network, shapes: Mapping[str, Shape]) -> dict[str, Stored]:
    """INPUT and every node's value by name, but for those that only their float32 results hold.

    shapes  of one image, by name: (C, H, W) or (C,)
    """
    readers, asked = network.consumers(), set(network.outputs.values())
    kept = {INPUT: _stored(shapes[INPUT])}
    for node in network:
        lowering = LOWERINGS[node.op]
        if lowering.keeps_storage:
            kept[node.name] = kept[node.inputs[0]]
        elif readers[node.name] or node.name not in asked or not lowering.writes_result:
            kept[node.name] = _stored(shapes[node.name])
    if all(LOWERINGS[node.op].reads_padding(node) for node in readers[INPUT]):
        kept[INPUT] = kept[INPUT]._replace(channels=padded_channels(kept[INPUT].channels))
    return kept


def padded_channels(channels: int) -> int:
    """An image's 1 to 4 channels lie as 4, for whole pixels to be loaded; more as a multiple of 8."""
    return 4 if channels <= 4 else -(-channels // 8) * 8


def _stored(shape: Shape) -> Stored:
    channels, height, width = (*shape, 1, 1)[:3]
    return Stored(height, width, channels)
