"""Layout: for one input size, the shape, lifetime, halo and arena offset of every value. Made once, never changed.

A layout is for one image, or for a few that are computed together. Values are stored NHWC, float32, inside a halo:

    storage[n, top : top + H, left : left + W, :] is image n, the rest of storage is zero.

A backend may want a value's bytes in the order NCHW instead; its storage is then a view of the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import prod
from typing import NamedTuple

from npresnet.network import INPUT, Network
from npresnet.plan.arena import Request, assign_offsets
from npresnet.plan.lifetimes import Lifetime, value_lifetimes
from npresnet.plan.shapes import Shape, count_macs, infer_shapes

Halo = tuple[tuple[int, int], ...]  # (before, after) for height and for width
NO_HALO: Halo = ((0, 0), (0, 0))
ITEM_BYTES = 4  # float32


class Value(NamedTuple):
    """One value of `images` images, each of `shape` (C, H, W) or (C,); `offset_bytes` counts from the arena's start.

    channels_first   the bytes lie in the order N, C, H, W, halo included
    """

    name: str
    images: int
    shape: Shape
    halo: Halo
    lifetime: Lifetime
    offset_bytes: int
    channels_first: bool = False

    @property
    def storage_shape(self) -> Shape:
        """(N, top + H + bottom, left + W + right, C), or (N, C), in whatever order the bytes lie."""
        return (self.images, *storage_shape(self.shape, self.halo))

    @property
    def size_bytes(self) -> int:
        """Bytes of storage, halo included."""
        return prod(self.storage_shape) * ITEM_BYTES

    @property
    def has_halo(self) -> bool:
        """Whether zeros surround the image."""
        return self.halo != NO_HALO


class Layout(NamedTuple):
    """What `make_layout` decided: INPUT and every node's value by name, the arena's bytes; `macs` are of one image."""

    network: Network
    images: int
    input_shape: Shape
    values: Mapping[str, Value]
    macs: Mapping[str, int]
    arena_bytes: int


def make_layout(
    network: Network,
    input_shape: Shape,
    halos: Mapping[str, Halo] | None = None,
    *,
    images: int = 1,
    channels_first: Set[str] = frozenset(),
) -> Layout:
    """Give every value of `network` its shape, lifetime and place in memory, for `images` images at once.

    input_shape     (C, H, W)
    halos           zeros that a backend wants around values; by default `convolution_halos`
    channels_first  names of images (not vectors) whose bytes shall lie in the order NCHW

    Raises ShapeError where the image does not fit the network.
    """
    shapes = infer_shapes(network, input_shape)
    lifetimes = value_lifetimes(network)
    halos = convolution_halos(network) if halos is None else halos
    requests = []
    for name, shape in shapes.items():
        halo = halos.get(name, NO_HALO)
        storage = (images, *storage_shape(shape, halo))
        border = None if halo == NO_HALO else (storage, halo, name in channels_first)
        requests.append(Request(name, prod(storage) * ITEM_BYTES, lifetimes[name], border))
    offsets, arena_bytes = assign_offsets(requests)
    values = {
        name: Value(
            name, images, shape, halos.get(name, NO_HALO), lifetimes[name], offsets[name], name in channels_first
        )
        for name, shape in shapes.items()
    }
    macs = {node.name: count_macs(node, shapes) for node in network}
    return Layout(network, images, tuple(input_shape), values, macs, arena_bytes)


def convolution_halos(network: Network) -> dict[str, Halo]:
    """For each value the widest zero padding that a convolution reading it asks for; others get none."""
    halos: dict[str, Halo] = {INPUT: NO_HALO}
    for node in network:
        if node.op == "conv2d" and node.window is not None:
            name = node.inputs[0]
            halos[name] = widest(halos.get(name, NO_HALO), tuple((p, p) for p in node.window.padding))
    return halos


def widest(a: Halo, b: Halo) -> Halo:
    """The halo that holds both, side by side."""
    return tuple((max(p, r), max(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))


def storage_shape(shape: Shape, halo: Halo) -> Shape:
    """(C, H, W) -> (top + H + bottom, left + W + right, C); vectors stay as they are."""
    if len(shape) == 1:
        return shape
    channels, *size = shape
    return (*(before + n + after for n, (before, after) in zip(size, halo, strict=True)), channels)
