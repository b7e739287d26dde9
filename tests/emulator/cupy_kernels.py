"""Kernels, run by the emulator: they take what CuPy's take, and refuse what it refuses.

A kernel has to have run once before it is captured, and to be allowed its dynamic shared memory.
"""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.cuda.launch import Launch, Source
from tests.emulator import emulator
from tests.emulator.cupy_arrays import NdArray
from tests.emulator.cupy_failures import CUDADriverError
from tests.emulator.cupy_machine import Machine
from tests.emulator.cupy_streams import Stream

USUAL_SHARED = 48 << 10
SHARED_LIMIT = {75: 64 << 10, 80: 163 << 10, 90: 227 << 10, 100: 227 << 10}  # others: 99 KiB


class RawKernel:
    def __init__(self, machine: Machine, module: dict[str, Any], name: str):
        self.machine, self.name = machine, name
        self.source = Source(module["file"], tuple((name, value) for name, value in module["defines"]))
        self._shared, self._launched = USUAL_SHARED, False
        self.kernel = types.SimpleNamespace(ptr=machine.handle(self))  # Function, the driver's handle

    def __del__(self) -> None:
        self.machine.failures.destroyed("a kernel's module")

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > SHARED_LIMIT.get(self.machine.capability, 99 << 10):
            raise CUDADriverError(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")
        self._shared = size

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0, stream: Stream | None = None) -> None:
        if not (isinstance(grid, tuple) and isinstance(block, tuple)):
            raise TypeError("Argument 'grid' has incorrect type (expected tuple)")
        self.machine.failures.meet("launch")
        stream = stream or self.machine.current_stream()
        if shared_mem > self._shared:
            raise CUDADriverError(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")
        if stream.recorded is not None and not self._launched:
            raise CUDADriverError(900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: a kernel is loaded by its first launch")
        values = tuple(_argument(value) for value in args)
        gpu = self.machine.gpus[self.machine.current_device()]
        sizes = [tuple(max(1, int(n)) for n in (*dims, 1, 1)[:3]) for dims in (grid, block)]
        launch = Launch(self.source, self.name, sizes[0], sizes[1], values, int(shared_mem))  # type: ignore[arg-type]
        self._launched = True

        def run() -> None:
            for value in values:
                if isinstance(value, np.uint64) and value > 1 << 32:  # an address rather than a count
                    gpu.require(int(value), 1, f"{self.name}'s argument")
            emulator.run([launch], architecture=self.machine.architecture)
            self.machine.kernels.append(self.name)

        stream.put(run)


class RawModule:
    def __init__(self, *, code: str | None = None, path: str | None = None):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        self._path = path

    def get_function(self, name: str) -> RawKernel:
        assert self._path is not None
        module = json.loads(Path(self._path).read_text())
        machine = Machine.active
        machine.failures.meet("load module")
        if module["capability"] != machine.capability:
            raise CUDADriverError(209, "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution")
        return RawKernel(machine, module, name)


def _argument(value: Any) -> Any:
    """As CuPy makes a kernel's argument of it, copied as a launch does."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, NdArray):
        return np.uint64(value.data.ptr)
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter.")
        return value.copy()
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int) and not isinstance(value, np.integer):
        return np.int64(value)
    if isinstance(value, float) and not isinstance(value, np.floating):
        return np.float64(value)
    if isinstance(value, (np.bool_, np.number)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")
