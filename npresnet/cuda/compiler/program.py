"""Program: a network compiled for one image shape and a number of images at once.

    shapes -> storage -> choices -> layout -> workspace     `compile_program`, before any memory
    address of the arena, weights, tickets -> steps         `Program.bind`

A program never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from npresnet.cuda.compiler.choices import Layer, Processor
from npresnet.cuda.compiler.cost import Work, card_of, predicted_us
from npresnet.cuda.compiler.layout import Layout
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.cuda.compiler.placement import place_values, stored_values
from npresnet.cuda.compiler.reduction import Reduced, reduce
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import activation, layout, preprocess
from npresnet.cuda.launchers.lowering import Bound, Place, Request
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import DeviceError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import Step, count_macs, infer_shapes
from npresnet.plan.shapes import Shape

COPY_IN, COPY_OUT = "(images in)", "(results out)"  # steps beside those of nodes
MOST_POSITIONS = 2**31 - 257  # of all images together, which kernels count in an int, to the end of the last tile


class Program(NamedTuple):
    """Everything that is decided before memory is taken.

    core             the nodes that run
    bound            their names -> the node with its choice and its place
    result_shapes    asked name -> shape of one image's result
    workspace_bytes  after the layout's
    """

    layout: Layout
    core: Network
    bound: Mapping[str, Bound]
    result_shapes: Mapping[str, Shape]
    workspace_bytes: int
    element: Element

    @property
    def size_bytes(self) -> int:
        """Of the block of memory that it needs, weights apart."""
        return self.layout.arena_bytes + self.workspace_bytes

    def bind(self, base: int, weights: Weights, tickets: int) -> tuple[Step, ...]:
        """The steps, on memory that begins at the address `base`. Weights that are not on the GPU yet go there.

        tickets  the address of counters for the launches of one stream
        """
        place = Place(base, self.layout, weights, tickets)
        steps: list[Step] = []
        if self.layout.has_input:
            steps.append(Step(COPY_IN, tuple(self._copy_in(place)), 0, self._size_bytes(INPUT), "layout"))
            steps += self._results(INPUT, place)
        for node in self.core:
            steps.append(self._step(node, place))
            steps += self._results(node.name, place)
        return tuple(steps)

    def predicted_us(self, gpu: Processor) -> float:
        """By `cost`'s model: of all launches but activations and results, which every segmentation has."""
        works = [work for node in self.core for work in LOWERINGS[node.op].work(self.bound[node.name])]
        if self.layout.has_input:
            works.append(Work(self.layout.images_bytes + self.layout.values[INPUT].size_bytes))
        return predicted_us(works, card_of(gpu.name, gpu.multiprocessors))

    def _step(self, node: Node, place: Place) -> Step:
        lowering, bound = LOWERINGS[node.op], self.bound[node.name]
        launches = lowering.lower(bound, place)
        if node.activation is not None and node.activation not in lowering.fuses:
            launches += activation.in_place(bound, place)
        flops = 2 * self.layout.macs[node.name] * self.layout.images
        algorithm = lowering.algorithm(bound) or ", ".join(dict.fromkeys(launch.kernel for launch in launches))
        return Step(node.name, tuple(launches), flops, self._traffic_bytes(node), algorithm)

    def _copy_in(self, place: Place) -> list[Launch]:
        """The images to NHWC, with channels of zeros where they are stored with more than they have."""
        value, channels, pixels = self.layout.values[INPUT], self.layout.input_shape[0], self.layout.pixels
        if pixels is not None:
            count, padded = value.images * value.stored.positions, value.stored.channels
            x, y = place.images, place.address(INPUT)
            return preprocess.launches(count, pixels.mean, pixels.std, padded, self.element, x=x, y=y)
        sizes = value.images, channels, value.stored.positions, value.stored.channels
        return layout.nchw_to_nhwc(*sizes, self.element, x=place.images, y=place.address(INPUT))

    def _results(self, name: str, place: Place) -> Iterator[Step]:
        """The copy of a value that is asked for, made at once, so that its place can be used again."""
        if name not in self.layout.result_offsets or (name != INPUT and LOWERINGS[self.core[name].op].writes_result):
            return
        value = self.layout.values[name]
        channels = value.shape[0] if name == INPUT else value.stored.channels  # without the padding
        sizes = value.images, channels, value.stored.positions, value.stored.channels
        launches = layout.nhwc_to_nchw(*sizes, self.element, x=place.address(name), y=place.result(name))
        yield Step(f"{name} {COPY_OUT}", tuple(launches), 0, self._size_bytes(name), "layout")

    def _traffic_bytes(self, node: Node) -> int:
        weights = sum(array.size for array in node.params.values()) * self.element.item_bytes
        return weights + sum(self._size_bytes(name) for name in (*node.inputs, node.name))

    def _size_bytes(self, name: str) -> int:
        """Of a value's numbers, without padding."""
        value = self.layout.values[name]
        return value.images * prod(value.shape) * value.item_bytes


