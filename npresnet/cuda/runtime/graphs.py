"""The plans of one executable that are ready to run: for each batch and image size a captured graph, the last few kept.

All of them use one arena, one after the other, as large as the largest needs: a batch and the smaller last one of a
folder cost no more memory than the batch alone. When a size needs a larger arena, the graphs of the others, which hold
the old addresses, are let go of and captured again when they are next used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.lowering import CompiledShape, Step, compile_shape, lower
from npresnet.cuda.elements import Element
from npresnet.cuda.runtime.gpu import Buffer, Gpu
from npresnet.cuda.runtime.weights import Weights
from npresnet.network import Network
from npresnet.plan.shapes import Shape

KEPT = 8  # batch and image sizes; a graph is small, the arena is shared


class Ready(NamedTuple):
    """A batch and image size, ready: put the images at `images_address`, launch `graph`, read the results.

    result_addresses, result_shapes  of the nodes that are asked for, float32; shapes of one image's
    """

    graph: Any
    images_address: int
    result_addresses: Mapping[str, int]
    result_shapes: Mapping[str, Shape]
    steps: tuple[Step, ...]


class Graphs:
    """Not for several threads at once: the arena is one."""

    def __init__(self, network: Network, gpu: Gpu, element: Element, weights: Weights, stream: Any):
        self._network = network
        self._gpu = gpu
        self._element = element
        self._weights = weights
        self._stream = stream
        self._arena: Buffer | None = None
        self._kept: OrderedDict[tuple[int, Shape], Ready] = OrderedDict()

    def get(self, images: int, input_shape: Shape) -> Ready:
        """The plan for this many images of (C, H, W), made now unless it is there.

        Raises ShapeError where the image does not fit the network, DeviceError where memory is too small: smaller ones
        can be run all the same.
        """
        key = (images, input_shape)
        ready = self._kept.get(key)
        if ready is None:
            ready = self._make(images, input_shape)
            self._kept[key] = ready
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return ready

    def scheme(self, images: int, input_shape: Shape) -> CompiledShape:
        """What would be decided, without memory."""
        gpu = Processor(self._gpu.name, self._gpu.capability, self._gpu.multiprocessors)
        return compile_shape(self._network, input_shape, images, self._element, gpu)

    def _make(self, images: int, input_shape: Shape) -> Ready:
        scheme = self.scheme(images, input_shape)
        self._reserve(scheme.arena.size_bytes, f"a batch of {images} images of {input_shape} (C, H, W)")
        assert self._arena is not None
        base = self._arena.address
        steps = lower(scheme, base, self._weights)
        calls = self._gpu.bind([launch for step in steps for launch in step.launches])
        with self._gpu.active():
            once = {id(call.kernel): call for call in calls}
            self._gpu.run(list(once.values()), self._stream)  # for a kernel's first launch may load it
            self._stream.synchronize()
            graph = self._gpu.capture(calls, self._stream)
        offsets = scheme.arena.output_offsets
        results = {asked: base + offset for asked, offset in offsets.items()}
        return Ready(graph, base + scheme.arena.images_offset, results, scheme.shapes, tuple(steps))

    def _reserve(self, size_bytes: int, purpose: str) -> None:
        """Make the arena large enough; the old one goes first, for there may not be room for both."""
        if self._arena is not None and self._arena.size_bytes >= size_bytes:
            return
        self._kept.clear()
        self._arena = None
        self._arena = self._gpu.allocate(size_bytes, purpose)
