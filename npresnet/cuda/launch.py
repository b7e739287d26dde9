"""Launch: one kernel call, complete but for the machine: which source, which kernel, which grid, which arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

Dim3 = tuple[int, int, int]


class Source(NamedTuple):
    """A translation unit: a file below `kernels/`, and the macros that it is compiled with.

    file     "conv2d/mma.cu"
    defines  (("ELEMENT", "FLOAT16"), ...), in an order that is always the same, for the pair names a compiled module
    """

    file: str
    defines: tuple[tuple[str, str], ...] = ()


class Launch(NamedTuple):
    """One call of one kernel.

    kernel        its name in the source, `extern "C"`
    grid, block   blocks, and threads a block, along x, y, z
    args          as CuPy's kernels take them: np.uint64 for an address (0: none), np.int32, np.float32, or a structured
                  array of one item, which is passed by value
    shared_bytes  dynamic shared memory of a block
    """

    source: Source
    kernel: str
    grid: Dim3
    block: Dim3
    args: tuple[Any, ...]
    shared_bytes: int = 0
