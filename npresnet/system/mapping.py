"""Arrays that are mapped from a file: letting their pages leave memory once they have been read."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def drop_pages(array: NDArray[Any]) -> None:
    """Let an array's pages leave memory; whoever reads the array again gets them back from the file, unchanged.

    A mapped file counts as the process's memory from the moment it is read. Where its numbers are only copied, as
    folding does, this keeps the peak at one copy of the weights instead of two. Only whole pages go; an array
    that is not mapped read-only (the file may not have what was written to it), or a system without `madvise`
    (Windows), is left as it is.
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
