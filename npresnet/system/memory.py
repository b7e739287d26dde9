"""Lack of memory: how it shows, and what to say of it."""

from __future__ import annotations

import errno


def is_memory_error(error: BaseException) -> bool:
    """Whether Python, NumPy or the system had no memory left."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def no_memory_for(what: str) -> str:
    """The message of a DeviceError."""
    return (
        f"{what}: there is not enough memory to read, build or write it; nothing is wrong with the file. Close "
        "what is not needed, raise the limit of this process or container, or use a smaller network"
    )
