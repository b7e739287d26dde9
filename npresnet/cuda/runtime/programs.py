"""The programs of one executable: compiled, captured as CUDA graphs, the last few kept.

All of them use one arena, one after the other, as large as the largest needs: a batch and the smaller last one of a
folder cost no more memory than the batch alone. When a program needs a larger arena, the others' graphs, which hold the
old addresses, are released and captured again when they are next used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.program import Program, compile_program
from npresnet.cuda.compiler.reduction import Reduced
from npresnet.cuda.elements import Element
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.gpu import Buffer, Call, Gpu
from npresnet.cuda.runtime.tickets import new_tickets
from npresnet.cuda.runtime.weights import Weights
from npresnet.plan import Step
from npresnet.plan.shapes import Shape

KEPT = 8  # programs; a graph is small, the arena is shared
POISON = 0xFF  # NaN in every float, so that a value which a kernel reads and nobody writes shows in the results


class Captured(NamedTuple):
    """A program on memory: put the images at `images_address`, launch `graph`, read the results.

    base   the arena's address
    calls  of each step, those that the graph replays
    """

    program: Program
    base: int
    steps: tuple[Step, ...]
    calls: Sequence[Sequence[Call]]
    graph: Any

    @property
    def images_address(self) -> int:
        """Of (N, C, H, W) float32, or of pixels (N, H, W, C) uint8: see `layout.pixels`."""
        return self.base + self.program.layout.images_offset

    def result_address(self, asked: str) -> int:
        """Of a float32 result, by the name by which it is asked for."""
        return self.base + self.program.layout.result_offsets[self.program.core.outputs[asked]]


class Programs:
    """Not for several threads at once: the arena is one.

    ways    segmentations of one network, among which each program has its own
    pixels  how they are normalised, where the images come as pixels; None: they come normalised
    keeps_images  a graph leaves the images as they were, so that it can be replayed on them again
    """

    def __init__(
        self,
        ways: Sequence[Reduced],
        gpu: Gpu,
        element: Element,
        weights: Weights,
        stream: Any,
        pixels: Normalisation | None = None,
        *,
        keeps_images: bool = False,
    ):
        self.weights = weights
        self._pixels, self._keeps_images = pixels, keeps_images
        self._ways = ways
        self._gpu = gpu
        self._element = element
        self._stream = stream
        self._arena: Buffer | None = None
        self._tickets: Buffer | None = None  # not in the arena, where each program would overwrite the other's
        self._kept: OrderedDict[tuple[Shape, int], Captured] = OrderedDict()

    def get(self, input_shape: Shape, images: int) -> Captured:
        """The program for this many images of (C, H, W), captured now unless it is there.

        Raises ShapeError where the image does not fit the network, DeviceError where memory is too small: smaller
        batches can be run all the same.
        """
        key = (input_shape, images)
        captured = self._kept.get(key)
        if captured is None:
            program = self.compile(input_shape, images)
            try:
                captured = self._capture(program)
            except BaseException:
                self._gpu.settle(self._stream)  # kernels that run already may write to the arena, which may be let go
                raise
            self._kept[key] = captured
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return captured

    def has(self, input_shape: Shape, images: int) -> bool:
        """Whether `get` would find it captured."""
        return (input_shape, images) in self._kept

    def compile(self, input_shape: Shape, images: int) -> Program:
        """The program, without memory."""
        gpu = Processor(self._gpu.name, self._gpu.capability, self._gpu.multiprocessors)
        how: Any = {"pixels": self._pixels, "keeps_images": self._keeps_images}
        return compile_program(self._ways, input_shape, images, self._element, gpu, **how)

    def _capture(self, program: Program) -> Captured:
        layout = program.layout
        self._reserve(program.size_bytes, f"a batch of {layout.images} images of {layout.input_shape} (C, H, W)")
        assert self._arena is not None
        if self._tickets is None:
            self._tickets = new_tickets(self._gpu, self._stream)
        base = self._arena.address
        steps = program.bind(base, self.weights, self._tickets.address)
        every = self._gpu.bind([launch for step in steps for launch in step.tiles])  # sources compile side by side
        rest = iter(every)
        calls = [list(islice(rest, len(step.tiles))) for step in steps]
        with self._gpu.active():
            once = {id(call.kernel): call for call in every}
            self._gpu.run(list(once.values()), self._stream)  # for a kernel's first launch may load it
            self._stream.synchronize()
            graph = self._gpu.capture(every, self._stream)
        return Captured(program, base, steps, calls, graph)

    def _reserve(self, size_bytes: int, purpose: str) -> None:
        """Make the arena large enough; the old one goes first, for there may not be room for both."""
        if self._arena is not None and self._arena.size_bytes >= size_bytes:
            return
        self._kept.clear()
        self._arena = None
        self._arena = self._gpu.allocate(size_bytes, purpose)
        with self._gpu.active():  # for the run before the capture reads what nobody has written
            self._gpu.fill(self._arena.address, POISON, size_bytes, self._stream)
