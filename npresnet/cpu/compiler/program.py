"""Program: a network compiled for one image shape, a number of images at once, and the workers that share its tiles.

    shapes -> choices -> halos -> layout -> probes of BLAS -> scratch        `compile_program`, before any memory
    arena, scratch, views -> steps                                           `Program.bind`, once for each pool entry

A program is immutable. Its invariant: the bits of an image's result depend on neither batch, place, threads nor run.
Tiles, blocks and forms of products may depend on the number of images or workers only where a probe of this machine's
BLAS has shown that the bits do not (`gemm.keeps_bits`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.compiler import tuning
from npresnet.cpu.compiler.lowerings import LOWERINGS, lowering_of
from npresnet.cpu.kernels.lowering import Bound, Options, Request
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.memory import Floats, Memory, aligned_floats
from npresnet.errors import DeviceError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import operation_of
from npresnet.plan import Layout, Plan, Step, infer_shapes, make_layout
from npresnet.plan.layout import Halo, no_halo, widest
from npresnet.plan.shapes import Shape
from npresnet.system.settings import quiet

Weights = Mapping[str, Any]  # node name -> its lowering's prepared parameters


def prepare(network: Network) -> dict[str, Any]:
    """Each node's prepared parameters, made once for a network.

    Raises ArchitectureError for an operation that this backend does not support.
    """
    for node in network:
        operation_of(node)
        lowering_of(node)
    with np.errstate(all="ignore"):  # numbers beyond float32 become 0 or infinity, whatever the caller's settings
        return {node.name: LOWERINGS[node.op].prepare(node) for node in network}


class Program(NamedTuple):
    """Everything that is decided before memory is allocated.

    bound    node name -> the node with its choice and its memory layout
    scratch  purpose -> floats that the largest tile needs, for each worker
    """

    network: Network
    layout: Layout
    bound: Mapping[str, Bound]
    scratch: Mapping[str, int]
    workers: int

    def prepacked(self) -> Iterator[tuple[str, Any]]:
        """(node name, key) of every prepacked form of weights that the steps read."""
        for name, bound in self.bound.items():
            key = LOWERINGS[bound.node.op].prepacked(bound.weights, bound.choice)
            if key is not None:
                yield name, key

    @property
    def memory_bytes(self) -> int:
        """What `bind` allocates, besides steps."""
        return self.layout.arena_bytes + 4 * sum(self.scratch.values()) * self.workers

    def bind(self) -> Plan:
        """The steps, bound to newly allocated memory. Raises DeviceError where memory is insufficient."""
        with _out_of_memory_as_device_error(self.layout):
            memory = Memory(self.layout, self.workers)
            memory.add_scratch(self.scratch)
            with np.errstate(all="ignore"):
                steps = tuple(self._step(node, memory) for node in self.network)
        outputs = {asked: _channels_first(memory, name) for asked, name in self.network.outputs.items()}
        return Plan(_channels_first(memory, INPUT), steps, outputs, self.layout.arena_bytes)

    def _step(self, node: Node, memory: Memory) -> Step:
        lowering, bound = LOWERINGS[node.op], self.bound[node.name]
        tiles = tuple(lowering.lower(bound, memory))
        flops = 2 * self.layout.macs[node.name] * self.layout.images
        size_bytes, barriers = _traffic_bytes(node, self.layout), lowering.barriers(bound)
        return Step(node.name, tiles, flops, size_bytes, lowering.algorithm(bound), barriers)


@quiet
def compile_program(
    network: Network,
    input_shape: Shape,
    images: int,
    workers: int,
    weights: Weights,
    options: Options,
    image_size: Shape | None = None,
    *,
    fixed: Mapping[str, Any] | None = None,
) -> Program:
    """Compile a network for `images` images of (C, H, W) at once, whose tiles `workers` workers share.

    image_size  (H, W) of the image, of which a network's back (`stages`) has another value as its input; by default the
                input's. A choice may depend on it, and must be the same in all parts
    fixed       choices by node name that override those of the node's lowering: to measure them

    Raises ShapeError where the image does not fit the network, DeviceError where memory is insufficient.
    """
    shapes, core_type, table = infer_shapes(network, input_shape), blas.core_type(), tuning.table()
    size = input_shape[1:] if image_size is None else image_size
    requests = {
        node.name: Request(node, weights[node.name], shapes, size, images, options, core_type, table)
        for node in network
    }
    choices = {
        node.name: fixed[node.name] if fixed and node.name in fixed else LOWERINGS[node.op].choose(requests[node.name])
        for node in network
    }
    halos = _halos(network, requests, choices)
    layout = make_layout(network, input_shape, halos, images=images, channels_first=_planes(network), shapes=shapes)
    with _out_of_memory_as_device_error(layout):
        aligned_floats(layout.arena_bytes // 4, np.zeros)  # first, because an excessive image has billions of tiles
    bound = {
        node.name: Bound(node, weights[node.name], choices[node.name], layout, workers, options.exact)
        for node in network
    }
    scratch: dict[str, int] = {}
    for node in network:
        LOWERINGS[node.op].probe(bound[node.name])
        for purpose, floats in LOWERINGS[node.op].scratch(bound[node.name]).items():
            scratch[purpose] = max(floats, scratch.get(purpose, 0))
    return Program(network, layout, bound, scratch, workers)


@contextmanager
def _out_of_memory_as_device_error(layout: Layout) -> Iterator[None]:
    """Raise MemoryError as a DeviceError that names the images' size."""
    try:
        yield
    except MemoryError:
        raise DeviceError(
            f"{layout.images} image(s) of {layout.input_shape} (C, H, W), as they enter this part of the network, need "
            f"at least {layout.arena_bytes / 1e6:,.0f} MB on every thread: more than the memory available. Use smaller "
            "images, or fewer threads"
        ) from None


def _halos(network: Network, requests: Mapping[str, Request], choices: Mapping[str, Any]) -> dict[str, Halo]:
    """For each value the widest border of zeros that its readers need."""
    found: dict[str, Halo] = {}
    for node in network:
        wanted = LOWERINGS[node.op].halo(requests[node.name], choices[node.name])
        if any(map(any, wanted)):
            none = no_halo(requests[node.name].shapes[node.inputs[0]])
            found[node.inputs[0]] = widest(found.get(node.inputs[0], none), wanted)
    return found


def _planes(network: Network) -> set[str]:
    """The values stored channel by channel: the image, where all its readers support that."""
    readers = network.consumers()[INPUT]
    return {INPUT} if readers and all(LOWERINGS[node.op].reads_planes for node in readers) else set()


def _channels_first(memory: Memory, name: str) -> Floats:
    """(N, H, W, C) seen as (N, C, H, W), clips as (N, C, T, H, W); vectors stay as they are."""
    axes = len(memory.value(name).shape)
    value = memory.clips(name) if axes == 4 else memory.images(name)
    order = {1: (0, 1), 3: (0, 3, 1, 2), 4: (0, 4, 3, 1, 2)}[axes]
    found: Floats = value.transpose(order)
    return found


def _traffic_bytes(node: Node, layout: Layout) -> int:
    values = sum(layout.values[name].size_bytes for name in (*node.inputs, node.name))
    return values + sum(4 * array.size for array in node.params.values())
