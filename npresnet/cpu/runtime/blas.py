"""NumPy's BLAS: which one, its core type, and the guard that limits it to one thread while our workers run.

BLAS threads belong to the whole process. Our workers run whole tiles, and two levels of threads would compete for the
CPUs; so BLAS is limited to one thread while at least one call runs, and its own number is restored after the last. The
guard is reference-counted, because two overlapping `threadpool_limits(1)` leave the process on one thread: the second
would record our 1 as the user's setting.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from npresnet.system.locks import Lock

Result = TypeVar("Result")


@lru_cache(maxsize=1)
def _controller() -> Any:
    """The controller, cached: finding the loaded libraries costs 0.3 ms, using the controller a few microseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _take_control() -> None:
    """Allow this thread, or the next, to set the number of threads.

    threadpoolctl 3.7 and later reserve OpenBLAS for the first thread that sets its number: until that thread releases
    it, settings by others are silently ignored. Calls may come from any thread; the guard's lock serialises them.
    """
    for library in _controller().lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


def hold_own_thread() -> None:
    """Limit BLAS in a new worker thread: under OpenMP the number of BLAS threads belongs to each thread, so the calling
    thread's guard does not apply to it."""
    _set_to_one(_settings(per_thread=True))


Setting = tuple[Any, int]  # one library, and its number of threads


def _settings(*, per_thread: bool) -> list[Setting]:
    """The libraries whose number of threads is set per thread (OpenMP's), or those where it is set per process."""
    return [
        (library, library.num_threads)
        for library in _controller().lib_controllers
        if (getattr(library, "threading_layer", None) == "openmp") == per_thread
    ]


def _set_to_one(settings: list[Setting]) -> None:
    for library, _ in settings:
        library.set_num_threads(1)


def _restore(settings: list[Setting]) -> None:
    for library, number in settings:
        library.set_num_threads(number)


class SingleThreadedBlas:
    """BLAS runs on one thread from the first call's `hold` to the last call's `release`, in any order of release.

    A call is identified by any unique object. Ctrl-C may interrupt either function: after an error the caller releases
    again; releasing twice is harmless.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pid = os.getpid()
        self._calls: dict[object, list[Setting]] = {}  # call -> its own thread's settings before
        self._shared: list[Setting] = []  # the process's settings before the first call

    def hold(self, call: object) -> None:
        """Limit BLAS to one thread, in the whole process and in this thread, until this call's `release`."""
        with self._lock.plain:
            if self._pid != os.getpid():  # a forked child: its parent's calls run elsewhere and are never released here
                self._pid = os.getpid()
                self._calls.clear()
            if not self._calls and not self._shared:
                self._shared = _settings(per_thread=False)
            self._calls[call] = _settings(per_thread=True)
            _take_control()
            _set_to_one(self._shared + self._calls[call])

    def release(self, call: object) -> None:
        """To be called from the thread that called `hold`. The last release restores the process's own number."""
        with self._lock.plain:
            _restore(self._calls.get(call, []))
            self._calls.pop(call, None)
            if not self._calls:
                _take_control()  # the last release may be on another thread than the first hold
                _restore(self._shared)
                self._shared = []
                _take_control()

    def held(self, work: Callable[[], Result]) -> Result:
        """Do something meanwhile; Ctrl-C at any moment leaves BLAS as it was."""
        call = object()
        try:
            self.hold(call)
            result = work()
            self.release(call)
        except BaseException:
            self.release(call)  # again: Ctrl-C may have interrupted it
            raise
        return result


guard = SingleThreadedBlas()


BUFFER_BYTES = 32 << 20  # measured: what OpenBLAS maps for each thread that calls it, once


@lru_cache(maxsize=1)
def buffer_bytes() -> int:
    """Memory that NumPy's BLAS maps for itself for each thread, and ends the process without."""
    return BUFFER_BYTES if any(library.get("internal_api") == "openblas" for library in _info()) else 0


@lru_cache(maxsize=1)
def core_type() -> str:
    """The core type that NumPy's BLAS chose for this processor, such as SkylakeX; "" for a BLAS that reports none."""
    return next((str(library["architecture"]) for library in _info() if library.get("architecture")), "")


def versions() -> list[str]:
    """Each BLAS here with its version and core type: with the same ones a product has the same bits."""
    fields = ("internal_api", "version", "architecture")
    return [" ".join(str(library.get(field, "")) for field in fields) for library in _info()]


@lru_cache(maxsize=1)
def _info() -> list[dict[str, Any]]:
    return blas_info()


def blas_info() -> list[dict[str, Any]]:
    """threadpoolctl's record of each loaded BLAS: internal_api, version, architecture, num_threads, filepath.

    `architecture` is OpenBLAS's core type for this CPU (SkylakeX, Haswell, ...). The list is empty for a BLAS that
    threadpoolctl does not support, such as Apple's Accelerate.
    """
    import numpy  # noqa: F401  its BLAS must be loaded to be found

    return list(_controller().info())
