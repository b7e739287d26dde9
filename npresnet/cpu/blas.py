"""NumPy's BLAS: which one, which kernel it chose, and the guard that holds it to one thread while our own are at work.

BLAS threads belong to the whole process. Ours take whole tiles, and two layers of threads would fight for the CPUs; so
BLAS is held to one thread as long as at least one call of ours runs, and gets its own number back after the last. The
guard counts, because two overlapping `threadpool_limits(1)` leave the process on one thread: the second to enter would
take our 1 for the user's setting.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from types import TracebackType
from typing import Any


@lru_cache(maxsize=1)
def _controller() -> Any:
    """One controller, kept: to find the loaded libraries costs 0.3 ms, to use the controller a few microseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _take_control() -> None:
    """Let this thread, or the next, set the number of threads.

    threadpoolctl 3.7 and later give OpenBLAS to the first thread that sets its number: until that thread lets go, what
    others set does nothing, silently. Our callers come on any thread, and the guard's lock keeps them apart.
    """
    for library in _controller().lib_controllers:
        let_go = getattr(library, "clear_controlling_thread", None)
        if let_go is not None:
            let_go(force=True)


def hold_own_thread() -> None:
    """For a thread of ours, at its start: under OpenMP the number of BLAS threads belongs to each thread, so the guard
    of the calling thread would not reach it."""
    for library in _controller().lib_controllers:
        if getattr(library, "threading_layer", None) == "openmp":
            library.set_num_threads(1)


class SingleThreadedBlas:
    """`with guard:` BLAS runs on one thread; may be entered by many threads at once, in any order of leaving."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                _take_control()
                self._limit = _controller().limit(limits=1)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _take_control()  # the last to leave need not be the thread that entered first
                self._limit.restore_original_limits()
                self._limit = None
                _take_control()


guard = SingleThreadedBlas()


def blas_info() -> list[dict[str, Any]]:
    """What threadpoolctl knows of each BLAS here: internal_api, version, architecture, num_threads, filepath.

    `architecture` is the kernel OpenBLAS chose for this CPU (SkylakeX, Haswell, ...). Empty for a BLAS that
    threadpoolctl does not know, such as Apple's Accelerate.
    """
    import numpy  # noqa: F401  its BLAS must be loaded to be found

    return list(_controller().info())
