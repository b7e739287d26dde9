"""NumPy's BLAS: which one, which kernel it chose, and the guard that holds it to one thread while our own are at work.

BLAS threads belong to the whole process. Ours take whole tiles, and two layers of threads would fight for the CPUs; so
BLAS is held to one thread as long as at least one call of ours runs, and gets its own number back after the last. The
guard counts, because two overlapping `threadpool_limits(1)` leave the process on one thread: the second to enter would
take our 1 for the user's setting.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from npresnet.system.locks import Lock


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
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


def hold_own_thread() -> None:
    """For a thread of ours, at its start: under OpenMP the number of BLAS threads belongs to each thread, so the guard
    of the calling thread would not reach it."""
    _set_to_one(_settings(per_thread=True))


Setting = tuple[Any, int]  # one library, and its number of threads


def _settings(*, per_thread: bool) -> list[Setting]:
    """The libraries whose number of threads belongs to each thread (OpenMP's), or those where it is the process's."""
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
    """BLAS runs on one thread from the first call's `hold` to the last call's `release`, in whatever order they leave.

    A call is any object of its own. Ctrl-C may come in the middle of either function: whoever holds lets go once more
    after an error, and to let go twice does no harm.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pid = os.getpid()
        self._calls: dict[object, list[Setting]] = {}  # call -> what its own thread had
        self._shared: list[Setting] = []  # what the process had before the first call

    def hold(self, call: object) -> None:
        """BLAS to one thread, in the whole process and in this thread, until this call lets go."""
        with self._lock.plain:
            if self._pid != os.getpid():  # a forked child: its parent's calls run elsewhere and never let go here
                self._pid = os.getpid()
                self._calls.clear()
            if not self._calls and not self._shared:
                self._shared = _settings(per_thread=False)
            self._calls[call] = _settings(per_thread=True)
            _take_control()
            _set_to_one(self._shared + self._calls[call])

    def release(self, call: object) -> None:
        """From the thread that holds. The last call to let go gives the process its own number back."""
        with self._lock.plain:
            _restore(self._calls.get(call, []))
            self._calls.pop(call, None)
            if not self._calls:
                _take_control()  # the last need not come on the thread of the first
                _restore(self._shared)
                self._shared = []
                _take_control()


guard = SingleThreadedBlas()


@lru_cache(maxsize=1)
def core_type() -> str:
    """The core type that NumPy's BLAS chose for this processor, such as SkylakeX; "" for a BLAS that names none."""
    return next((str(library["architecture"]) for library in _info() if library.get("architecture")), "")


def versions() -> list[str]:
    """Each BLAS here with its version and kernel: with the same ones a product has the same bits."""
    fields = ("internal_api", "version", "architecture")
    return [" ".join(str(library.get(field, "")) for field in fields) for library in _info()]


@lru_cache(maxsize=1)
def _info() -> list[dict[str, Any]]:
    return blas_info()


def blas_info() -> list[dict[str, Any]]:
    """What threadpoolctl knows of each BLAS here: internal_api, version, architecture, num_threads, filepath.

    `architecture` is the kernel OpenBLAS chose for this CPU (SkylakeX, Haswell, ...). Empty for a BLAS that
    threadpoolctl does not know, such as Apple's Accelerate.
    """
    import numpy  # noqa: F401  its BLAS must be loaded to be found

    return list(_controller().info())
