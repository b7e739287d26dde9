"""Release the memory of arrays that are mapped from a file."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def drop_pages(array: NDArray[Any]) -> None:
    """Release the resident pages of a mapped array; later reads load them from the file again.

    Pages of a mapped file count as the process's memory once they are read. Dropping them after the data was copied, as
    in folding, keeps the peak at one copy of the weights instead of two. Only whole pages are dropped. Does nothing for
    arrays that are not mapped read-only (private changes would be lost) and on systems without `madvise` (Windows).
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or not array.flags.contiguous:
        return
    if not memoryview(owner).readonly:
        return
    start = array.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
    first_page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    last_page = (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first_page < last_page:
        owner.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)
