"""Executable: a network made ready for one GPU. `executable(x)` takes images and gives what the network was asked for.

Compile, then run. The first call for an image shape and a number of images compiles a Program (`compiler`) and captures
it as a CUDA graph; later ones look it up (`runtime.programs`). A call goes in chunks of at most MOST_IMAGES: images to
the GPU, one replayed graph for the whole network, results back. Calls of several threads wait for each other, for they
share the arena; executables do not, each has its own stream.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from npresnet.cuda.compiler.layout import Layout
from npresnet.cuda.compiler.reduction import Reduced, keeping_all, segmentations
from npresnet.cuda.elements import Element
from npresnet.cuda.runtime.failures import host_memory_errors
from npresnet.cuda.runtime.gpu import Gpu
from npresnet.cuda.runtime.images import Images
from npresnet.cuda.runtime.programs import Captured, Programs
from npresnet.cuda.runtime.stopwatch import Stopwatch
from npresnet.cuda.runtime.weights import Weights
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Network
from npresnet.plan import Step
from npresnet.plan.shapes import Shape

MOST_IMAGES = 256  # more at once make no kernel faster


def compile(
    network: Network, gpu: Gpu, element: Element, weights: Weights | None = None, *, keeps_images: bool = False
) -> Executable:
    """Make `network` (best after `passes.optimize`) ready for a GPU.

    weights  what was uploaded for other parts of the same network, to be shared
    keeps_images  a run leaves the images where they lie, so that the steps can be run on them again and again, to be
             timed; else later values take their place, which costs less memory

    Raises ArchitectureError for an operation or activation that this backend does not have.
    """
    shared = Weights(gpu) if weights is None else weights
    return Executable(segmentations(network), gpu, element, shared, keeps_images=keeps_images)


class Executable:
    """A network on a GPU. May be called from several threads; `close()` gives its memory back.

    network  as it runs where nothing is fused into segments: a view, such as flatten, has a value but no step. What
             runs for images of one shape and number is `layout(...).network`
    """

    def __init__(
        self, ways: Sequence[Reduced], gpu: Gpu, element: Element, weights: Weights, *, keeps_images: bool = False
    ):
        self.network = ways[0].network
        self.gpu = gpu
        self.element = element
        self._ways = ways
        self._stream = gpu.stream()
        self._programs: Programs | None = Programs(ways, gpu, element, weights, self._stream, keeps_images=keeps_images)
        self._images = Images(gpu)
        self._lock = threading.Lock()

    def __call__(self, images: Any) -> dict[str, Any]:
        """Run the network on every image.

        images   (N, C, H, W)    NumPy, or on this GPU what `as_array` gives; any strides; other floats are cast
        returns  {asked name: (N, ...) float32}: NumPy's for NumPy's, else CuPy's; they belong to the caller

        Raises ShapeError where the images do not fit the network, DeviceError after `close()`, where memory is too
        small (smaller batches can be run all the same), and where the GPU fails.
        """
        if images.ndim not in (4, 5):
            raise ShapeError(f"expects images (N, C, H, W), or clips (N, C, T, H, W), got {images.shape}")
        with self._lock, host_memory_errors():
            programs, input_shape = self._open(), tuple(images.shape[1:])
            if not len(images):
                return self._new_outputs(images, programs.compile(input_shape, 1).result_shapes)
            outputs: dict[str, Any] = {}
            for first, chunk in chunks(images):
                captured = programs.get(input_shape, len(chunk))
                shapes = captured.program.result_shapes
                outputs = outputs or self._new_outputs(images, shapes)
                if outputs.keys() != shapes.keys():  # of `keeping_all`: segments may depend on the number
                    most = f"at most {MOST_IMAGES} at once"
                    raise ShapeError(f"of {len(images)} images the last {len(chunk)} run by other steps; give {most}")
                try:
                    self._run(captured, chunk, outputs, first)
                except BaseException:
                    self.gpu.settle(self._stream)  # before the memory goes that it may still write to
                    raise
        return outputs

    def as_array(self, x: Any) -> Any:
        """What a call takes of x: see `Gpu.as_array`."""
        return self.gpu.as_array(x)

    def layout(self, input_shape: Shape, images: int = 1) -> Layout:
        """Where the values of `images` images of (C, H, W) lie. Raises ShapeError where they do not fit."""
        return self._open().compile(tuple(input_shape), images).layout

    def steps(self, input_shape: Shape, images: int = 1) -> tuple[Step, ...]:
        """The launches for `images` images of (C, H, W), bound to this executable's arena, to print and time.

        Beside one step for each node but views there are "(images in)", first, unless a kernel reads the images as they
        come, and "<node> (results out)". No call may run at the same time as they do. After a run other values may lie
        where the images did: see `compile`.
        """
        with self._lock:
            return self._open().get(tuple(input_shape), images).steps

    def stopwatch(self, images: Any) -> Stopwatch:
        """Times the steps for these images (N, C, H, W), by the GPU's own clock."""
        return Stopwatch(self.steps, self.time_steps, [chunk for _, chunk in chunks(images)])

    def time_steps(self, images: Any) -> list[float]:
        """Milliseconds of each step for at most MOST_IMAGES images, run once in their order.

        The whole network runs once before them, so that the GPU is at work while the launches of the first steps are
        put on the stream. A step that is shorter than its launch takes on the host, some microseconds, measures longer.
        """
        with self._lock:
            captured = self._open().get(tuple(images.shape[1:]), len(images))
            try:
                with self.gpu.active():
                    self._images.bring(images, captured.images_address, self._stream)
                    captured.graph.launch(self._stream)
                    return self.gpu.time_each_ms(captured.calls, self._stream)
            except BaseException:
                self.gpu.settle(self._stream)
                raise

    def keeping_all(self) -> Executable:
        """The same network with the result of every step among its outputs, by the step's name; weights are shared.

        Its calls raise ShapeError for more than MOST_IMAGES images if not all of them run by the same steps.
        """
        ways = [keeping_all(reduced) for reduced in self._ways]
        return Executable(ways, self.gpu, self.element, self._open().weights)

    def close(self) -> None:
        """Release graphs and memory, once a call that still runs has ended. Later calls raise DeviceError."""
        with self._lock:
            self._programs = None

    def _open(self) -> Programs:
        if self._programs is None:
            raise DeviceError("this model has been closed; load it again to use it")
        return self._programs

    def _new_outputs(self, images: Any, shapes: Mapping[str, Shape]) -> dict[str, Any]:
        """Arrays for the results of all images, where the images are; shapes of one image's, by asked name."""
        new = self.gpu.new_array if self.gpu.is_array(images) else partial(np.empty, dtype=np.float32)
        return {asked: new((len(images), *shape)) for asked, shape in shapes.items()}

    def _run(self, captured: Captured, images: Any, outputs: Mapping[str, Any], first: int) -> None:
        """One chunk, whose results go to outputs[...][first : first + len(images)]."""
        with self.gpu.active():
            self._images.bring(images, captured.images_address, self._stream)
            captured.graph.launch(self._stream)
            for asked in outputs:
                part, address = outputs[asked][first : first + len(images)], captured.result_address(asked)
                if isinstance(part, np.ndarray):
                    self.gpu.download(part, address, self._stream)
                else:
                    self.gpu.copy(part.data.ptr, address, part.nbytes, self._stream)
            self._stream.synchronize()


def chunks(images: Any) -> Iterator[tuple[int, Any]]:
    """(number of the first image, at most MOST_IMAGES images), in order."""
    for first in range(0, len(images), MOST_IMAGES):
        yield first, images[first : first + MOST_IMAGES]
