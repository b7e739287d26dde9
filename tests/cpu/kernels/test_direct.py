"""Direct convolution bit for bit on integers: every form of its products, tile boundaries, several images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.lowering import Options
from npresnet.window import Window
from tests.support.cases import ConvCase
from tests.support.checks import check_conv_exact, check_fused_exact, fused_network
from tests.support.forcing import direct, forced
from tests.support.network_checks import check_network_exact
from tests.support.one_node import Operations, execute_on_cpu
from tests.support.random_networks import random_network
from tests.support.together import plan_of, run_together

LAYERS = [  # (in_channels, out_channels, groups), size, kernel_size, stride
    ((3, 64, 1), (41, 37), 7, 2),
    ((64, 64, 1), (21, 20), 1, 1),
    ((64, 64, 1), (9, 7), 3, 1),
    ((64, 128, 1), (14, 15), 3, 2),
    ((256, 64, 1), (7, 7), 1, 1),
    ((16, 32, 1), (13, 11), 3, 1),
    ((16, 16, 1), (33, 31), 3, 1),
    ((128, 256, 1), (7, 7), 3, 1),  # channels in two parts; K in parts
    ((192, 256, 1), (5, 3), 3, 1),
    ((512, 320, 1), (1, 1), 1, 1),
    ((128, 128, 32), (10, 9), 3, 1),  # blocks of 32
    ((64, 128, 8), (9, 10), 3, 2),  # 8 channels a group, 16 filters: blocks of 16 and 32
    ((128, 128, 2), (7, 7), 3, 1),  # two groups of 64, the largest block
]
SIZES = [(1, 1), (1, 400), (400, 1), (1, 401), (19, 21), (20, 20), (21, 20), (20, 30), (25, 24), (33, 31), (40, 50)]


def cases(layers=LAYERS, batch=None):
    for seed, ((in_channels, out_channels, groups), size, kernel_size, stride) in enumerate(layers):
        window = Window.of(kernel_size, stride, kernel_size // 2)
        yield ConvCase(batch or 1 + seed % 3, in_channels, out_channels, size, window, groups, seed)


@pytest.mark.parametrize("form", gemm.FORMS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_form(form, threads):
    execute = partial(execute_on_cpu, threads=threads)
    with forced(direct(form)) as taken:
        check_conv_exact(Operations(execute).conv2d, cases())
        check_fused_exact(execute, cases())
    assert sum(choice.form == form for choice in taken) > len(LAYERS) / 2


@pytest.mark.parametrize("form", gemm.FORMS)
def test_images_about_the_size_of_a_tile(form):
    layers = [((8, 64, 1), size, kernel_size, 1) for size in SIZES for kernel_size in (1, 3)]
    with forced(direct(form)):
        check_conv_exact(Operations(execute_on_cpu).conv2d, cases(layers))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("form", gemm.FORMS)
def test_several_images_at_once(form, exact):
    for batch in (1, 2, 3, 4):
        for workers in (1, 2, 3):
            run = partial(run_together, workers=workers, options=Options(exact=exact))
            layers = [layer for layer in LAYERS if layer[1][0] < 20][batch % 2 :: 2]
            with forced(direct(form)):
                check_fused_exact(run, cases(layers, batch))


def test_several_small_images_share_a_tile():
    """One BLAS call for all of them where that keeps their bits, else one call that multiplies them one by one."""
    (case,) = cases([((64, 64, 1), (5, 4), 1, 1)], 4)
    with forced(direct("gemm")):
        for exact in (True, False):
            plan = plan_of(*_one(case), options=Options(exact=exact))
            (step,) = plan.steps
            assert len(step.tiles) == 1
            (a, *_) = next(args for kernel, args in step.tiles[0] if kernel.__name__ == "matmul")
            merged = exact is False or gemm.keeps_bits("gemm", 1, 4, 20, 64, 64)
            assert a.shape == ((1, 80, 64) if merged else (4, 20, 64))


def _one(case: ConvCase):
    """The network of one convolution, and its images' shape."""
    network, x = fused_network(case, has_bias=0, has_residual=0, has_relu=0)
    return network, x.shape


@pytest.mark.parametrize("form", gemm.FORMS[1:])
def test_random_networks(subtests, form):
    for seed in range(6):
        network, image = random_network(seed)
        with subtests.test(seed=seed), forced(direct(form)):
            check_network_exact(network, image, threads=1 + seed % 3)


@pytest.mark.parametrize("channels", [64, 256])
def test_as_many_workers_as_possible_share_a_layer_of_few_rows(channels):
    """Its channels are cut into parts, whose tiles together write every output once."""
    (case,) = cases([((64, channels, 1), (7, 7), 3, 1)], 1)
    network, shape = _one(case)
    for form in gemm.FORMS:
        for workers in (1, 2, 3, 4):
            with forced(direct(form)):
                plan = plan_of(network, shape, workers=workers)
            written = np.zeros(plan.outputs["y"].shape, int)
            plan.input[...] = 1
            for tile in plan.steps[0].tiles:
                plan.outputs["y"][...] = np.nan
                for kernel, args in tile:
                    kernel(*args)
                written += ~np.isnan(plan.outputs["y"])
            assert (written == 1).all(), (form, workers)
