"""Which GPU there is, and if there is none that can be used, which of the many reasons it is, and the way out."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from npresnet.cuda.runtime import failures, modules, nvrtc
from npresnet.errors import DeviceError

DRIVER_TOO_OLD, NO_DEVICE = 35, 100  # cudaErrorInsufficientDriver, cudaErrorNoDevice
INSTALL = "python -m pip install 'npresnet[cuda12]', or 'npresnet[cuda13]' where the driver supports CUDA 13"
CPU = 'device="cpu" runs anywhere'


class Found(NamedTuple):
    """What there is to know of a GPU; capability 90 is 9.0, cuda_major that of the CUDA that CuPy was made for."""

    name: str
    capability: int
    multiprocessors: int
    memory_bytes: int
    cuda_major: int


def import_cupy() -> Any:
    """The module. Raises DeviceError where it is absent or does not work."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            raise DeviceError(f"a GPU is used through CuPy, which is not installed: {INSTALL}; {CPU}") from None
        raise DeviceError(f"CuPy does not work here, for it lacks {error.name}: {INSTALL}; {CPU}") from error
    except (ImportError, OSError) as error:
        raise DeviceError(f"CuPy does not work here ({error.__cause__ or error}): {INSTALL}; {CPU}") from error
    return cupy


def cuda_errors(cupy: Any) -> tuple[type[Exception], ...]:
    """What CuPy raises where CUDA refuses, but for OutOfMemoryError, which is its own; both have a `status`."""
    return cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError


def find_gpu(index: int) -> Found:
    """GPU number `index`, checked. Raises DeviceError, which says what is missing and how to get it."""
    runtime = import_cupy().cuda.runtime
    if runtime.is_hip:
        raise DeviceError(f"this CuPy is made for AMD's GPUs; npresnet's kernels are for NVIDIA's. {CPU}")
    count = _count(runtime)
    if index >= count:
        present = "is one GPU, cuda:0" if count == 1 else f"are {count} GPUs, cuda:0 to cuda:{count - 1}"
        raise DeviceError(f"there is no cuda:{index}: CUDA shows that there {present}{_visible()}")
    try:
        properties = runtime.getDeviceProperties(index)
    except runtime.CUDARuntimeError as error:
        raise DeviceError(_does_not_start(error)) from error
    name, capability = properties["name"].decode(), 10 * properties["major"] + properties["minor"]
    if capability < modules.OLDEST:
        raise DeviceError(
            f"cuda:{index} ({name}) has compute capability {capability / 10:.1f}; npresnet's kernels need "
            f"{modules.OLDEST / 10:.1f} or later (Turing). {CPU}"
        )
    cuda_major = runtime.runtimeGetVersion() // 1000
    nvrtc.open_nvrtc(cuda_major)
    return Found(name, capability, properties["multiProcessorCount"], properties["totalGlobalMem"], cuda_major)


def _count(runtime: Any) -> int:
    """How many GPUs this process may use, at least one."""
    try:
        count: int = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status == DRIVER_TOO_OLD:
            raise DeviceError(_no_driver(runtime)) from None
        if error.status != NO_DEVICE:
            raise DeviceError(_does_not_start(error)) from error
        count = 0
    if not count:
        raise DeviceError(f"there is an NVIDIA driver, but no GPU that CUDA can use{_visible()}. {CPU}")
    return count


def _does_not_start(error: Exception) -> str:
    return f"CUDA does not start: {failures.explained(error)}. Does nvidia-smi work? {CPU}"


def _no_driver(runtime: Any) -> str:
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        return (
            "there is no NVIDIA driver, so no GPU can be used. Install NVIDIA's driver; in a container, start it with "
            f"--gpus all. {CPU}"
        )
    older = (
        "; cupy-cuda12x (python -m pip install 'npresnet[cuda12]') needs no more than CUDA 12"
        if needed >= 13000
        else ""
    )
    return (
        f"the NVIDIA driver is too old: it supports CUDA {version_text(driver)}, and this CuPy is made for CUDA "
        f"{version_text(needed)}. Update the driver{older}. {CPU}"
    )


def version_text(number: int) -> str:
    """12040 -> 12.4"""
    return f"{number // 1000}.{number % 1000 // 10}"


def _visible() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
