"""Fold each BatchNorm into the convolution or fully connected layer before it.

At inference both are affine, so their composition is, too:

    y = gamma * (conv(x) + b - mean) / sqrt(var + eps) + beta
      = (scale * W) * x + ((b - mean) * scale + beta)         scale = gamma / sqrt(var + eps), one number per channel

(Ioffe and Szegedy 2015, section 3.1, last paragraph.) Scale and bias are computed in float64 and rounded once.

The filters are not changed here, as they may be mapped from a file: the folded node has `scale` as an additional
parameter. Backends multiply scale * W while they prepack the filters (`ops.folded_weight` is the plain implementation).
A fully connected layer, of which a network has few, gets the product itself in float64, which backends round once.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np

from npresnet.network import Array, Network, Node
from npresnet.passes.rewrite import carrying, merge_pairs

FOLDING = ("conv2d", "conv3d", "linear")


def fold_batch_norm(network: Network) -> Network:
    """The network without the BatchNorms that directly follow a convolution or a fully connected layer.

    A BatchNorm is kept if the layer's value is an output, or is read by other nodes as well.
    """
    return merge_pairs(network, _merge)


def _merge(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    layer = made.get(node.inputs[0])
    if node.op != "batch_norm" or layer is None or layer.name not in single_use:
        return None
    if layer.op not in FOLDING or layer.activation is not None or len(layer.inputs) > 1:
        return None
    return layer, fold(layer, node)


def fold(layer: Node, norm: Node) -> Node:
    """One layer that computes `norm(layer(x))`, with the bias (O,) float32.

    A convolution has an unchanged weight and scale (O,) float64, a fully connected layer the weight (O, C) float64.
    """
    with np.errstate(all="ignore"):  # denormals in channels that training disabled; a variance of 0
        scale, shift = scale_and_shift(norm)  # (O,), (O,)
        bias = np.asarray(layer.params.get("bias", 0.0), np.float64) * scale + shift
        scale = scale * layer.params.get("scale", 1.0)  # of a BatchNorm folded earlier
        weight = {"weight": layer.params["weight"], "scale": scale}
        if layer.op == "linear":
            weight = {"weight": np.multiply(layer.params["weight"], scale[:, None], dtype=np.float64)}
        params = {**weight, "bias": bias.astype(np.float32)}
    return carrying(layer.evolve(params=params), norm.activation, norm)


def scale_and_shift(norm: Node) -> tuple[Array, Array]:
    """The BatchNorm as y = scale * x + shift, two (C,) float64 arrays."""
    mean = norm.params["running_mean"].astype(np.float64)
    variance = norm.params["running_var"].astype(np.float64)
    scale = np.asarray(norm.params.get("weight", 1.0), np.float64) / np.sqrt(variance + norm.attrs["eps"])
    shift = np.asarray(norm.params.get("bias", 0.0), np.float64) - mean * scale
    return scale, shift
