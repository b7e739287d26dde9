"""Fuse a stem's max pool into its convolution: `max_pool(relu(conv(image)))` becomes one node, conv2d_max_pool2d.

The activation, which must be monotone, is then applied last.

The stem's output is the largest value of a ResNet, and the pool keeps a quarter of it. A backend that computes both
together never writes it to memory. Not every backend benefits, so this pass is not part of `optimize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import activation_of
from npresnet.passes.rewrite import carrying, merge_pairs

MAX_IN_CHANNELS = 4  # those of an image; other convolutions have faster algorithms


def fuse_max_pool(network: Network) -> Network:
    """The network with max pools merged into convolutions of few channels whose value is single-use.

    The node has the convolution's name, window and parameters; attrs: pool (a Window) and ceil_mode (a bool).
    """
    return merge_pairs(network, _into_convolution)


def _into_convolution(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    conv = made.get(node.inputs[0])
    if conv is None or conv.name not in single_use or not (_is_stem(conv) and _is_pool(node)):
        return None
    if conv.activation is not None and node.activation is not None:
        return None
    if any(carrier.activation and not activation_of(carrier).is_monotone for carrier in (conv, node)):
        return None
    carrier = conv if conv.activation is not None else node
    attrs = {"pool": node.window, "ceil_mode": node.attrs.get("ceil_mode", False)}
    return conv, carrying(conv.evolve(op="conv2d_max_pool2d", attrs=attrs), carrier.activation, carrier)


def _is_stem(node: Node) -> bool:
    if node.op != "conv2d" or len(node.inputs) > 1 or node.groups > 1 or node.window is None:
        return False
    return node.params["weight"].shape[1] <= MAX_IN_CHANNELS and max(node.window.dilation) == 1


def _is_pool(node: Node) -> bool:
    """Excludes dilated pools, whose window may miss a small image: then ReLU before and after the pool differ."""
    return node.op == "max_pool2d" and node.window is not None and max(node.window.dilation) == 1
