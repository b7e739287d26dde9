"""The memory of emulated GPUs: poisoned with NaN, and between zones that nobody may touch.

Addresses that copies and kernels are given must lie in memory that is alive. What was put on a stream before its memory
was freed and runs after reads NaN, and what it writes is a fault.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np

from tests.emulator.cupy_failures import CUDARuntimeError

ZONE_BYTES = 1024
POISON = 0xFF
MOST_FREED_BYTES = 1 << 26  # that are kept


class OutOfMemoryError(MemoryError):
    pass


class Memory:
    """A block of a GPU's memory between its zones; freed with its last reference."""

    def __init__(self, gpu: EmulatedGpu, size: int):
        taken = -(-size // 512) * 512  # as CuPy's pool hands it out
        if gpu.used + taken > gpu.memory_bytes:
            raise OutOfMemoryError(f"Out of memory allocating {taken:,} bytes")
        self.whole = np.full(size + 2 * ZONE_BYTES + 512, POISON, np.uint8)
        start = ZONE_BYTES + -(self.whole.ctypes.data + ZONE_BYTES) % 512
        self.bytes = self.whole[start : start + size]
        self.gpu, self.ptr, self.size = gpu, self.bytes.ctypes.data, size
        gpu.used += taken
        gpu.most_used = max(gpu.most_used, gpu.used)
        gpu.live[self.ptr] = size
        weakref.finalize(self, gpu.freed, self.ptr, taken, self.whole, start, size)


class Freed:
    """Memory that nobody may use any more: the last blocks of it, poisoned."""

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._blocks: deque[np.ndarray] = deque()
        self._bytes = 0

    def add(self, block: np.ndarray) -> None:
        """A block of bytes that has been freed now."""
        block[...] = POISON
        self._blocks.append(block)
        self._bytes += block.size
        while self._bytes > MOST_FREED_BYTES:
            oldest = self._blocks.popleft()
            self._bytes -= oldest.size
            self._faults += _written(oldest)

    def written(self) -> list[str]:
        """What has been written to blocks after they were freed."""
        return self._faults + [fault for block in list(self._blocks) for fault in _written(block)]


def _written(block: np.ndarray) -> list[str]:
    wrong = int((block != POISON).sum())
    return [f"{wrong} of {block.size} bytes were written after they were freed"] if wrong else []


class EmulatedGpu:
    """What there is of one device."""

    def __init__(self, index: int, memory_bytes: int):
        self.index, self.memory_bytes = index, memory_bytes
        self.used = self.most_used = 0
        self.live: dict[int, int] = {}
        self.faults: list[str] = []
        self.gone = Freed()

    def freed(self, ptr: int, taken: int, whole: np.ndarray, start: int, size: int) -> None:
        self.used -= taken
        del self.live[ptr]
        if (whole[:start] != POISON).any() or (whole[start + size :] != POISON).any():
            self.faults.append(f"something was written beside {size} bytes of GPU memory")
        self.gone.add(whole)

    def require(self, address: int, size: int, what: str) -> None:
        """An address that somebody uses lies in live memory."""
        if not any(ptr <= address and address + size <= ptr + length for ptr, length in list(self.live.items())):
            raise CUDARuntimeError(700, f"cudaErrorIllegalAddress: {what} {address:#x} is not memory of this device")
