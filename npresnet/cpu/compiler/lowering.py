"""Layout -> Plan: every node becomes a step of tiles, every tile a list of NumPy calls on views made here, once.

Which tiles there are depends on the layer's shape alone, never on the number of threads, the batch or a clock: an
image's bits are the same however the tiles are shared out. Each tile is bound to the worker that will run it, and uses
that worker's scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.compiler import tuning
from npresnet.cpu.compiler.choices import Choice, choose
from npresnet.cpu.kernels import conv2d, head, pointwise, pooling, stem
from npresnet.cpu.kernels.filters import Filters
from npresnet.cpu.kernels.tiling import Conv
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.memory import Memory
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import Layout, Plan, Step, infer_shapes, make_layout
from npresnet.plan.layout import NO_HALO, widest
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Tile

Prepared = Mapping[str, Any]  # node name -> what the operation keeps of its weights
Lower = Callable[[Node, Any, Memory], list[Tile]]

PREPARE: dict[str, Callable[[Node], Any]] = {
    "conv2d": Filters,
    stem.OPERATION: stem.StemFilters,
    "batch_norm": pointwise.prepare_batch_norm,
    "linear": head.prepare_linear,
}

LOWER: dict[str, Lower] = {
    "batch_norm": pointwise.lower_batch_norm,
    "relu": pointwise.lower_relu,
    "add": pointwise.lower_add,
    "shortcut_a": pointwise.lower_shortcut_a,
    "max_pool2d": pooling.lower_max_pool2d,
    "avg_pool2d": pooling.lower_avg_pool2d,
    "global_avg_pool": head.lower_global_avg_pool,
    "flatten": head.lower_flatten,
    "linear": head.lower_linear,
}


class Options(NamedTuple):
    """What the caller may ask of the backend.

    winograd  False computes every convolution by the direct sum
    exact     an image's bits do not depend on the batch; False (`fast=True`) lets BLAS take images together always
    """

    winograd: bool = True
    exact: bool = True


class CompiledShape(NamedTuple):
    """Everything decided for one image size and number of images, before any memory: layout and algorithms."""

    layout: Layout
    choices: Mapping[str, Choice]
    exact: bool


def prepare(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """What each operation needs of its weights, in the order in which it reads them; made once a network."""
    unknown = [node for node in nodes if node.op not in LOWER and node.op not in PREPARE]
    if unknown:
        raise ArchitectureError(f"{unknown[0].name}: the CPU backend has no operation {unknown[0].op!r}")
    with np.errstate(all="ignore"):  # what a float32 cannot hold becomes 0 or infinity, whatever the caller's settings
        return {node.name: PREPARE[node.op](node) for node in nodes if node.op in PREPARE}


def compile_shape(
    network: Network, input_shape: Shape, images: int, prepared: Prepared, options: Options
) -> CompiledShape:
    """Choose every convolution's algorithm, then lay out the values with the halos that those want.

    Raises ShapeError where the image does not fit the network.
    """
    shapes = infer_shapes(network, input_shape)
    kernel, table = blas.kernel(), tuning.table()
    layers = {
        node.name: conv2d.layer_of(node, prepared[node.name], shapes[node.name])
        for node in network
        if node.op == "conv2d"
    }
    chosen = {name: choose(layer, kernel, table, images, **options._asdict()) for name, layer in layers.items()}
    halos = conv2d.halos(network, shapes, chosen)
    for name, halo in stem.halos(network).items():
        halos[name] = widest(halos.get(name, NO_HALO), halo)
    layout = make_layout(network, input_shape, halos, images=images, channels_first=stem.channels_first(network))
    return CompiledShape(layout, chosen, options.exact)


def lower(scheme: CompiledShape, prepared: Prepared, workers: int) -> Plan:
    """Bind a scheme to memory of its own: an arena, and scratch for each of the workers that will run its tiles.

    Raises DeviceError where there is not so much memory.
    """
    layout = scheme.layout
    convs = {
        name: conv2d.bind(layout.network[name], prepared[name], choice, layout, workers, exact=scheme.exact)
        for name, choice in scheme.choices.items()
    }
    stems = {node.name: stem.bind(node, layout) for node in layout.network if node.op == stem.OPERATION}
    try:
        memory = Memory(layout, workers)  # before the tiles, of which an image far too large has billions
        needs = [*map(conv2d.scratch_floats, convs.values()), *map(stem.scratch_floats, stems.values())]
        memory.add_scratch(_largest(needs))
        with np.errstate(all="ignore"):
            return _plan(layout, prepared, convs, stems, memory)
    except MemoryError:
        raise DeviceError(
            f"an image of {layout.input_shape} (C, H, W) needs {layout.arena_bytes / 1e6:,.0f} MB and more, and so "
            "does each that is computed at the same time; there is not so much memory. Use smaller images, or threads=1"
        ) from None


def _plan(
    layout: Layout, prepared: Prepared, convs: Mapping[str, Conv], stems: Mapping[str, stem.Stem], memory: Memory
) -> Plan:
    steps = []
    for node in layout.network:
        if node.name in convs:
            conv = convs[node.name]
            tiles, algorithm = conv2d.lower(conv, memory), str(conv.choice)
        elif node.name in stems:
            tiles, algorithm = stem.lower(stems[node.name], prepared[node.name], memory), str(prepared[node.name])
        else:
            tiles, algorithm = LOWER[node.op](node, prepared.get(node.name), memory), ""
        flops = 2 * layout.macs[node.name] * layout.images
        steps.append(Step(node.name, tuple(tiles), flops, _traffic_bytes(node, layout), algorithm))
    outputs = {asked: channels_first(memory.images(name)) for asked, name in layout.network.outputs.items()}
    return Plan(channels_first(memory.images(INPUT)), tuple(steps), outputs, layout.arena_bytes)


def _largest(needs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    largest: dict[str, int] = {}
    for need in needs:
        for purpose, floats in need.items():
            largest[purpose] = max(floats, largest.get(purpose, 0))
    return largest


def channels_first(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(N, H, W, C) seen as (N, C, H, W); vectors stay as they are."""
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def _traffic_bytes(node: Node, layout: Layout) -> int:
    values = sum(layout.values[name].size_bytes for name in (*node.inputs, node.name))
    return values + sum(4 * array.size for array in node.params.values())
