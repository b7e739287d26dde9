"""An emulated machine: its GPUs, what it says of them, and each thread's current device and stream."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any

from tests.emulator.cupy_failures import Failures
from tests.emulator.cupy_memory import EmulatedGpu, Freed


class Local(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.streams: list[Any] = []  # of `with stream`
        self.current: dict[int, Any] = {}  # device -> stream


class Machine:
    """One emulated machine; `active` is the one that was made last.

    capability      75, 80, 90, ... of its GPUs; multiprocessors: how many they say they have
    driver          the CUDA that the driver says it supports, 12040; 0: there is none
    has_nvrtc       False: the compiler is not installed
    kernels         names of those that have run
    pinned_gone     host memory that was freed
    failures        calls of CUDA that are to go wrong
    functions       the driver's handle -> kernel
    """

    active: Machine
    numbers = itertools.count()

    def __init__(
        self,
        *,
        capability: int = 90,
        count: int = 1,
        memory_bytes: int = 1 << 30,
        multiprocessors: int = 132,
        driver: int = 12090,
        version: int = 12090,
        name: str = "Emulated GPU",
        has_nvrtc: bool = True,
    ):
        self.capability, self.multiprocessors, self.name = capability, multiprocessors, name
        self.driver, self.version, self.has_nvrtc = driver, version, has_nvrtc
        self.gpus = [EmulatedGpu(index, memory_bytes) for index in range(count)]
        self.pinned_gone = Freed()
        self.local = Local()
        self.failures = Failures()
        self.functions: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.streams: dict[tuple[int, int], weakref.ref[Any]] = {}
        self.kernels: list[str] = []
        self.nulls: list[Any] = []  # each GPU's default stream
        Machine.active = self

    @property
    def architecture(self) -> int:
        """What the emulator compiles for: it knows 75, 80 and 90."""
        return 75 if self.capability < 80 else 90 if self.capability == 90 else 80

    def handle(self, kernel: Any) -> int:
        """What the driver calls a kernel that was loaded."""
        number = 0x5000 + 16 * next(self.numbers)
        self.functions[number] = kernel
        return number

    def current_device(self) -> int:
        return self.local.device

    def current_stream(self) -> Any:
        return self.local.current.get(self.current_device()) or self.nulls[self.current_device()]

    def enter_stream(self, stream: Any) -> None:
        """As `with stream` does."""
        self.local.streams.append(stream)
        self.local.current[stream.device_id] = stream

    def leave_stream(self) -> None:
        """To the `with` around it, or the default stream, as CuPy does: what was put to `use` is forgotten."""
        device = self.local.streams.pop().device_id
        around = [stream for stream in self.local.streams if stream.device_id == device]
        self.local.current[device] = around[-1] if around else self.nulls[device]


class Device:
    def __init__(self, index: int = 0):
        machine = Machine.active
        self.id, self._machine = index, machine
        self._before: list[int] = []  # the object's, not the thread's, as in CuPy

    def __enter__(self) -> Device:
        self._before.append(self._machine.local.device)
        self._machine.local.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        self._machine.local.device = self._before.pop()

    @property
    def mem_info(self) -> tuple[int, int]:
        gpu = self._machine.gpus[self.id]
        return gpu.memory_bytes - gpu.used, gpu.memory_bytes
