from __future__ import annotations

import numpy as np

from npresnet import cpu
from npresnet.bench.peak import floor_ms, gemm_peak_gflops


def test_the_floor_counts_two_flops_a_multiply_add_on_every_thread():
    assert floor_ms(500_000_000, 100.0) == 10.0
    assert floor_ms(500_000_000, 100.0, threads=2) == 5.0


def test_the_peak_is_of_one_blas_thread_and_the_users_number_comes_back(monkeypatch, two_blas_threads):
    before = [library["num_threads"] for library in cpu.blas_info()]
    seen = []

    def matmul(a, b, out):
        seen.extend(library["num_threads"] for library in cpu.blas_info())
        np.dot(a, b, out=out)

    monkeypatch.setattr("npresnet.bench.peak.np.matmul", matmul)
    assert gemm_peak_gflops(side=64, calls=3) > 0
    assert set(seen) == {1}
    assert [library["num_threads"] for library in cpu.blas_info()] == before
