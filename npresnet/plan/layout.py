"""Layout: for one input size, the shape, lifetime, halo and arena offset of every value. Immutable.

A layout is for one image, or for several that are computed together. Values are stored NHWC, float32, inside a halo:

    storage[n, top : top + H, left : left + W, :] is image n, the rest of storage is zero.

A clip is stored as an image whose pixels hold all of its frames, one after the other: position (i, j) has the channels
of frame 0, those of frame 1, ..., with frames of zeros as the halo of time. A window over KT frames is then a run of
KT*C numbers, and what has no window need not know that there are frames.

A backend may choose memory order NCHW for a value; its storage is then a transposed view of the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import prod
from typing import NamedTuple

from npresnet.network import Network
from npresnet.plan.arena import Request, assign_offsets
from npresnet.plan.lifetimes import Lifetime, value_lifetimes
from npresnet.plan.shapes import Shape, count_macs, infer_shapes

Halo = tuple[tuple[int, int], ...]  # (before, after) for height and for width; of clips for time first
NO_HALO: Halo = ((0, 0), (0, 0))
ITEM_BYTES = 4  # float32


class Value(NamedTuple):
    """A value of `images` images, each of `shape` (C, H, W), (C,) or (C, T, H, W).

    offset_bytes     from the arena's start
    channels_first   memory order is N, C, H, W, including the halo
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
        """(N, top + H + bottom, left + W + right, C), or (N, C), for either memory order."""
        return (self.images, *storage_shape(self.shape, self.halo))

    @property
    def size_bytes(self) -> int:
        """Bytes of storage, including the halo."""
        return prod(self.storage_shape) * ITEM_BYTES

    @property
    def has_halo(self) -> bool:
        """Whether there are zeros around the image."""
        return any(map(any, self.halo))


class Layout(NamedTuple):
    """The result of `make_layout`: INPUT and every node's value by name, the arena's size; `macs` are of one image."""

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
    shapes: Mapping[str, Shape] | None = None,
) -> Layout:
    """Determine the shape, lifetime and offset of every value of `network`, for `images` images computed together.

    input_shape     (C, H, W), or (C, T, H, W) of a clip
    halos           zeros around values; none by default
    channels_first  names of images (not vectors) with memory order NCHW
    shapes          of one image, if `infer_shapes` has been called already

    Raises ShapeError if the image does not fit the network.
    """
    shapes = infer_shapes(network, input_shape) if shapes is None else shapes
    lifetimes = value_lifetimes(network)
    halos = halos or {}
    requests = []
    for name, shape in shapes.items():
        halo = halos.get(name, no_halo(shape))
        storage = (images, *storage_shape(shape, halo))
        border = None if halo == no_halo(shape) else (storage, halo, name in channels_first, shape[0])
        requests.append(Request(name, prod(storage) * ITEM_BYTES, lifetimes[name], border))
    offsets, arena_bytes = assign_offsets(requests)
    values = {
        name: Value(
            name, images, shape, halos.get(name, no_halo(shape)), lifetimes[name], offsets[name], name in channels_first
        )
        for name, shape in shapes.items()
    }
    macs = {node.name: count_macs(node, shapes) for node in network}
    return Layout(network, images, tuple(input_shape), values, macs, arena_bytes)


def no_halo(shape: Shape) -> Halo:
    """The halo of a value without one."""
    return ((0, 0),) * 3 if len(shape) == 4 else NO_HALO


def widest(a: Halo, b: Halo) -> Halo:
    """The smallest halo that contains both."""
    return tuple((max(p, r), max(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))


def storage_shape(shape: Shape, halo: Halo) -> Shape:
    """(C, H, W) -> (top + H + bottom, left + W + right, C); vectors are unchanged.

    (C, T, H, W) -> the same with (before + T + after) * C channels.
    """
    if len(shape) == 1:
        return shape
    channels, *size = shape
    *frames, height, width = (before + n + after for n, (before, after) in zip(size, halo, strict=True))
    return height, width, prod(frames) * channels
