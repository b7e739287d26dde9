"""Executable: a network made ready for one GPU. `executable(x)` takes images and gives what the network was asked for.

A call goes in chunks of at most MOST_IMAGES: images to the GPU, one replayed graph for the whole network, results back.
Calls of several threads wait for each other, for they share the arena; executables do not, each has its own stream.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from npresnet.cuda.compiler.lowering import CompiledShape, Step, check_operations
from npresnet.cuda.elements import Element
from npresnet.cuda.runtime.gpu import Gpu
from npresnet.cuda.runtime.graphs import Graphs, Ready
from npresnet.cuda.runtime.images import Images
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Network
from npresnet.plan.shapes import Shape

MOST_IMAGES = 256  # more at once make no kernel faster


def compile(network: Network, gpu: Gpu, element: Element, weights: Weights | None = None) -> Executable:
    """Make `network` (best after `passes.optimize`) ready for a GPU.

    weights  what was uploaded for other parts of the same network, to be shared

    Raises ArchitectureError for an operation that this backend does not have.
    """
    check_operations(network)
    return Executable(network, gpu, element, Weights(gpu) if weights is None else weights)


class Executable:
    """A network on a GPU. May be called from several threads; `close()` gives its memory back."""

    def __init__(self, network: Network, gpu: Gpu, element: Element, weights: Weights):
        self.network = network
        self.gpu = gpu
        self.element = element
        self._stream = gpu.stream()
        self._graphs: Graphs | None = Graphs(network, gpu, element, weights, self._stream)
        self._images = Images(gpu)
        self._lock = threading.Lock()

    def __call__(self, images: Any) -> dict[str, Any]:
        """Run the network on every image.

        images   (N, C, H, W)    NumPy, or on this GPU what `as_array` gives; any strides; other floats are cast
        returns  {asked name: (N, ...) float32}: NumPy's for NumPy's, else CuPy's; they belong to the caller

        Raises ShapeError where the images do not fit the network, DeviceError after `close()`, where memory is too
        small (smaller batches can be run all the same), and where the GPU fails.
        """
        if images.ndim != 4:
            raise ShapeError(f"expects images (N, C, H, W), got {images.shape}")
        with self._lock:
            graphs, input_shape = self._open(), tuple(images.shape[1:])
            if not len(images):
                return self._new_outputs(images, graphs.scheme(1, input_shape).shapes)
            outputs: dict[str, Any] = {}
            for first in range(0, len(images), MOST_IMAGES):
                chunk = images[first : first + MOST_IMAGES]
                ready = graphs.get(len(chunk), input_shape)
                outputs = outputs or self._new_outputs(images, ready.result_shapes)
                try:
                    self._run(ready, chunk, outputs, first)
                except BaseException:
                    self.gpu.settle(self._stream)  # before the memory goes that it may still write to
                    raise
        return outputs

    def as_array(self, x: Any) -> Any:
        """What a call takes of x: see `Gpu.as_array`."""
        return self.gpu.as_array(x)

    def scheme(self, images: int, input_shape: Shape) -> CompiledShape:
        """What is decided for a batch: kernels, tiles, places. Takes no memory."""
        return self._open().scheme(images, input_shape)

    def steps(self, images: int, input_shape: Shape) -> tuple[Step, ...]:
        """The batch's launches, bound to this executable's arena, to print and time. Others must not run meanwhile."""
        with self._lock:
            return self._open().get(images, input_shape).steps

    def close(self) -> None:
        """Let go of graphs and memory, once a call that still runs has ended. Later calls raise DeviceError."""
        with self._lock:
            self._graphs = None

    def _open(self) -> Graphs:
        if self._graphs is None:
            raise DeviceError("this model has been closed; load it again to use it")
        return self._graphs

    def _new_outputs(self, images: Any, shapes: Mapping[str, Shape]) -> dict[str, Any]:
        """Arrays for the results of all images, where the images are; shapes of one image's, by node."""
        new = self.gpu.new_array if self.gpu.is_array(images) else partial(np.empty, dtype=np.float32)
        return {asked: new((len(images), *shapes[name])) for asked, name in self.network.outputs.items()}

    def _run(self, ready: Ready, images: Any, outputs: Mapping[str, Any], first: int) -> None:
        """One chunk, whose results go to outputs[...][first : first + len(images)]."""
        with self.gpu.active():
            self._images.bring(images, ready.images_address, self._stream)
            ready.graph.launch(self._stream)
            for asked, name in self.network.outputs.items():
                part, address = outputs[asked][first : first + len(images)], ready.result_addresses[name]
                if isinstance(part, np.ndarray):
                    self.gpu.download(part, address, self._stream)
                else:
                    self.gpu.copy(part.data.ptr, address, part.nbytes, self._stream)
            self._stream.synchronize()
