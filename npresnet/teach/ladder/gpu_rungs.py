"""The ladder's upper half: the same layer by each kernel of `kernels/conv2d` that takes it, on a GPU.

float32 as far as ordinary threads go, float16 on tensor cores: there the layer's numbers are rounded to half first, and
the result once more at the end, which the proof allows for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from npresnet.bench.gpu_ceilings import time_copy, time_product
from npresnet.bench.gpu_timer import GpuTimer
from npresnet.cuda import ELEMENTS, Element, Gpu
from npresnet.cuda.compiler.choices import Layer, Processor, candidates_of, load
from npresnet.cuda.elements import restore, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers.conv2d import Conv2dLowering
from npresnet.cuda.runtime.tickets import new_tickets
from npresnet.network import Array
from npresnet.system.kernel_root import kernel_root
from npresnet.teach.ladder.layer import RealLayer
from npresnet.teach.ladder.rungs import Ceiling, Rung

KERNELS = (  # launcher, element, idea; in the order of kernels/README.md
    ("conv2d_direct", "float32", "one thread an output"),
    ("conv2d_im2col", "float32", "columns in memory, then a tiled product"),
    ("conv2d_tiled", "float32", "shared memory, no matrix stored"),
    ("conv2d_registers", "float32", "8x8 outputs a thread in registers"),
    ("conv2d_mma", "float16", "tensor cores, a ring of asynchronous copies"),
    ("conv2d_wgmma", "float16", "Hopper: products straight from shared memory"),
    ("conv2d_wgmma_tma", "float16", "and a copy engine that fetches tiles"),
)
REPEATS = 20


def gpu_rungs(gpu: Gpu, layer: RealLayer, limits: Mapping[str, Ceiling]) -> list[Rung]:
    """Every kernel that takes this layer on this GPU, with its likely best tile; `limits` are those of `ceilings`."""
    found = []
    for name, dtype, idea in KERNELS:
        module, element = load(name), ELEMENTS[dtype]
        shape = _shape_of(layer)
        if module.supports(shape, element, gpu.capability):
            told = f"{idea}, {dtype}" if dtype != "float32" else idea
            run = partial(_Run, gpu, name, element)
            lines = _code_lines(module.FILE)
            rounding = 0.0 if dtype == "float32" else 2.0**-11
            rung = Rung(name.removeprefix("conv2d_"), told, run, lines, gpu.name)
            rung = rung._replace(rounding=rounding, rounded=partial(_rounded, element))
            found.append(rung._replace(clock=_clock(run), ceiling=limits[dtype], code=_kernel_file(module.FILE)))
    return found


def ceilings(gpu: Gpu, *, emulated: bool = False) -> dict[str, Ceiling]:
    """{dtype: the best product and copy that this GPU was seen to do}, measured now."""
    with gpu.active():
        timer = GpuTimer(gpu, gpu.stream(), emulated=emulated, quick=True)
    copied = _giga(time_copy(timer))
    return {dtype: Ceiling(_giga(time_product(timer, dtype)), copied) for dtype in ("float32", "float16")}


def _giga(found: Mapping[str, Any]) -> float:
    """The best rate in units of 1e9 instead of 1e12; 0 where no time was taken."""
    return max(found["rates"].values(), default=0.0) * 1e3


class _Run:
    """One layer by one kernel: its memory on the GPU, its calls. An activation other than ReLU follows on the host."""

    def __init__(self, gpu: Gpu, launcher: str, element: Element, layer: RealLayer):
        module, shape, has_residual = load(launcher), _shape_of(layer), layer.residual is not None
        self.gpu, self.element, self.layer = gpu, element, layer
        self.stream = gpu.stream()
        processor = Processor(gpu.name, gpu.capability, gpu.multiprocessors)
        tile = candidates_of(launcher, Layer(shape, shape.in_channels, has_residual), element, processor)[0].tile
        place = {
            "x": self._put(store(_channels_last(layer.x), element)),
            "weight": self._put(module.pack(layer.weight, element)),
            "bias": self._put(layer.bias),
            "residual": None if layer.residual is None else self._put(store(_channels_last(layer.residual), element)),
        }
        images, channels, height, width = layer.out_shape
        self.out = np.empty((images, height, width, channels), element.storage)
        place["y"] = gpu.allocate(self.out.nbytes, "the layer's output")
        place["workspace"] = gpu.allocate(module.workspace_bytes(shape, element, tile), "a workspace")
        place["tickets"] = new_tickets(gpu, self.stream)
        self.buffers = place
        addresses = {name: 0 if buffer is None else buffer.address for name, buffer in place.items()}
        self.calls = gpu.bind(module.launches(shape, element, tile, **addresses))

    def __call__(self) -> Array:
        with self.gpu.active():
            self.gpu.run(self.calls, self.stream)
            self.gpu.download(self.out, self.buffers["y"].address, self.stream)
            self.stream.synchronize()
        out: Array = restore(self.out, self.element).transpose(0, 3, 1, 2)
        return out if self.layer.node.activation in Conv2dLowering.fuses else self.layer.activated(out)

    def time_ms(self) -> float:
        return GpuTimer(self.gpu, self.stream).replayed("rung", self.calls).time_ms(REPEATS)

    def _put(self, array: Array) -> Any:
        array = np.ascontiguousarray(array)
        buffer = self.gpu.allocate(array.nbytes, "the layer's numbers")
        with self.gpu.active():
            self.gpu.upload(buffer.address, array, self.stream)
            self.stream.synchronize()
        return buffer


def _clock(run: Callable[[RealLayer], _Run]) -> Callable[[RealLayer], float]:
    return lambda layer: run(layer).time_ms()


def _rounded(element: Element, array: Array) -> Array:
    """What the element can hold of a float64 result."""
    return restore(store(array.astype(np.float32), element), element)


def _shape_of(layer: RealLayer) -> ConvShape:
    images, channels, height, width = layer.x.shape
    node = layer.node
    return ConvShape(
        images, height, width, channels, len(layer.weight), layer.window, node.groups, Conv2dLowering().fused(node).code
    )


def _channels_last(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _kernel_file(file: str) -> Callable[[RealLayer], str]:
    return lambda layer: (kernel_root() / file).read_text(encoding="utf-8")


def _code_lines(file: str) -> int:
    """Lines of the kernel's own file that hold code, what it includes left out."""
    lines = (kernel_root() / file).read_text(encoding="utf-8").splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith("//") for line in lines)
