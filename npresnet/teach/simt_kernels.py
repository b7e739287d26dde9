"""Kernels for `simt`: what CUDA code does with threads, coalescing, shared memory and barriers, in a few lines each.

Each takes `cuda` (threadIdx, blockIdx, blockDim, gridDim, shared) and arrays; `yield` is `__syncthreads()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TILE = 8  # threads a side of a block: 8*8 = two warps


def conv1d_direct(cuda: Any, x: Any, weight: Any, y: Any) -> None:
    """y[i] = sum over t of weight[t] * x[i + t]: one thread an output, every x read len(weight) times."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < len(y):
        total = 0.0
        for t in range(len(weight)):
            total += weight[t] * x[i + t]
        y[i] = total


def conv1d_shared(cuda: Any, x: Any, weight: Any, y: Any) -> Iterator[None]:
    """The same, but a block first brings its piece of x, halo included, into shared memory: every x is read once."""
    threads, me = cuda.blockDim.x, cuda.threadIdx.x
    first, halo = cuda.blockIdx.x * threads, len(weight) - 1
    S = cuda.shared("S", threads + halo)
    for cell in range(me, threads + halo, threads):  # the threads go over the piece together, neighbours side by side
        if first + cell < len(x):
            S[cell] = x[first + cell]
    yield  # nobody reads before all have written
    if first + me < len(y):
        total = 0.0
        for t in range(len(weight)):
            total += weight[t] * S[me + t]
        y[first + me] = total


def matmul_direct(cuda: Any, a: Any, b: Any, c: Any) -> None:
    """c = a @ b, one thread an entry: each row of a and column of b is read once for every entry that needs it."""
    i = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < c.shape[0] and j < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[i, k] * b[k, j]
        c[i, j] = total


def matmul_tiled(cuda: Any, a: Any, b: Any, c: Any) -> Iterator[None]:
    """c = a @ b by tiles of TILE x TILE in shared memory: each number is read from global memory TILE times less often.

    A tile over the edge is filled with zeros, which add nothing; entries outside c are not written.
    """
    A, B = cuda.shared("A", (TILE, TILE)), cuda.shared("B", (TILE, TILE))
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    i, j = cuda.blockIdx.y * TILE + row, cuda.blockIdx.x * TILE + column
    (M, K), N = a.shape, b.shape[1]
    total = 0.0
    for k in range(0, K, TILE):
        A[row, column] = a[i, k + column] if i < M and k + column < K else 0.0
        B[row, column] = b[k + row, j] if k + row < K and j < N else 0.0
        yield  # the tiles are whole
        for t in range(TILE):
            total += A[row, t] * B[t, column]
        yield  # everybody has read them; the next round may overwrite
    if i < M and j < N:
        c[i, j] = total
