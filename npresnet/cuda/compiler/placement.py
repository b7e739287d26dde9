"""How every value is stored, and where: NHWC in the order that a flatten has passed on, with channels padded or not."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from npresnet.cuda.compiler.layout import FLOAT_BYTES, Layout, Stored, Value, image_bytes
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.cuda.compiler.reduction import Reduced
from npresnet.cuda.elements import Element
from npresnet.cuda.pixels import Normalisation
from npresnet.network import INPUT, Network, Node
from npresnet.plan.arena import Request, assign_offsets
from npresnet.plan.lifetimes import Lifetime, value_lifetimes
from npresnet.plan.shapes import Shape

ALIGNMENT_BYTES = 256  # as CUDA's own allocations
IMAGES = "(images)"


def stored_values(core: Network, shapes: Mapping[str, Shape]) -> dict[str, Stored]:
    """INPUT and every node's value by name, but for those that only their float32 results hold.

    INPUT is left out where all that read it read the images as they come.

    core    the nodes that run, without views
    shapes  of one image, by name: (C, H, W) or (C,)
    """
    readers, asked = core.consumers(), set(core.outputs.values())
    kept = {}
    if INPUT in asked or not readers[INPUT] or not all(map(_reads_images, readers[INPUT])):
        kept[INPUT] = _stored(shapes[INPUT])
    for node in core:
        lowering = LOWERINGS[node.op]
        if lowering.keeps_storage:
            kept[node.name] = kept[node.inputs[0]]
        elif readers[node.name] or node.name not in asked or not lowering.writes_result:
            kept[node.name] = _stored(shapes[node.name])
    if INPUT in kept and all(_reads_images(n) or LOWERINGS[n.op].reads_padding(n) for n in readers[INPUT]):
        kept[INPUT] = kept[INPUT]._replace(channels=padded_channels(kept[INPUT].channels))
    return kept


def padded_channels(channels: int) -> int:
    """An image's 1 to 4 channels lie as 4, for whole pixels to be loaded; more as a multiple of 8."""
    return 4 if channels <= 4 else -(-channels // 8) * 8


def place_values(
    reduced: Reduced,
    shapes: Mapping[str, Shape],
    stored: Mapping[str, Stored],
    macs: Mapping[str, int],
    images: int,
    element: Element,
    pixels: Normalisation | None = None,
    *,
    keeps_images: bool = False,
) -> Layout:
    """Give everything its place.

    shapes  of one image, by name: (C, H, W) or (C,)
    stored  of every value but views and those that only their results hold
    macs    of one image, by node
    pixels  given where the images come as pixels
    keeps_images  nothing else may ever lie where the images do
    """
    core = reduced.core
    lifetimes = value_lifetimes(Network(core.nodes, {}))  # results are copies: the values themselves may go
    read = max((number for number, node in enumerate(core) if _reads_images(node)), default=-1)
    read = len(core) if keeps_images else read
    requests = [_request(name, images * prod(stored[name]) * element.item_bytes, lifetimes[name]) for name in stored]
    requests.append(_request(IMAGES, images * image_bytes(shapes[INPUT], pixels), Lifetime(-1, read)))
    kept = {name: Lifetime(lifetimes[name].first, len(core)) for name in core.outputs.values()}
    requests += [
        _request(_result(name), images * prod(shapes[name]) * FLOAT_BYTES, lifetime) for name, lifetime in kept.items()
    ]
    offsets, arena_bytes = assign_offsets(requests)
    results = {name: offsets[_result(name)] for name in kept}
    values = {
        name: Value(images, shapes[name], size, element.item_bytes, lifetimes[name], offsets[name])
        for name, size in stored.items()
    }
    for name, lifetime in kept.items():
        if name not in values:
            size = Stored(1, 1, prod(shapes[name]))
            values[name] = Value(images, shapes[name], size, FLOAT_BYTES, lifetime, results[name])
    if INPUT not in stored:
        size, item_bytes = _stored(shapes[INPUT]), image_bytes((1, 1, 1), pixels)
        values[INPUT] = Value(images, shapes[INPUT], size, item_bytes, Lifetime(-1, read), offsets[IMAGES])
    for name, source in reduced.sources.items():
        values[name] = values[source]._replace(shape=shapes[name])
    return Layout(reduced.network, images, shapes[INPUT], values, macs, arena_bytes, offsets[IMAGES], results, pixels)


def _reads_images(node: Node) -> bool:
    return INPUT in node.inputs and LOWERINGS[node.op].reads_images(node)


def _request(name: str, size_bytes: int, lifetime: Lifetime) -> Request:
    return Request(name, -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, lifetime)


def _result(name: str) -> str:
    return f"(result) {name}"


def _stored(shape: Shape) -> Stored:
    """A clip (C, T, H, W) is stored as an image of T*H rows, frame after frame."""
    channels, *rows, width = shape if len(shape) > 1 else (*shape, 1, 1)
    return Stored(prod(rows), width, channels)
