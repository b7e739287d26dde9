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
    cluster       blocks along x, y, z that run at the same time and see each other's shared memory: sm_90 and later
    cooperative   all blocks run at the same time, and may wait for each other
    pdl           it may begin before the launch ahead of it has ended, and says itself where it waits for the other's
                  results (programmatic dependent launch): sm_90 and later
    """

    source: Source
    kernel: str
    grid: Dim3
    block: Dim3
    args: tuple[Any, ...]
    shared_bytes: int = 0
    cluster: Dim3 = (1, 1, 1)
    cooperative: bool = False
    pdl: bool = False

    @property
    def is_clustered(self) -> bool:
        """Whether a cluster is more than a block."""
        return self.cluster != (1, 1, 1)

    @property
    def is_extended(self) -> bool:
        """Whether it asks for more than a grid of blocks."""
        return self.is_clustered or self.cooperative or self.pdl
