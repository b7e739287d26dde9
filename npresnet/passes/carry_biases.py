"""Carry biases along instead of adding them: a pass less over the result of a block's last convolution.

A convolution ends in three passes over its result: bias, residual, ReLU. But

    relu(z + b) = max(z, -b) + b

and the "+ b" behind the maximum is one number a channel, which whoever reads the result can take into a bias of its
own. So a value v may be stored as s = v - c, where the offset c is one number a channel. A convolution that makes the
products P of its input, bias b, with a residual that is stored less c_r, then leaves

    s = max(P + s_r, -c)       with a ReLU: the floor -c takes the place of the bias
    s = P + s_r                without one, as in a projection shortcut: nothing at all is left to do

of a value with the offset c = b + c_r. A convolution that reads such a value has the bias b + W c, which is known
before any image is; a global average pool adds c to its means.

When it applies: to 1x1 convolutions without padding, whose result is read by such convolutions (as input or as
residual) and by global average pools alone; that is what Bottlenecks send from block to block. Around a padded value
the zeros would have to be -c, so 3x3 convolutions read true values, and most of them add their bias by Winograd, for
next to nothing. Networks of BasicBlocks come out as they went in.

What it costs is digits: s is rounded as v - c is, and multiplied so. Two rules keep that small. Offsets add up along
residuals alone: a convolution whose input has an offset adds its bias, for W c may be many times c. And where an offset
is beyond MOST the value is stored as it is, and carrying begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npresnet.network import Array, Network, Node

MOST = 4.0  # of an offset: s has at most two or three bits less behind the point than a v of about 1
SUFFIX = " + bias"  # of the node that makes a carried value whole for a caller: no module is called so


def carry_biases(network: Network) -> Network:
    """The network, which gives the same outputs, with biases carried from convolution to convolution.

    Three new parameters say all, each (C,) for the channels of what it is added to or compared with:

    floor   float32, of a convolution with a ReLU, in the place of a bias: clamp there and not at 0
    offset  float64, of a convolution: what its input is stored without; `bias` is float64 then
    shift   float32, of a global average pool: the same, to be added to its means

    Where a carried value is asked for, a further node adds the offset: all others compute as if nobody asked.
    """
    carried = _carried_values(network)
    if not carried:
        return network
    asked = set(network.outputs.values())
    offsets: dict[str, Array] = {}  # name -> c (C,) float64, where there is one
    whole: dict[str, str] = {}  # name -> the node that adds c to it
    nodes: list[Node] = []
    for node in network:
        if is_pointwise(node):
            node, offset = _rewritten(node, offsets, may_carry=node.name in carried)
            if offset is not None:
                offsets[node.name] = offset
        elif node.op == "global_avg_pool" and node.inputs[0] in offsets:
            node = node.evolve(params={**node.params, "shift": offsets[node.inputs[0]].astype(np.float32)})
        nodes.append(node)
        if node.name in asked and node.name in offsets:
            nodes.append(_whole_value(node.name, offsets[node.name]))
            whole[node.name] = nodes[-1].name
    return Network(tuple(nodes), {asked: whole.get(name, name) for asked, name in network.outputs.items()})


def is_pointwise(node: Node) -> bool:
    """Whether this is a 1x1 convolution without padding, of any stride and groups."""
    return node.op == "conv2d" and node.window is not None and node.window.is_pointwise


def _carried_values(network: Network) -> set[str]:
    """The values that may have an offset: a 1x1 convolution makes them, and every reader takes it.

    A value that nobody reads is asked for. If it has a residual it is carried too, so that its bits are those that it
    has where more is asked for; without one, they are the same either way.
    """
    readers = network.consumers()
    return {
        node.name
        for node in network
        if is_pointwise(node)
        and all(_takes(reader, node) for reader in readers[node.name])
        and (readers[node.name] or len(node.inputs) > 1)
    }


def _takes(reader: Node, node: Node) -> bool:
    """Whether a reader can take the offset; not as a residual of other channels, which is an error of the shapes."""
    if not is_pointwise(reader):
        return reader.op == "global_avg_pool"
    return node.name not in reader.inputs[1:] or len(reader.params["weight"]) == len(node.params["weight"])


def _rewritten(node: Node, offsets: Mapping[str, Array], *, may_carry: bool) -> tuple[Node, Array | None]:
    """The convolution as it reads stored values, and the offset of its own value, where that has one."""
    source, *residual = node.inputs
    parts = [offsets[name] for name in residual if name in offsets]
    if source not in offsets and not parts and not ("bias" in node.params and may_carry):
        return node, None  # as it was
    bias = np.zeros(len(node.params["weight"])) + node.params.get("bias", 0.0) + sum(parts)  # (O,) float64
    params = {role: array for role, array in node.params.items() if role != "bias"}
    if source in offsets:
        return node.evolve(params=params | {"bias": bias, "offset": offsets[source]}), None
    if not may_carry or not np.abs(bias).max() <= MOST:  # a NaN is not either
        return node.evolve(params=params | {"bias": bias.astype(np.float32)}), None
    if not node.relu:
        return node.evolve(params=params), bias
    floor = (-bias).astype(np.float32)
    return node.evolve(params=params | {"floor": floor}), -floor.astype(np.float64)  # a clamped pixel is 0 exactly


def _whole_value(name: str, offset: Array) -> Node:
    """v = s + c, as a BatchNorm that scales nothing."""
    zeros, ones = np.zeros(len(offset), np.float32), np.ones(len(offset), np.float32)
    params = {"running_mean": zeros, "running_var": ones, "bias": offset.astype(np.float32)}
    return Node(name + SUFFIX, "batch_norm", (name,), attrs={"eps": 0.0}, params=params)
