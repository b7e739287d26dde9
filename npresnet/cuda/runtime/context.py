"""A GPU's context: CUDA's errors as DeviceErrors, and the end of all work after a sticky one."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from npresnet.cuda.runtime import failures
from npresnet.cuda.runtime.gpus import cuda_errors
from npresnet.errors import DeviceError

Kept = TypeVar("Kept")


class Context:
    """Where a GPU's memory, streams and kernels live.

    device  "cuda:0 (NVIDIA H200)", for people
    failed  None, or what the GPU has failed with: from then on nothing runs in this process

    What belongs to a failed context is never destroyed. CuPy's destructors would call CUDA and print a traceback each,
    also at the interpreter's end; the memory goes with the process.
    """

    def __init__(self, cupy: Any, index: int, device: str):
        self._cupy = cupy
        self._index = index
        self.device = device
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()  # of `_alive`; a destructor may come in between, in the same thread
        self.failed: str | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this GPU the thread's current one. Raises DeviceError for CUDA's errors; at once if it has failed."""
        self.require_working()
        cuda = self._cupy.cuda
        try:
            with cuda.Device(self._index):  # a new one each time: it remembers the thread's last device
                yield
        except cuda.memory.OutOfMemoryError as error:
            raise DeviceError(self._no_memory(error)) from None
        except cuda_errors(self._cupy) as error:
            raise DeviceError(self._told(error)) from error

    def require_working(self) -> None:
        """Raises DeviceError if the GPU has failed."""
        if self.failed is not None:
            raise DeviceError(self._at_end())

    def keep(self, thing: Kept) -> Kept:
        """`thing`, such as a stream or a module, belongs to this context."""
        with self._lock:
            self._alive.add(thing)
        return thing

    def _told(self, error: Exception) -> str:
        """What an error of CUDA's means; after a sticky one this context has failed."""
        status = failures.status_of(error)
        if status == failures.OUT_OF_MEMORY:
            return self._no_memory(error)
        if status not in failures.STICKY:
            return f"{self.device} fails: {failures.explained(error)}"
        self.failed = str(error)
        pools = self._cupy.get_default_memory_pool(), self._cupy.get_default_pinned_memory_pool()
        with self._lock:
            for thing in (*self._alive, *pools):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
        return self._at_end()

    def _at_end(self) -> str:
        return f"{self.device} has failed ({self.failed}); no further work is possible in this process: restart it"

    def _no_memory(self, error: Exception) -> str:
        return (
            f"{self.device} has no memory left: {error}. The model can still be used: give fewer images at a time, or "
            "smaller ones"
        )
