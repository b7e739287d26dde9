"""The NVIDIA driver's own library, for what CuPy has no words for. It is loaded already: CuPy uses it as well."""

from __future__ import annotations

import ctypes
import sys

from npresnet.errors import DeviceError

NAME = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def open_driver(purpose: str, since: str, *functions: str) -> ctypes.CDLL:
    """The library, with these functions. Raises DeviceError where it is absent or older than CUDA `since`."""
    try:
        driver = ctypes.CDLL(NAME)
    except OSError as error:
        raise DeviceError(f"{purpose} need the NVIDIA driver, and {NAME} does not load: {error}") from error
    if not all(hasattr(driver, function) for function in functions):
        raise DeviceError(f"the NVIDIA driver ({NAME}) is too old for {purpose}, which came with CUDA {since}")
    return driver
