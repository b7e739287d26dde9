"""Where a batch's numbers lie on the GPU: one block of memory, all offsets known before any of it is asked for.

Values are stored NHWC in the element's storage, without halos. Three other things share the block:

    the images as they come, (N, C, H, W) float32: until a kernel has brought them into NHWC
    the results that are asked for, (N, ...) float32: from the node that makes them to the end
    a workspace for kernels that need one: they run one after the other, so one is enough

A fully connected layer's result is float32 whatever the element, and becomes a value only for a node that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from npresnet.cuda.compiler.reduction import Reduced
from npresnet.cuda.elements import Element
from npresnet.network import INPUT, Network
from npresnet.plan.arena import Request, assign_offsets
from npresnet.plan.lifetimes import Lifetime, value_lifetimes
from npresnet.plan.shapes import Shape

ALIGNMENT_BYTES = 256  # as CUDA's own allocations
ELEMENTWISE = ("relu", "add", "batch_norm")
IMAGES = "(images)"
FLOAT_BYTES = 4


class Stored(NamedTuple):
    """A value: (N, height, width, channels) numbers; a vector is an image of one pixel."""

    offset_bytes: int
    height: int
    width: int
    channels: int

    @property
    def positions(self) -> int:
        """Pixels of one image."""
        return self.height * self.width


class Arena(NamedTuple):
    """What `place_values` decided, for `images` images.

    values            INPUT and nodes by name
    images_offset     the staged images
    output_offsets    node -> its float32 result, for the nodes that are asked for
    workspace_offset  of workspace_bytes
    """

    images: int
    values: Mapping[str, Stored]
    images_offset: int
    output_offsets: Mapping[str, int]
    workspace_offset: int
    size_bytes: int


def place_values(
    reduced: Reduced, shapes: Mapping[str, Shape], images: int, element: Element, workspace_bytes: int
) -> Arena:
    """Give everything its place.

    shapes  of one image, by name: (C, H, W) or (C,)
    """
    network = reduced.network
    kept = stored_values(network, shapes)
    lifetimes = value_lifetimes(Network(network.nodes, {}))  # results are copies: the values themselves may go
    requests = [_request(name, images * prod(kept[name]) * element.item_bytes, lifetimes[name]) for name in kept]
    requests.append(_request(IMAGES, images * prod(shapes[INPUT]) * FLOAT_BYTES, Lifetime(-1, -1)))
    for asked, source in reduced.asked.items():
        lifetime = Lifetime(lifetimes[source].first, len(network))
        requests.append(_request(_result(asked), images * prod(shapes[asked]) * FLOAT_BYTES, lifetime))
    offsets, values_bytes = assign_offsets(requests)
    values = {name: Stored(offsets[name], *size) for name, size in kept.items()}
    outputs = {asked: offsets[_result(asked)] for asked in reduced.asked}
    return Arena(images, values, offsets[IMAGES], outputs, values_bytes, values_bytes + workspace_bytes)


def stored_values(network: Network, shapes: Mapping[str, Shape]) -> dict[str, tuple[int, int, int]]:
    """name -> (height, width, channels) as they are stored."""
    readers = network.consumers()
    kept = {INPUT: _stored_shape(shapes[INPUT])}
    for node in network:
        if node.op in ELEMENTWISE:  # in the order of what it reads, which a flatten may have passed on
            kept[node.name] = kept[node.inputs[0]]
        elif node.op != "linear" or readers[node.name]:
            kept[node.name] = _stored_shape(shapes[node.name])
    if all(node.op == "conv2d" and node.groups == 1 for node in readers[INPUT]):
        height, width, channels = kept[INPUT]
        kept[INPUT] = height, width, padded_channels(channels)
    return kept


def padded_channels(channels: int) -> int:
    """An image's 1 to 4 channels lie as 4, for whole pixels to be loaded; more as a multiple of 8."""
    return 4 if channels <= 4 else -(-channels // 8) * 8


def _stored_shape(shape: Shape) -> tuple[int, int, int]:
    channels, height, width = (*shape, 1, 1)[:3]
    return height, width, channels


def _request(name: str, size_bytes: int, lifetime: Lifetime) -> Request:
    return Request(name, -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, lifetime)


def _result(asked: str) -> str:
    return f"(result) {asked}"
