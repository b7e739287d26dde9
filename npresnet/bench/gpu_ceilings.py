"""The ceilings of a GPU, measured: the rates of copying memory and of multiplying matrices, the gap between nodes.

All functions return plain JSON: {"unit", "times": what `GpuTimer.race` returns, "rates": {name: in that unit}, ...}.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from npresnet.bench.gpu_timer import GpuTimer, Racer, random_numbers
from npresnet.cuda import ELEMENTS, Element
from npresnet.cuda.activation import RELU
from npresnet.cuda.compiler import choices
from npresnet.cuda.compiler.choices import Choice, Layer, Processor
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import activation
from npresnet.cuda.runtime.gpu import Buffer
from npresnet.window import Window

BEST = 4  # candidates of one run that are raced
COPY_BYTES = 1 << 30  # far more than any L2 cache
EMULATED_COPY_BYTES = 1 << 16
SIDE, EMULATED_SIDE = 4096, 64  # of the matrices: (4 * SIDE, SIDE) by (SIDE, SIDE)
NODES, EMULATED_NODES = 1000, 4  # of the graph of tiny kernels


def copy_bytes(timer: GpuTimer) -> int:
    """The number of bytes that `time_copy` copies."""
    return EMULATED_COPY_BYTES if timer.emulated else COPY_BYTES


def product_shape(timer: GpuTimer) -> ConvShape:
    """The product of `time_product`: (M, K) by (K, O), as a 1x1 convolution."""
    side = EMULATED_SIDE if timer.emulated else SIDE
    return ConvShape(4, side // 8, 8, side, side, Window.of(1))


def time_copy(timer: GpuTimer, rivals: Sequence[Racer] = ()) -> dict[str, Any]:
    """TB/s, read plus written, of copying `copy_bytes`; `rivals` copy as much in the same rounds."""
    size_bytes = copy_bytes(timer)
    source, target = (timer.gpu.allocate(size_bytes, "the copy") for _ in range(2))
    element = ELEMENTS["float32"]
    calls = timer.gpu.bind(activation.launches(size_bytes // 4, element, RELU, x=source.address, y=target.address))
    times = timer.race([timer.replayed("relu kernel", calls), *rivals])
    return {"unit": "TB/s", "bytes": 2 * size_bytes, "times": times, "rates": _rates(times, 2 * size_bytes)}


def time_node_gap(timer: GpuTimer) -> dict[str, Any]:
    """Microseconds of a node of a graph of NODES launches that have next to nothing to do, one after the other."""
    nodes = EMULATED_NODES if timer.emulated else NODES
    buffer, element = timer.gpu.allocate(4, "one number"), ELEMENTS["float32"]
    calls = timer.gpu.bind(activation.launches(1, element, RELU, x=buffer.address, y=buffer.address))
    times = timer.race([timer.replayed("relu kernel", calls * nodes, copies=1)])
    rates = {name: float(f"{1e3 * time['ms'] / nodes:.4g}") for name, time in times.items() if "ms" in time}
    return {"unit": "us a node", "nodes": nodes, "times": times, "rates": rates}


def time_product(timer: GpuTimer, dtype: str, rivals: Sequence[Racer] = ()) -> dict[str, Any]:
    """TFLOP/s of `product_shape` by the fastest of all kernels and tiles that support it, in rounds with `rivals`.

    Candidates run once each; the four fastest are raced.
    """
    shape, element = product_shape(timer), ELEMENTS[dtype]
    layer = Layer(shape, shape.in_channels, has_residual=False)
    gpu = Processor(timer.gpu.name, timer.gpu.capability, timer.gpu.multiprocessors)
    found = choices.candidates(layer, element, gpu)
    with _buffers(timer, shape, element, found) as place:
        calls = timer.bind_each({choice: place(choice) for choice in found})
        once, left = timer.sift(calls)
        best = sorted(left, key=lambda choice: once[choice])[: 1 if timer.emulated else BEST]
        ours = [timer.replayed(str(choice), calls[choice]) for choice in best]
        times = timer.race([*ours, *rivals])
    flops = 2 * shape.M * shape.K * shape.out_channels
    return {"unit": "TFLOP/s", "flops": flops, "times": times, "rates": _rates(times, flops), "tried": len(found)}


@contextlib.contextmanager
def _buffers(
    timer: GpuTimer, shape: ConvShape, element: Element, found: Sequence[Choice]
) -> Iterator[Callable[[Choice], list[Launch]]]:
    """A function that binds a choice to memory: random x and weights (zeros use less power), y, a workspace."""
    kept: dict[str, Buffer] = {}
    inputs = shape.images * shape.height * shape.width * shape.in_channels
    for name, count in (("x", inputs), ("weight", shape.out_channels * shape.K)):
        kept[name] = random_numbers(timer.gpu, timer.stream, count, element)
    kept["bias"] = timer.gpu.allocate(4 * shape.out_channels, "a bias")
    kept["y"] = timer.gpu.allocate(element.item_bytes * shape.M * shape.out_channels, "a product")

    sizes = (choice.module.workspace_bytes(shape, element, choice.tile) for choice in found)
    kept["workspace"] = timer.gpu.allocate(max(sizes), "a workspace")

    def place(choice: Choice) -> list[Launch]:
        addresses = {name: buffer.address for name, buffer in kept.items()}
        launches: list[Launch] = choice.module.launches(shape, element, choice.tile, residual=0, **addresses)
        return launches

    yield place
    timer.stream.synchronize()


def _rates(times: Mapping[str, Mapping[str, float]], work: int) -> dict[str, float]:
    """Bytes or FLOPs per second, in units of 1e12."""
    return {name: float(f"{work / time['ms'] / 1e9:.4g}") for name, time in times.items() if "ms" in time}
