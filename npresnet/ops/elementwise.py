"""ReLU, addition, flatten: no window and no weights."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array


def relu(x: Array) -> Array:
    """Clamp negative values to 0.

    out = max(x, 0); NaN stays NaN

    x        any shape and float dtype, which the result keeps

    Cost: one comparison a value. Source: Nair and Hinton 2010, "Rectified Linear Units"; torch.nn.ReLU.
    """
    return np.maximum(x, 0)


def add(a: Array, b: Array) -> Array:
    """The sum of two values of the same shape: where the shortcut joins the main path.

    out = a + b

    a, b     any shape, the same for both, for nothing is broadcast here

    Cost: one addition a value. Raises ShapeError where the shapes differ. Source: He et al. 2016, "Deep Residual
    Learning", equation 1.
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(
            f"expects two values of one shape to add\n"
            f"  main path  {np.shape(a)}\n"
            f"  shortcut   {np.shape(b)}   N, C, H, W\n"
            f"  Where a block changes channels or size, its shortcut has to change them too."
        )
    return np.add(a, b)


def flatten(x: Array) -> Array:
    """All numbers of one image in one row.

    out[n, (c*H + i)*W + j] = x[n,c,i,j]

    x        (N, C, H, W), or any shape that starts with N
    returns  (N, C*H*W)

    Cost: none; a view where memory allows it. Source: torch.flatten(x, 1).
    """
    x = np.asarray(x)
    return x.reshape(len(x), int(np.prod(x.shape[1:])))
