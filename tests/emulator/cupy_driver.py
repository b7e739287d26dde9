"""The driver's library on an emulated machine: it takes apart the very bytes that it is handed, as a driver does.

Where each field lies is stated here once more, from the descriptions of CUlaunchConfig and CUlaunchAttribute in the
CUDA Driver API, and not taken from what makes them.
"""

from __future__ import annotations

import ctypes
import struct
from math import prod
from typing import Any

import numpy as np

from tests.emulator import emulator
from tests.emulator.cupy_failures import CudaError

# grid x y z, block x y z, shared bytes, (4 bytes), stream, attributes, number of attributes, (4 bytes)
CONFIG = struct.Struct("<7I4xQQI4x")
ATTRIBUTE_BYTES, VALUE_OFFSET = 72, 8
COOPERATIVE, CLUSTER, OVERLAPPING = 2, 4, 6
INVALID_VALUE, INVALID_HANDLE, TOO_LARGE, NOT_SUPPORTED = 1, 400, 720, 801
THREADS_OF_A_MULTIPROCESSOR = 2048


class Driver:
    """What `extended_launch.launcher` opens; `launched` are the attributes of each launch that was taken."""

    def __init__(self, machine: Any):
        self.machine = machine
        self.launched: list[dict[int, tuple[int, ...]]] = []

    def cuLaunchKernelEx(self, config: int, function: int, parameters: int, extra: int | None) -> int:
        """Returns CUDA's number of an error, or 0."""
        numbers = CONFIG.unpack(ctypes.string_at(config, CONFIG.size))
        grid, block, shared, stream_ptr, at, count = numbers[:3], numbers[3:6], *numbers[6:]
        attributes = dict(_attribute(at + ATTRIBUTE_BYTES * i) for i in range(count))
        kernel = self.machine.functions.get(function)
        stream = self.machine.streams.get((stream_ptr, self.machine.current_device()), lambda: None)()
        if kernel is None or stream is None:
            return INVALID_HANDLE
        if status := self._refusal(grid, block, shared, attributes):
            return status
        try:
            kernel(grid, block, _arguments(kernel, parameters), shared_mem=shared, stream=stream)
        except CudaError as error:
            return error.status
        self.launched.append(attributes)
        return 0

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, count: int, function: int, threads: int, shared: int) -> int:
        """As if a kernel took no registers."""
        ctypes.c_int.from_address(count).value = self._resident(threads, shared)
        return 0 if function in self.machine.functions else INVALID_HANDLE

    def _resident(self, threads: int, shared: int) -> int:
        by_shared = (227 << 10) // max(1, shared)
        return min(THREADS_OF_A_MULTIPROCESSOR // threads, by_shared)

    def _refusal(self, grid: tuple[int, ...], block: tuple[int, ...], shared: int, attributes: dict) -> int:
        if set(attributes) - {COOPERATIVE, CLUSTER, OVERLAPPING}:
            return INVALID_VALUE
        if self.machine.capability < 90 and attributes.keys() & {CLUSTER, OVERLAPPING}:
            return NOT_SUPPORTED
        cluster = attributes.get(CLUSTER, (1, 1, 1))
        if not all(one and blocks % one == 0 for one, blocks in zip(cluster, grid, strict=True)) or prod(cluster) > 8:
            return INVALID_VALUE
        room = self._resident(prod(block), shared) * self.machine.multiprocessors
        return TOO_LARGE if COOPERATIVE in attributes and prod(grid) > room else 0


def _attribute(address: int) -> tuple[int, tuple[int, ...]]:
    """(its identifier, its numbers)"""
    identifier = ctypes.c_uint.from_address(address).value
    size = 12 if identifier == CLUSTER else 4
    return identifier, struct.unpack(f"<{size // 4}I", ctypes.string_at(address + VALUE_OFFSET, size))


def _arguments(kernel: Any, parameters: int) -> tuple[Any, ...]:
    """What the kernel takes, copied from where `parameters` says that it lies."""
    dtypes = emulator.parameters(kernel.source, kernel.name, kernel.machine.architecture)
    addresses = (ctypes.c_void_p * len(dtypes)).from_address(parameters)
    taken = (ctypes.string_at(address, dtype.itemsize) for address, dtype in zip(addresses, dtypes, strict=True))
    found = [np.frombuffer(part, dtype) for part, dtype in zip(taken, dtypes, strict=True)]
    return tuple(one if one.dtype.kind == "V" else one[0] for one in found)
