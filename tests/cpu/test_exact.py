"""The CPU backend bit for bit on integers: every operation over the full cross product, and random networks."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from tests.support.cases import CHANNELS, KERNEL_SIZES, conv_cases, integers, wide_conv_cases, wide_pool_cases
from tests.support.checks import (
    assert_same,
    check_avg_pool_exact,
    check_batch_norm_exact,
    check_conv_exact,
    check_fused_exact,
    check_global_avg_pool_exact,
    check_linear_exact,
    check_max_pool_exact,
    check_pointwise_exact,
)
from tests.support.network_checks import check_network_exact, tiled_network
from tests.support.one_node import Operations, execute_on_cpu, on_cpu, on_two_threads
from tests.support.random_networks import random_network


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES, ids=str)
def test_conv2d(kernel_size, channels):
    check_conv_exact(on_cpu.conv2d, conv_cases([kernel_size], [channels]))


@pytest.mark.parametrize("channels", CHANNELS)
def test_conv2d_with_bias_residual_and_relu(channels):
    check_fused_exact(execute_on_cpu, conv_cases(channels=[channels]))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_wide_conv2d(threads):
    execute = partial(execute_on_cpu, threads=threads)
    check_conv_exact(Operations(execute).conv2d, wide_conv_cases())
    check_fused_exact(execute, wide_conv_cases(), all_combinations=True)


def test_max_pool2d():
    check_max_pool_exact(on_cpu.max_pool2d)
    check_max_pool_exact(on_cpu.max_pool2d, wide_pool_cases())
    check_max_pool_exact(on_two_threads.max_pool2d, wide_pool_cases())


def test_avg_pool2d():
    check_avg_pool_exact(on_cpu.avg_pool2d)
    check_avg_pool_exact(on_cpu.avg_pool2d, wide_pool_cases())
    check_avg_pool_exact(on_two_threads.avg_pool2d, wide_pool_cases())


def test_global_avg_pool():
    check_global_avg_pool_exact(on_cpu.global_avg_pool)


def test_linear():
    check_linear_exact(on_cpu.linear)


def test_batch_norm():
    check_batch_norm_exact(on_cpu.batch_norm)


@pytest.mark.parametrize("threads", [1, 2])
def test_pointwise(threads):
    check_pointwise_exact(partial(execute_on_cpu, threads=threads))


@pytest.mark.parametrize("threads", [1, 2])
def test_random_networks(subtests, threads):
    """Values that share an arena, halos, residuals, features asked for anywhere."""
    for seed in range(60):
        with subtests.test(seed=seed):
            network, image = random_network(seed)
            check_network_exact(network, image, threads=threads)
            check_network_exact(passes.optimize(network), image, threads=threads)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_network_of_many_tiles(threads):
    network, image = tiled_network()
    check_network_exact(network, image, threads=threads)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_tiles_of_a_step_may_run_in_any_order(backwards):
    network, image = tiled_network()
    plan = cpu.compile(network, threads=1, winograd=False).plan(image)
    assert all(len(step.tiles) > 1 for step in plan.steps)
    for seed in range(2):
        x = integers(np.random.default_rng(seed), (1, *image))
        plan.input[...] = x
        for step in plan.steps:
            for tile in step.tiles[:: -1 if backwards else 1]:
                for kernel, args in tile:
                    kernel(*args)
        assert_same(plan.outputs["y"], ops.run(network, x)["y"])


def test_nan_and_infinity_go_as_in_the_specification():
    x = np.arange(2 * 4 * 6 * 6, dtype=np.float32).reshape(2, 4, 6, 6)
    x[0, 1, 2, 3], x[1, 3, 0, 0] = np.nan, -np.inf
    assert_same(on_cpu.max_pool2d(x, 3, stride=2, padding=1), ops.max_pool2d(x, 3, stride=2, padding=1))
    assert_same(on_cpu.relu(x), ops.relu(x))
    assert_same(on_cpu.global_avg_pool(x), ops.global_avg_pool(x))
