"""The interpreter: computes a Network node by node with plain NumPy. Slow and simple; the first oracle."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import INPUT, Array, Network, Node
from npresnet.ops.registry import activation_of, operation_of
from npresnet.system.settings import quiet


def run(network: Network, x: Array) -> dict[str, Array]:
    """Compute the network's outputs.

    x        (N, C, H, W)    float64, float32 or float16; all values have this dtype and parameters are cast to it, so
                             float64 input gives a float64 reference. Clips are (N, C, T, H, W)
    returns  {output name: array (N, ...)}

    Values are freed after their last reader, so memory is that of the live values only. Raises ShapeError, which names
    the layer, for wrong shapes; ArchitectureError for an unknown operation.
    """
    x = np.asarray(x)
    if x.ndim not in (4, 5) or x.dtype.kind != "f":
        raise ShapeError(
            f"a network expects floats (N, C, H, W), or clips (N, C, T, H, W), got {x.dtype} of shape {x.shape}"
        )
    last_reader = {name: node.name for node in network for name in node.inputs}
    outputs = set(network.outputs.values())
    values = {INPUT: x}
    for node in network:
        values[node.name] = compute(node, [values[name] for name in node.inputs])
        for name in {node.name, *node.inputs}:
            if last_reader.get(name, node.name) == node.name and name not in outputs:
                del values[name]
    return {name: values[source] for name, source in network.outputs.items()}


@quiet
def compute(node: Node, inputs: list[Array]) -> Array:
    """One node's result, including its activation."""
    operation = operation_of(node)
    try:
        out = operation.compute(node, *inputs)
    except ShapeError as error:
        raise ShapeError(f"{node.name} {error}\n  Its input is the output of {', '.join(node.inputs)}.") from None
    return out if node.activation is None else activation_of(node).function(out, node.attrs)
