"""Arrays on an emulated GPU: views of its memory that NumPy does not get at."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tests.emulator.cupy_machine import Machine
from tests.emulator.cupy_memory import Memory


class Flags:
    def __init__(self, view: np.ndarray):
        self.c_contiguous = view.flags.c_contiguous


class NdArray:
    """cupy.ndarray: a view of GPU memory that NumPy does not get at."""

    def __init__(self, view: np.ndarray, memory: Memory):
        self._view, self._memory = view, memory
        self.device = types.SimpleNamespace(id=memory.gpu.index)
        self.data = types.SimpleNamespace(ptr=view.ctypes.data, mem=memory)
        self.shape, self.dtype, self.strides, self.ndim = view.shape, view.dtype, view.strides, view.ndim
        self.size, self.nbytes, self.flags = view.size, view.nbytes, Flags(view)

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: Any) -> NdArray:
        return NdArray(self._view[index], self._memory)

    def transpose(self, *axes: int) -> NdArray:
        return NdArray(self._view.transpose(*axes), self._memory)

    def get(self) -> np.ndarray:
        Machine.active.current_stream().synchronize()
        return self._view.copy()

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id

    def __dlpack__(self, stream: int | None = None) -> NdArray:
        return self
