"""Errors of CUDA, at a chosen call of an emulated machine: `stand_in.failures.plan("synchronize", 700)`.

After a sticky error every later call of CUDA gives the same one. A destructor that calls CUDA then is noise: CuPy
would print a traceback of it.
"""

from __future__ import annotations

import threading
from collections import defaultdict

NAMES = {
    1: ("cudaErrorInvalidValue", "CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"),
    46: ("cudaErrorDevicesUnavailable", "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy"),
    214: ("cudaErrorECCUncorrectable", "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"),
    222: ("cudaErrorUnsupportedPtxVersion", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "unsupported toolchain"),
    700: ("cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    701: ("cudaErrorLaunchOutOfResources", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested"),
    716: ("cudaErrorMisalignedAddress", "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"),
    719: ("cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    720: ("cudaErrorCooperativeLaunchTooLarge", "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks"),
    801: ("cudaErrorNotSupported", "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"),
}
STICKY = (214, 700, 716, 719)
OF_THE_DRIVER = ("load module", "launch")


class CudaError(RuntimeError):
    """One of CuPy's errors; `status` is CUDA's number."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class CUDARuntimeError(CudaError):
    pass


class CUDADriverError(CudaError):
    def __init__(self, status: int, text: str = ""):
        super().__init__(status, text or "{1}: {2}".format(*NAMES[status]))


class Failures:
    """What is to go wrong, and what has.

    calls    how often each kind of call was made: "allocate", "synchronize", "launch", ...
    sticky   CUDA's number of the error that all calls give from now on
    noise    destructors that have called CUDA since
    """

    def __init__(self) -> None:
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.sticky = 0
        self.noise: list[str] = []
        self._planned: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def plan(self, call: str, status: int, after: int = 0) -> None:
        """The call of this kind after the next `after` ones gives the error of this number."""
        self._planned[call, self.calls[call] + after] = status

    def meet(self, call: str) -> None:
        """At the beginning of each call of CUDA. Raises what was planned for it, or the sticky error."""
        with self._lock:
            number, self.calls[call] = self.calls[call], self.calls[call] + 1
        status = self.sticky or self._planned.pop((call, number), 0)
        if not status:
            return
        if status in STICKY:
            self.sticky = status
        if call in OF_THE_DRIVER:
            raise CUDADriverError(status)
        raise CUDARuntimeError(status, "{0}: {2}".format(*NAMES[status]))

    def destroyed(self, what: str) -> None:
        """At the end of an object of CuPy's whose destructor calls CUDA."""
        if self.sticky:
            self.noise.append(what)
