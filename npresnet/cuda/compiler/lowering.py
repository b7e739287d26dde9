"""Network -> steps: for every node the launches that compute it, bound to places in one block of GPU memory.

compile_shape   all that is decided for a batch and image size before any memory: kernels, tiles, places
lower         a scheme, its arena's address and the weights -> steps
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple

from npresnet.cuda.compiler import operations
from npresnet.cuda.compiler.arena import Arena, place_values, stored_values
from npresnet.cuda.compiler.choices import Choice, Layer, Processor, choose
from npresnet.cuda.compiler.operations import Place
from npresnet.cuda.compiler.reduction import Reduced, separate_pools, without_flatten
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import count_macs, infer_shapes
from npresnet.plan.shapes import Shape

COPY_IN, COPY_OUT = "(images in)", "(results out)"
MOST_POSITIONS = 2**31 - 1  # of all images together, which kernels count in an int


class Step(NamedTuple):
    """One node of the network on the GPU, or the copy of images in or results out.

    algorithm    its kernel and tile, for tables
    flops        2 per multiply-add, of the whole batch
    size_bytes   what it must read and write at least: its inputs, weights and output
    """

    name: str
    algorithm: str
    launches: tuple[Launch, ...]
    flops: int
    size_bytes: int


class CompiledShape(NamedTuple):
    """What was decided for one batch and image size. `shapes` are of one image, by name."""

    reduced: Reduced
    shapes: Mapping[str, Shape]
    choices: Mapping[str, Choice]
    arena: Arena
    element: Element
    gpu: Processor


def check_operations(network: Network) -> None:
    """Raises ArchitectureError for an operation that this backend does not have."""
    known = {*operations.LOWER, "flatten", "conv2d_max_pool2d"}
    for node in network:
        if node.op not in known:
            raise ArchitectureError(f"{node.name}: the GPU backend has no operation {node.op!r}")


def compile_shape(network: Network, input_shape: Shape, images: int, element: Element, gpu: Processor) -> CompiledShape:
    """Choose every convolution's kernel, then give every value its place.

    network      best after `passes.optimize`
    input_shape  (C, H, W)

    Raises ShapeError where the image does not fit the network, DeviceError where a batch is beyond what they count.
    """
    network = separate_pools(network)
    shapes = infer_shapes(network, input_shape)
    reduced = without_flatten(network)
    stored = stored_values(reduced.network, shapes)
    most = max(height * width for height, width, _ in stored.values())
    if images * most > MOST_POSITIONS:
        raise DeviceError(f"{images} images of {input_shape} (C, H, W) are too many pixels at once; give fewer")
    layers = _layers(reduced.network, shapes, stored, images)
    choices = {name: choose(layer, element, gpu) for name, layer in layers.items()}
    needs = [choice.module.workspace_bytes(choice.shape, element, choice.tile) for choice in choices.values()]
    needs += [4 * images * prod(shapes[node.name]) for node in reduced.network if node.op == "linear"]
    arena = place_values(reduced, shapes, images, element, max(needs, default=0))
    return CompiledShape(reduced, shapes, choices, arena, element, gpu)


def layers_of(network: Network, input_shape: Shape, images: int) -> dict[str, Layer]:
    """Every convolution, as choices are made for it."""
    network = separate_pools(network)
    shapes, core = infer_shapes(network, input_shape), without_flatten(network).network
    return _layers(core, shapes, stored_values(core, shapes), images)


def lower(scheme: CompiledShape, base: int, weights: Weights) -> list[Step]:
    """Bind a scheme to memory: `base` is the address of its arena. Weights that are not on the GPU yet go there."""
    network = scheme.reduced.network
    place = Place(
        base,
        scheme.arena,
        network,
        scheme.shapes,
        scheme.choices,
        scheme.element,
        scheme.gpu.capability,
        weights,
    )
    steps = [Step(COPY_IN, "layout", tuple(operations.copy_in(place)), 0, _bytes_of(INPUT, scheme))]
    steps += _results(INPUT, place, scheme)
    for node in network:
        launches = tuple(operations.lower_node(node, place))
        flops = 2 * count_macs(node, scheme.shapes) * scheme.arena.images
        steps.append(Step(node.name, _algorithm(node, launches, scheme), launches, flops, _traffic_bytes(node, scheme)))
        steps += _results(node.name, place, scheme)
    return steps


def _results(name: str, place: Place, scheme: CompiledShape) -> Iterator[Step]:
    """The copies out of a value that is asked for, at once, so that its place can be used again."""
    for asked, source in scheme.reduced.asked.items():
        if source == name and (launches := operations.copy_out(asked, source, place)):
            yield Step(f"{asked} {COPY_OUT}", "layout", tuple(launches), 0, _bytes_of(source, scheme))


def _layers(
    network: Network, shapes: Mapping[str, Shape], stored: Mapping[str, tuple[int, int, int]], images: int
) -> dict[str, Layer]:
    convolutions = (node for node in network if node.op == "conv2d")
    return {node.name: _layer(node, shapes, stored[node.inputs[0]], images) for node in convolutions}


def _layer(node: Node, shapes: Mapping[str, Shape], stored: tuple[int, int, int], images: int) -> Layer:
    height, width, padded = stored
    assert node.window is not None
    shape = ConvShape(
        images,
        height,
        width,
        shapes[node.inputs[0]][0],
        len(node.params["weight"]),
        node.window,
        node.groups,
        node.activation == "relu",
    )
    return Layer(shape, padded, len(node.inputs) > 1)


def _algorithm(node: Node, launches: tuple[Launch, ...], scheme: CompiledShape) -> str:
    if node.name in scheme.choices:
        return str(scheme.choices[node.name])
    return ", ".join(dict.fromkeys(launch.kernel for launch in launches))


def _traffic_bytes(node: Node, scheme: CompiledShape) -> int:
    weights = sum(array.size for array in node.params.values()) * scheme.element.item_bytes
    return weights + sum(_bytes_of(name, scheme) for name in (*node.inputs, node.name))


def _bytes_of(name: str, scheme: CompiledShape) -> int:
    return scheme.arena.images * prod(scheme.shapes[name]) * scheme.element.item_bytes
