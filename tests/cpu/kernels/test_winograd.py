"""Winograd convolution on the CPU: exact on integers.

F(2x2) only halves and doubles, so on small integers it is exact, bit for bit. F(4x4) divides by 3, 5 and more; its
result is exact after rounding to integers, because its error is far below a half.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from npresnet import passes
from npresnet.cpu.kernels import gemm, winograd_matrices
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.kernels.winograd_matrices import Side
from npresnet.cpu.runtime.blas import guard
from npresnet.network import INPUT, Network, Node
from npresnet.ops import winograd as ops_winograd
from tests.support.cases import conv_cases
from tests.support.checks import assert_same, check_conv_exact
from tests.support.forcing import forced, winograd
from tests.support.network_checks import check_network_exact
from tests.support.one_node import Operations, execute_on_cpu
from tests.support.random_networks import random_network
from tests.support.together import run_together
from tests.support.winograd_layers import (
    FORMS,
    STRIDES,
    TILES,
    cases,
    check_halos,
    check_layers,
)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tile", TILES)
def test_layers(tile, form, stride):
    check_layers(tile, form, stride=stride)


@pytest.mark.parametrize("tile", TILES)
def test_every_small_size_with_stride_2(tile):
    sizes = [(height, 1 + (7 * height + tile) % 20) for height in range(1, 21)] + [(n, n) for n in range(1, 21)]
    check_layers(tile, some=cases(sizes, [(3, 5, 1)], stride=2))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("threads", [2, 3])
def test_layers_over_threads(tile, threads, stride):
    some = list(cases([(14, 15), (33, 31)], [(64, 64, 1), (64, 64, 8)], stride=stride))
    some += list(cases([(7, 7)], [(128, 256, 1)], stride=stride))  # channels in two parts
    check_layers(tile, "panels", execute=partial(execute_on_cpu, threads=threads), some=some)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("batch", [2, 3, 4])
def test_several_images_at_once(tile, exact, batch, stride):
    some = list(cases([(7, 7), (13, 5)], [(16, 64, 1), (64, 64, 8), (64, 256, 1)], batch, stride))
    for workers in (1, 2):
        check_layers(
            tile, "panels", execute=partial(run_together, workers=workers, options=Options(exact=exact)), some=some
        )
    check_layers(tile, execute=partial(run_together, options=Options(exact=exact)), some=some)


@pytest.fixture
def blas_on_one_thread():
    """As in an executable's calls: plans that a test runs itself would otherwise use several threads."""
    call = object()
    guard.hold(call)
    yield
    guard.release(call)


@pytest.mark.usefixtures("blas_on_one_thread")
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [(64, 128, 1), (64, 64, 2)])
def test_bits_are_the_same_in_any_batch(monkeypatch, channels, form, merged, stride):
    """An image's, in batches of any size, on any number of threads, with and without merged products."""
    if not merged:
        monkeypatch.setattr(gemm, "keeps_bits", lambda *call: False)
    for tile in TILES:
        for case in cases([(14, 15), (31, 28)], [channels], batch=5, stride=stride):
            x, weight, bias = case.arrays()
            x += np.float32(1) / 3
            params = {"weight": weight / np.float32(7), "bias": bias}
            network = Network((Node("y", "conv2d", (INPUT,), case.window, case.groups, params=params),), {"y": "y"})
            with forced(winograd(tile, form)):
                wanted = execute_on_cpu(network, x[:1])["y"]
                for threads, images in ((1, 5), (2, 1), (2, 3), (3, 5)):
                    assert_same(execute_on_cpu(network, x[:images], threads=threads)["y"][:1], wanted)
                for images in (2, 5):
                    assert_same(run_together(network, x[:images])["y"][:1], wanted)


def test_f2_is_exact_over_the_cross_product():
    """Without rounding. Other strides and dilations use the direct sum."""
    with forced(winograd(2)) as taken:
        for channels in ("dense", "two groups"):
            some = [
                case
                for case in conv_cases([(3, 3)], [channels])
                if case.window.stride in ((1, 1), (2, 2)) or case.seed % 9 == 0
            ]
            check_conv_exact(Operations(execute_on_cpu).conv2d, some)
    assert {choice.algorithm for choice in taken} == {"direct", "winograd"}


@pytest.mark.parametrize("form", ["gemm", "panels"])
def test_random_networks_by_f2(subtests, form):
    """Values with several readers and several halos, residuals, memory that is used again: bit for bit."""
    for seed in range(12):
        network, image = random_network(seed)
        with subtests.test(seed=seed), forced(winograd(2, form)):
            check_network_exact(passes.optimize(network), image, threads=1 + seed % 2)


@pytest.mark.parametrize("tile", TILES)
def test_other_readers_of_a_value_see_their_own_halos(tile):
    check_halos(tile)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tile", TILES)
def test_matrices_are_those_that_ops_derives(tile, stride):
    derived, side = ops_winograd.balanced(tile, stride), Side(stride, tile)
    assert (side.t, side.own) == (derived.tile, len(np.unique(derived.kernel_transform, axis=0)) + 1 - stride)
    for written, matrix in zip(
        winograd_matrices.matrices(side), (derived.input_transform, derived.output_transform), strict=True
    ):
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, matrix)  # float64: nothing was rounded
