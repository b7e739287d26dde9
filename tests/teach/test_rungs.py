from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet.ops.conv2d import conv2d
from npresnet.teach import rungs
from npresnet.teach.simt import KernelError, launch
from npresnet.teach.simt_kernels import TILE, conv1d_direct, conv1d_shared, matmul_direct, matmul_tiled
from npresnet.window import Window

CASES = list(
    product([1, (2, 3)], [(0, 0), (1, 2)], [1, (2, 3)], [(1, 1), (3, 2)], [1, 2])
)  # stride, padding, dilation, kernel, G


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize("rung", [rungs.seven_loops, rungs.tap_by_tap, rungs.im2col_product, rungs.tiled_and_fused])
def test_every_rung_gives_the_same_whole_numbers(subtests, rung):
    for stride, padding, dilation, kernel, groups in CASES:
        with subtests.test(stride=stride, padding=padding, dilation=dilation, kernel=kernel, groups=groups):
            rng = np.random.default_rng(0)
            x, weight = whole(rng, 2, 4, 9, 7), whole(rng, 6, 4 // groups, *kernel)
            how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            out = rung(x, weight, Window.of(kernel, stride, padding, dilation), groups)
            assert out.dtype == np.float32
            assert (out == conv2d(x.astype(np.float64), weight, **how)).all()


@pytest.mark.parametrize("band", [1, 3, 5, 9, 100])
def test_bands_of_any_height_and_what_is_fused(band):
    rng = np.random.default_rng(1)
    x, weight, bias, residual = whole(rng, 2, 3, 9, 8), whole(rng, 5, 3, 3, 3), whole(rng, 5), whole(rng, 2, 5, 9, 8)
    plain = conv2d(x, weight, bias, padding=1) + residual
    window = Window.of(3, 1, 1)
    found = rungs.tiled_and_fused(x, weight, window, bias=bias, residual=residual, relu=True, band=band)
    assert (found == np.maximum(plain, 0)).all()
    assert (rungs.tiled_and_fused(x, weight, window, bias=bias, residual=residual, band=band) == plain).all()


@pytest.mark.parametrize("kernel", [conv1d_direct, conv1d_shared])
@pytest.mark.parametrize(("length", "taps"), [(70, 5), (64, 1), (33, 3)])
def test_convolution_along_one_axis(kernel, length, taps):
    rng = np.random.default_rng(2)
    x, weight = whole(rng, length), whole(rng, taps)
    y = np.full(length - taps + 1, np.nan, np.float32)
    launch(kernel, x, weight, y, grid=-(-len(y) // 32), block=32)
    assert (y == np.correlate(x, weight, "valid")).all()


@pytest.mark.parametrize("kernel", [matmul_direct, matmul_tiled])
@pytest.mark.parametrize(("M", "K", "N"), [(8, 8, 8), (9, 17, 3), (16, 5, 12)])
def test_matrix_products_with_ragged_edges(kernel, M, K, N):
    rng = np.random.default_rng(3)
    a, b, c = whole(rng, M, K), whole(rng, K, N), np.full((M, N), np.nan, np.float32)
    launch(kernel, a, b, c, grid=(-(-N // TILE), -(-M // TILE)), block=(TILE, TILE))
    assert (c == a @ b).all()


def test_shared_memory_saves_the_sectors_that_it_promises_to():
    x, y = np.ones(64 + 8, np.float32), np.zeros(64, np.float32)
    direct, shared = (
        launch(kernel, x, np.ones(9, np.float32), y, grid=2, block=32) for kernel in (conv1d_direct, conv1d_shared)
    )
    loads = [sum(line.cost for line in run.lines() if line.array == "x") for run in (direct, shared)]
    assert loads == [2 * (4 * 2 + 5 * 7), 2 * 5]  # 9 loads a warp, of 4 sectors where it starts on an edge, else of 5


@pytest.mark.parametrize("missing", [0, 1])
def test_neither_barrier_of_the_tiled_product_may_go(missing):
    def faulty(cuda, a, b, c):
        for number, _ in enumerate(matmul_tiled(cuda, a, b, c)):
            if number % 2 != missing:
                yield

    with pytest.raises(KernelError):
        launch(
            faulty,
            np.ones((8, 16), np.float32),
            np.ones((16, 8), np.float32),
            np.ones((8, 8), np.float32),
            block=(8, 8),
        )
