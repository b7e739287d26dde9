"""Bilinear resizing between the two neighbours along each axis, as PyTorch resizes without antialias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image


def resize_without_antialias(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A PIL image of `size` (width, height), resized as a uint8 tensor by torchvision with antialias=False.

    Source: torchvision.transforms.functional.resize on a tensor: cast to float32, interpolate, round, cast.
    """
    from PIL import Image

    return Image.fromarray(bilinear(np.asarray(image), size[1], size[0]))


def bilinear(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) uint8 at another size, rounded to the nearest integer, halves to even.

    out[i,j] = (1-a)*((1-b)*x[u,v] + b*x[u,v+1]) + a*((1-b)*x[u+1,v] + b*x[u+1,v+1]),  u + a = (i + 1/2)*H/height - 1/2

    Positions outside are those of the border. Source: torch.nn.functional.interpolate(mode="bilinear",
    align_corners=False, antialias=False), in float32 with the fused multiply-adds of its builds: the product that is
    fused is kept in float64, which holds it exactly. PyTorch has two kernels, of which one thread and small images use
    another; that one rounds one pixel in thousands to a neighbouring integer.
    """
    above, below, down = _neighbours(pixels.shape[0], height)
    left, right, across = _neighbours(pixels.shape[1], width)
    x = pixels.astype(np.float32)
    shape = (1, width, *(1 for _ in pixels.shape[2:]))
    across, down = across.reshape(shape), down.reshape(height, *shape[:1], *shape[2:])
    top, bottom = x[above], x[below]
    upper, lower = (_between(row[:, left], row[:, right], across) for row in (top, bottom))
    out: NDArray[np.uint8] = np.rint(_between(upper, lower, down)).astype(np.uint8)
    return out


def _between(first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]) -> Any:
    """fma(first, 1 - weight, second * weight), float32."""
    product = first.astype(np.float64) * (np.float32(1) - weight)
    return (product + second * weight).astype(np.float32)


def _neighbours(size: int, out_size: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """For each output position the two input positions, and the weight of the second."""
    scale = float(np.float32(size) / np.float32(out_size))
    position = np.maximum((scale * (np.arange(out_size) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    first = np.minimum(position.astype(np.int64), size - 1)
    weight: NDArray[np.float32] = np.minimum(position - first.astype(np.float32), np.float32(1))
    return first, np.minimum(first + 1, size - 1), weight
