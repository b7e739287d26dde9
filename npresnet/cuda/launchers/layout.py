"""From NCHW float32 to stored NHWC and back: kernels/layout/layout.cu. And flatten, for which NHWC needs no kernel."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Lowering
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.network import Node

FILE = "layout/layout.cu"
THREADS = 256
TILE, ROWS = 32, 8


def nchw_to_nhwc(
    images: int, channels: int, positions: int, padded_channels: int, element: Element, *, x: int, y: int
) -> list[Launch]:
    """Images on their way in; the channels from `channels` on become zeros.

    y[n,p,c] = x[n,c,p] for c < channels, else 0

    x   (N, channels, positions)          float32; positions = H*W
    y   (N, positions, padded_channels)   element's storage

    At most 65,535 images. 4 and 8 padded_channels, which images have, have a kernel of their own.
    """
    source = source_for(FILE, element)
    addresses, sizes = (np.uint64(x), np.uint64(y)), (np.int32(channels), np.int32(positions))
    if padded_channels in (4, 8):
        grid = (ceil_div(positions, THREADS), images, 1)
        return [Launch(source, f"nchw_to_nhwc_pixel_{padded_channels}", grid, (THREADS, 1, 1), (*addresses, *sizes))]
    grid = (ceil_div(positions, TILE), ceil_div(padded_channels, TILE), images)
    args = (*addresses, *sizes, np.int32(padded_channels))
    return [Launch(source, "nchw_to_nhwc_tile", grid, (TILE, ROWS, 1), args)]


def nhwc_to_nchw(
    images: int, channels: int, positions: int, padded_channels: int, element: Element, *, x: int, y: int
) -> list[Launch]:
    """Features on their way out; the channels from `channels` on are left out.

    y[n,c,p] = x[n,p,c]

    x   (N, positions, padded_channels)   element's storage
    y   (N, channels, positions)          float32

    At most 65,535 images.
    """
    grid = (ceil_div(positions, TILE), ceil_div(channels, TILE), images)
    args = (np.uint64(x), np.uint64(y), np.int32(channels), np.int32(positions), np.int32(padded_channels))
    return [Launch(source_for(FILE, element), "nhwc_to_nchw", grid, (TILE, ROWS, 1), args)]


class FlattenLowering(Lowering):
    """A vector's numbers lie as they lay before.

    Where the image has more than one pixel, the order is another than PyTorch's (H, W, C, not C, H, W): the parameters
    of those who read it are put into that order.
    """

    is_view = True

    def expand(self, node: Node) -> tuple[Node, ...]:
        """An activation becomes a node of its own."""
        if node.activation is None:
            return (node,)
        flat = node.evolve(name=f"{node.name} before its activation", activation=None)
        return flat, Node(node.name, node.activation, (flat.name,), attrs=node.attrs)
