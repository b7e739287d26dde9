"""The parameters of a normalisation by the image: a float32 for each channel, uploaded when first asked for."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.compiler.layout import Value
from npresnet.cuda.launchers.lowering import Bound, Place
from npresnet.errors import ArchitectureError
from npresnet.network import Array


def vector(bound: Bound, place: Place, role: str, default: float | None = None) -> int:
    """The address of the node's `role`, (C,) float32: where it has none, of `default` for each channel.

    0, a null pointer, where there is no default either.
    """
    node, channels = bound.node, bound.layout.values[bound.node.name].stored.channels
    numbers = node.params.get(role)
    if numbers is None and default is None:
        return 0

    def made() -> Array:
        filled: Array = np.empty(channels, np.float32)
        filled[...] = default if numbers is None else numbers
        return filled

    return place.weights.address((node.name, role, channels), made)


def map_of(bound: Bound) -> Value:
    """What the node reads, and makes another of: (C, H, W), or (C,) that is stored as it is.

    Raises ArchitectureError for a flattened map, whose numbers are stored in another order than its channels have.
    """
    value = bound.layout.values[bound.node.name]
    if value.shape[0] != value.stored.channels:
        raise ArchitectureError(
            f"{bound.node.name}: the GPU backend has no {bound.node.op} of a flattened map; "
            f"it is {value.shape}, stored as {tuple(value.stored)} (H, W, C)"
        )
    return value
