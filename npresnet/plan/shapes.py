"""The shapes of all values for one image, and the multiply-adds of all nodes, from the operations' records."""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.record import Shape
from npresnet.ops.registry import operation_of

__all__ = ["Shape", "count_macs", "infer_shapes"]


def infer_shapes(network: Network, input_shape: Shape) -> dict[str, Shape]:
    """The shape of every value of `network` for one image.

    input_shape  (C, H, W)
    returns      {name: (C, H, W) or (C,)}, including INPUT

    Raises ShapeError that names the layer for a wrong shape; ArchitectureError for an unknown operation.
    """
    shapes = {INPUT: tuple(input_shape)}
    for node in network:
        inputs = [shapes[name] for name in node.inputs]
        try:
            shapes[node.name] = operation_of(node).infer_shape(node, inputs)
        except ShapeError as error:
            raise ShapeError(f"{node.name}: {error}") from None
    return shapes


def count_macs(node: Node, shapes: Mapping[str, Shape]) -> int:
    """Multiply-adds of one node for one image; 1 MAC = 2 FLOPs. By convention, only products with weights count."""
    return operation_of(node).count_macs(node, [shapes[name] for name in node.inputs], shapes[node.name])
