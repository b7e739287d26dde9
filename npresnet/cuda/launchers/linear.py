"""Fully connected: which of its kernels to take."""

from __future__ import annotations

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import linear_mma, linear_tile, linear_warp
from npresnet.cuda.shapes import LinearShape

FEW_IMAGES = 8  # up to here every image may as well read the weights from L2 again


def launches(
    shape: LinearShape, element: Element, capability: int, *, x: int, weight: int, bias: int, y: int
) -> list[Launch]:
    """Multiply by a matrix and add the bias; ReLU where the shape says so.

    y[n,o] = relu(bias[o] + sum over c of weight[o,c] * x[n,c])

    x        (N, C)    element's storage
    weight   (O, C)    element's storage, as `npresnet.cuda.elements.store` rounds it
    bias     (O,)      float32, never absent
    y        (N, O)    float32, whatever the element: logits are not rounded again

    Any N up to 65,535, any C and O. Each begins on 16 bytes.
    """
    buffers = {"x": x, "weight": weight, "bias": bias, "y": y}
    if shape.images <= FEW_IMAGES:
        return linear_warp.launches(shape, element, **buffers)
    if linear_mma.supports(shape, element, capability):
        return linear_mma.launches(shape, element, **buffers)
    return linear_tile.launches(shape, element, **buffers)
