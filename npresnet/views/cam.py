"""Class activation maps, exact and without a gradient (Zhou et al. 2016, section 2).

If a network ends in global average pooling and a linear layer, a class's logit is an average over positions:

    logit[k] = bias[k] + mean over i,j of  sum over c of weight[k,c] * feature[c,i,j]

The inner sum is the map: the contribution of position (i, j) to class k. Several linear layers and BatchNorms without
an activation between them are one linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.system.settings import quiet

Array = NDArray[Any]


AFFINE = ("linear", "batch_norm")


def find_head(network: Network) -> tuple[str, tuple[Node, ...]]:
    """The node whose output is pooled, and the layers after the pooling, whose composition is affine.

    Raises ArchitectureError unless the network ends in global average pooling, flatten, and linear layers (and
    BatchNorms) without an activation.
    """
    if network.takes_clips:
        raise ArchitectureError(
            "a class activation map is a picture of one image, but this network takes clips; use model.features(x, "
            "names) for its maps over time"
        )
    layers = _affine_tail(network)
    flatten = _input_of(network, layers[0]) if layers else None
    pool = _input_of(network, flatten) if flatten is not None and flatten.op == "flatten" else None
    if pool is None or pool.op != "global_avg_pool" or any(node.activation for node in (pool, flatten) if node):
        ops = [node.op for node in network.nodes[-3:]]
        raise ArchitectureError(
            "a class activation map is exact only if the network ends in global average pooling, flatten and linear "
            f"layers without activations, but this one ends in {', '.join(ops)}; for other networks use "
            "model.features(x, names)"
        )
    return pool.inputs[0], layers


def _affine_tail(network: Network) -> tuple[Node, ...]:
    """The last layers of a classifier as far back as they are affine; () where there is no classifier."""
    layers: list[Node] = []
    node = network[network.outputs["logits"]] if "logits" in network.outputs else None
    while node is not None and node.op in AFFINE and node.activation is None:
        layers.insert(0, node)
        node = _input_of(network, node)
    return tuple(layers)


def _input_of(network: Network, node: Node) -> Node | None:
    """The node that computes a node's only input; None for the image."""
    return None if node.inputs[0] == INPUT else network[node.inputs[0]]


def find_pooled(network: Network) -> str:
    """The node that computes the embedding: the network's output where it is one, else the classifier's input."""
    if "embedding" in network.outputs:
        return network.outputs["embedding"]
    last = network[network.outputs["logits"]]
    return next((node.name for node in reversed(network.nodes) if node.op == "flatten"), last.inputs[0])


@quiet
def class_weight(layers: Sequence[Node], index: int) -> Array:
    """The weight (C,) float64 of each pooled channel in one logit: a row of the product of all layers' matrices.

    A BatchNorm is a diagonal matrix; biases and shifts are irrelevant, see `activation_map`.
    """
    last = layers[-1].params
    row = np.zeros(len(last["weight"] if "weight" in last else last["running_mean"]))
    row[index] = 1
    for layer in reversed(layers):
        row = row @ layer.params["weight"] if layer.op == "linear" else row * scale_and_shift(layer)[0]
    return row


@quiet
def activation_map(features: Array, class_weight: Array, height: int, width: int) -> Array:
    """The map of one class, resized to the image and scaled to 0..1.

    features      (C, h, w) float32: the input of the pooling
    class_weight  (C,): the class's row of the classifier's weight

    Returns (height, width) float32; the minimum is mapped to 0 and the maximum to 1, a constant map to 0. The bias is
    irrelevant because it shifts all positions equally. C*h*w multiply-adds.
    """
    small = np.tensordot(class_weight.astype(np.float32), features, axes=1)  # (h, w)
    stretched = _resize(small, height, width)
    low, high = float(stretched.min()), float(stretched.max())
    if not high > low:
        return np.zeros((height, width), np.float32)
    result: Array = np.clip((stretched - low) / np.float32(high - low), 0, 1)
    return result


def _resize(values: Array, height: int, width: int) -> Array:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))  # mode F
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
