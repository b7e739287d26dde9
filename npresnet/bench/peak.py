"""The GEMM peak of this machine, with which other figures are compared.

    peak = 2 * n^3 / t    FLOP/s; t is the best time of C = A @ B, all n x n float32, on one BLAS thread

n = 1024: large enough that BLAS's packing (of order n^2) is negligible, small enough to take milliseconds. The best
time rather than the median, because this is a bound.
"""

from __future__ import annotations

import time

import numpy as np

from npresnet.cpu.runtime.blas import guard

SIDE = 1024


def gemm_peak_gflops(*, side: int = SIDE, calls: int = 10) -> float:
    """GFLOP/s of the best of `calls` products (side x side) @ (side x side) in float32, BLAS limited to one thread."""
    a, b = np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
    product = np.empty((side, side), np.float32)
    call = object()
    try:
        guard.hold(call)
        np.matmul(a, b, out=product)  # touches its pages and BLAS's buffers for the first time
        best_ns = min(_elapsed_ns(a, b, product) for _ in range(calls))
    finally:
        guard.release(call)
    return 2 * side**3 / best_ns  # FLOP/ns = GFLOP/s


def floor_ms(macs: int, peak_gflops: float, threads: int = 1) -> float:
    """The least milliseconds of direct convolution: 2 FLOPs a multiply-add at the peak of `threads` threads."""
    return 2 * macs / (peak_gflops * threads) / 1e6


def _elapsed_ns(a: np.ndarray, b: np.ndarray, product: np.ndarray) -> int:
    start_ns = time.perf_counter_ns()
    np.matmul(a, b, out=product)
    return time.perf_counter_ns() - start_ns
