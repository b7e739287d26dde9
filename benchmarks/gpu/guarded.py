"""One layer on the GPU whose every buffer lies between zones that are checked: whole numbers, any candidate's kernels.

Small whole numbers make every sum exact in float32 in any order, so that all kernels must agree in every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu.bench import Bench
from npresnet import ops
from npresnet.bench.tune_gpu import packed
from npresnet.cuda import ELEMENTS, Element
from npresnet.cuda.compiler.choices import Choice, Layer
from npresnet.cuda.elements import restore, store
from npresnet.cuda.launch import Launch
from npresnet.errors import DeviceError
from npresnet.network import Array

ZONE_BYTES = 4096  # on either side; keeps the alignment that the GPU's memory has
POISON = 0xFF  # NaN in every float
MOST = 3  # of the numbers' magnitude


class Guarded:
    """A buffer on the GPU with a zone of POISON on either side."""

    def __init__(self, bench: Bench, content: Array):
        self._gpu, self._stream = bench.gpu, bench.stream
        self._content = np.ascontiguousarray(content).view(np.uint8).reshape(-1)
        size_bytes = self._content.size + 2 * ZONE_BYTES
        self._buffer = self._gpu.allocate(size_bytes, "a guarded buffer: this")
        self.address = self._buffer.address + ZONE_BYTES
        self.reset()

    @classmethod
    def poisoned(cls, bench: Bench, size_bytes: int) -> Guarded:
        """Nothing but POISON."""
        return cls(bench, np.full(size_bytes, POISON, np.uint8))

    def reset(self) -> None:
        """The content and the zones as they were at first."""
        zone = np.full(ZONE_BYTES, POISON, np.uint8)
        whole = np.concatenate([zone, self._content, zone])
        with self._gpu.active():
            self._gpu.upload(self._buffer.address, whole, self._stream)
            self._stream.synchronize()

    def read(self) -> tuple[Array, str]:
        """(the bytes between the zones, "" or what happened to the zones)."""
        whole = np.empty(self._buffer.size_bytes, np.uint8)
        with self._gpu.active():
            self._gpu.download(whole, self._buffer.address, self._stream)
            self._stream.synchronize()
        zones = np.concatenate([whole[:ZONE_BYTES], whole[-ZONE_BYTES:]])
        written = int((zones != POISON).sum())
        return whole[ZONE_BYTES:-ZONE_BYTES], f"{written} bytes beside it were written" if written else ""

    def fault(self) -> str:
        """ "" where a kernel that only reads it has left it alone."""
        content, beside = self.read()
        return beside or ("it was written to" if (content != self._content).any() else "")


class WholeNumbers:
    """A layer of small whole numbers on the GPU; they follow from its shape."""

    def __init__(self, bench: Bench, layer: Layer, element: Element):
        self._bench, self._layer, self._element = bench, layer, element
        shape, rng = layer.shape, np.random.default_rng(layer.shape.K)
        self._x = _integers(rng, shape.images, shape.height, shape.width, shape.in_channels)
        self.weight = _integers(rng, shape.out_channels, shape.in_channels // shape.groups, *shape.window.kernel_size)
        self._bias = _integers(rng, shape.out_channels)
        self._y_shape = (shape.images, *shape.out_size, shape.out_channels)
        self._residual = _integers(rng, *self._y_shape) if layer.has_residual else None
        stored = np.pad(self._x, (*[(0, 0)] * 3, (0, layer.padded - shape.in_channels)))
        self._inputs = {
            "x": Guarded(bench, store(stored, element)),
            "bias": Guarded(bench, self._bias.astype(np.float32)),
        }
        if self._residual is not None:
            self._inputs["residual"] = Guarded(bench, store(self._residual, element))
        self._y = Guarded.poisoned(bench, int(np.prod(self._y_shape)) * element.item_bytes)
        self._packed: dict[tuple[str, int], Guarded] = {}

    def exact(self) -> tuple[list[int], Array]:
        """(the first and last image, their results in float64, rounded once to what is stored: (n, OH, OW, O))."""
        shape, window = self._layer.shape, self._layer.shape.window
        picked = sorted({0, shape.images - 1})
        how: Any = {"stride": window.stride, "padding": window.padding, "dilation": window.dilation}
        x = self._x[picked].transpose(0, 3, 1, 2)
        y = ops.conv2d(x, self.weight, self._bias, groups=shape.groups, **how).transpose(0, 2, 3, 1)
        y = y if self._residual is None else y + self._residual[picked]
        # a tf32 network keeps sums as whole float32 numbers
        kept = ELEMENTS["float32"] if self._element.name == "tf32" else self._element
        return picked, restore(store(np.maximum(y, 0) if shape.activation else y, kept), self._element)

    def prepare(self, choices: list[Choice]) -> None:
        """Compile what they need, side by side."""
        self._bench.gpu.bind([launch for choice in choices for launch in self._launches(choice, self._scratch(choice))])

    def run(self, choice: Choice) -> tuple[Array, list[str]]:
        """(y as float32, what the candidate did that no kernel may). y and the workspace are NaN before.

        Raises DeviceError, which names the candidate.
        """
        gpu, stream, scratch = self._bench.gpu, self._bench.stream, self._scratch(choice)
        self._y.reset()
        try:
            calls = gpu.bind(self._launches(choice, scratch))
            with gpu.active():
                gpu.run(calls, stream)
                stream.synchronize()
        except DeviceError as error:
            raise DeviceError(f"{choice}: {error}") from error
        content, beside = self._y.read()
        weight = self._packed[choice.launcher, choice.shape.in_channels]
        faults = {name: buffer.fault() for name, buffer in {**self._inputs, "weight": weight}.items()}
        faults |= {"y": beside, "workspace": scratch.read()[1]}
        y = restore(content.view(self._element.storage).reshape(self._y_shape), self._element)
        return y, [f"{name}: {fault}" for name, fault in faults.items() if fault]

    def _scratch(self, choice: Choice) -> Guarded:
        size_bytes = choice.module.workspace_bytes(choice.shape, self._element, choice.tile)
        return Guarded.poisoned(self._bench, size_bytes)

    def _launches(self, choice: Choice, scratch: Guarded) -> list[Launch]:
        key = choice.launcher, choice.shape.in_channels
        if key not in self._packed:
            self._packed[key] = Guarded(self._bench, packed(choice, self.weight, self._element))
        addresses = {"residual": 0} | {name: buffer.address for name, buffer in self._inputs.items()}
        addresses |= {"weight": self._packed[key].address, "y": self._y.address, "workspace": scratch.address}
        launches: list[Launch] = choice.module.launches(choice.shape, self._element, choice.tile, **addresses)
        return launches


def _integers(rng: np.random.Generator, *size: int) -> Array:
    return rng.integers(-MOST, MOST + 1, size).astype(np.float64)
