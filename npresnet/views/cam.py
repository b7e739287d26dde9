"""Class activation maps, exact and without a gradient (Zhou et al. 2016, section 2).

If a network ends in global average pooling and one linear layer, a class's logit is an average over positions:

    logit[k] = bias[k] + mean over i,j of  sum over c of weight[k,c] * feature[c,i,j]

The inner sum is the map: the contribution of position (i, j) to class k.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ArchitectureError
from npresnet.network import Network, Node

Array = NDArray[Any]


def find_head(network: Network) -> tuple[str, Node]:
    """The node whose output is pooled, and the linear layer after the pooling.

    Raises ArchitectureError unless the network ends in global average pooling, flatten and one linear layer.
    """
    tail = network.nodes[-3:]
    ops = [node.op for node in tail]
    chained = all(after.inputs == (before.name,) for before, after in pairwise(tail))
    if ops != ["global_avg_pool", "flatten", "linear"] or not chained or tail[-1].activation is not None:
        raise ArchitectureError(
            "a class activation map is exact only if the network ends in global average pooling, flatten and one "
            f"linear layer, but this one ends in {', '.join(ops)}; for other networks use model.features(x, names)"
        )
    return tail[0].inputs[0], tail[-1]


def find_pooled(network: Network) -> str:
    """The node that computes the embedding: the network's output where it is one, else the last flatten."""
    if "embedding" in network.outputs:
        return network.outputs["embedding"]
    return next(node.name for node in reversed(network.nodes) if node.op == "flatten")


def activation_map(features: Array, class_weight: Array, height: int, width: int) -> Array:
    """The map of one class, resized to the image and scaled to 0..1.

    features      (C, h, w) float32: the input of the pooling
    class_weight  (C,): the class's row of the linear layer's weight

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