def compile_program(
    ways: Sequence[Reduced],
    input_shape: Shape,
    images: int,
    element: Element,
    gpu: Processor,
    pixels: Normalisation | None = None,
    *,
    keeps_images: bool = False,
) -> Program:
    """Decide everything for `images` images of (C, H, W) at once.

    ways    segmentations of one network, the first of which any GPU can run: the fastest by `cost`'s model is taken
    pixels  how they are normalised, where they come as pixels; None: they come normalised
    keeps_images  a run leaves the images as they were, so that another finds them

    Raises ShapeError where the image does not fit the network, DeviceError where a batch is beyond what kernels count,
    ArchitectureError for inputs that no kernel takes.
    """
    if pixels is not None:
        pixels.check(input_shape[0])
    known: dict[Layer, Any] = {}
    made = [_compile(reduced, input_shape, images, element, gpu, pixels, known, keeps_images) for reduced in ways]
    programs = [program for program in made if program is not None]
    return min(programs, key=lambda program: program.predicted_us(gpu)) if len(programs) > 1 else programs[0]


def _compile(
    reduced: Reduced,
    input_shape: Shape,
    images: int,
    element: Element,
    gpu: Processor,
    pixels: Normalisation | None,
    known: dict[Layer, Any],
    keeps_images: bool,
) -> Program | None:
    """Of one segmentation; None where one of its segments has no kernel for these shapes.

    known  choices made for layers, to which it adds: of equal layers, and those that segmentations share
    """
    core, shapes = reduced.core, infer_shapes(reduced.network, input_shape)
    stored = stored_values(core, shapes)
    if images * max(value.positions for value in stored.values()) > MOST_POSITIONS:
        raise DeviceError(f"{images} images of {input_shape} (C, H, W) are too many pixels at once; give fewer")
    requests = [Request(node, shapes, stored, images, element, gpu, pixels) for node in core]
    if not all(LOWERINGS[request.node.op].takes(request) for request in requests):
        return None
    choices = {request.node.name: _choose(request, known) for request in requests}
    macs = {node.name: count_macs(node, shapes) for node in reduced.network}
    placed = place_values(reduced, shapes, stored, macs, images, element, pixels, keeps_images=keeps_images)
    bound = {node.name: Bound(node, choices[node.name], placed, element, gpu) for node in core}
    needs = [sum(LOWERINGS[node.op].scratch(bound[node.name]).values()) for node in core]
    results = {asked: shapes[name] for asked, name in reduced.network.outputs.items()}
    return Program(placed, core, bound, results, max(needs, default=0), element)


def _choose(request: Request, known: dict[Layer, Any]) -> Any:
    lowering = LOWERINGS[request.node.op]
    layer = lowering.layer(request)
    if layer is None:
        return lowering.choose(request)
    if layer not in known:
        known[layer] = lowering.choose(request)
    return known[layer]


def layers_of(network: Network, input_shape: Shape, images: int, element: Element, gpu: Processor) -> dict[str, Layer]:
    """The nodes that measured tables choose kernels for, as `choices` asks for them."""
    reduced = reduce(network)
    shapes = infer_shapes(reduced.network, input_shape)
    stored = stored_values(reduced.core, shapes)
    found = {
        node.name: LOWERINGS[node.op].layer(Request(node, shapes, stored, images, element, gpu))
        for node in reduced.core
    }
    return {name: layer for name, layer in found.items() if layer is not None}
