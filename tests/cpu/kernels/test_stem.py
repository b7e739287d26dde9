"""Convolution and max pool as one step: exactly what the specification computes in two steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.cpu.kernels import stem
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse_max_pool
from npresnet.window import Window
from tests.support.cases import fits, integers
from tests.support.checks import assert_same
from tests.support.one_node import execute_on_cpu

SIZES = ((33, 33), (61, 38), (7, 9), (1, 40))
CONVOLUTIONS = (
    Window.of(7, 2, 3),
    Window.of(3, 1, 1),
    Window.of((3, 5), (3, 2), (0, 2)),
    Window.of(2, 2),
    Window.of(1),
)
POOLS = (
    Window.of(3, 2, 1),
    Window.of(2, 2),
    Window.of((3, 1), (1, 2)),
    Window.of((2, 3), 3, (0, 1)),
    Window.of(5, 1, 2),
)
PARTS = tuple(itertools.product((False, True), (False, True), (False, True)))  # relu, bias, ceil_mode


def network_of(
    window: Window, pool: Window, *, relu=True, bias=True, ceil_mode=False, channels=(3, 5), seed=0
) -> Network:
    rng = np.random.default_rng(seed)
    params = {"weight": integers(rng, (channels[1], channels[0], *window.kernel_size))}
    if bias:
        params["bias"] = integers(rng, (channels[1],))
    return Network(
        (
            Node("conv1", "conv2d", (INPUT,), window, params=params, activation="relu" if relu else None),
            Node("maxpool", "max_pool2d", ("conv1",), pool, attrs={"ceil_mode": ceil_mode}),
        ),
        {"y": "maxpool"},
    )


def cases() -> Iterator[tuple[Network, np.ndarray, str]]:
    """A network, images, words; every size with every window and pool, and one combination of the other parts."""
    for seed, (size, window, pool) in enumerate(itertools.product(SIZES, CONVOLUTIONS, POOLS)):
        if not fits(window, size) or not fits(pool, window.output_size(size)):
            continue
        relu, bias, ceil_mode = PARTS[seed * 5 % 8]
        channels = (1 + seed % 4, 64 if seed % 3 == 0 else 5)  # 64: panels, where the BLAS has small products
        network = network_of(window, pool, relu=relu, bias=bias, ceil_mode=ceil_mode, channels=channels, seed=seed)
        x = integers(np.random.default_rng(seed), (1 + seed % 3, channels[0], *size))
        yield network, x, f"{size}, {window}, {pool}, relu {relu}, bias {bias}, ceil_mode {ceil_mode}"


def check_stem_exact(threads: int = 1) -> int:
    """Bit for bit, on integers; returns the number of cases."""
    count = 0
    for network, x, words in cases():
        assert [node.op for node in fuse_max_pool(network)] == ["conv2d_max_pool2d"]
        assert_same(execute_on_cpu(network, x, threads=threads)["y"], ops.run(network, x)["y"], words)
        count += 1
    return count


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equals_the_specification(threads):
    assert check_stem_exact(threads) > 60


@pytest.mark.parametrize(("relu", "bias", "ceil_mode"), PARTS)
def test_a_resnets_stem_on_a_large_ragged_image(relu, bias, ceil_mode):
    window, pool = Window.of(7, 2, 3), Window.of(3, 2, 1)
    network = network_of(window, pool, relu=relu, bias=bias, ceil_mode=ceil_mode, channels=(3, 64))
    x = integers(np.random.default_rng(2), (2, 3, 225, 127))
    assert_same(execute_on_cpu(network, x, threads=2)["y"], ops.run(network, x)["y"])


@pytest.mark.parametrize("fault", [0.0, 1.0])
def test_a_border_of_anything_but_minus_infinity_is_rejected(monkeypatch, fault):
    monkeypatch.setattr(
        stem, "_fill", lambda *borders: [(stem.kernels.copy, (fault, border)) for border in borders if border.size]
    )
    with pytest.raises(AssertionError):
        check_stem_exact()


def test_output_rows_that_forget_the_stride_are_rejected(monkeypatch):
    working = stem._matrices

    def faulty(bound, columns, rows):
        window = replace(bound.window, stride=(1, bound.window.stride[1]))
        return working(bound._replace(window=window), columns, rows)

    monkeypatch.setattr(stem, "_matrices", faulty)
    with pytest.raises(AssertionError):
        check_stem_exact()


def test_negative_numbers_beside_the_border_win_over_it():
    network = network_of(Window.of(1), Window.of(3, 2, 1), relu=False, bias=False, channels=(1, 4))
    positive = network["conv1"].evolve(params={"weight": np.ones((4, 1, 1, 1), np.float32)})
    network = Network((positive, network["maxpool"]), network.outputs)
    x = np.full((1, 1, 5, 6), -7, np.float32)
    assert_same(execute_on_cpu(network, x)["y"], np.full((1, 4, 3, 3), -7, np.float32))


@pytest.mark.parametrize("relu", [False, True])
def test_nan_and_infinity_come_out_where_the_specification_has_them(relu):
    network = network_of(Window.of(3, 2, 1), Window.of(3, 2, 1), relu=relu, channels=(2, 64))
    x = integers(np.random.default_rng(0), (2, 2, 41, 39))
    x[0, 1, 20, 7], x[0, 0, 0, 0], x[1, 0, 33, 30], x[1, 1, 40, 38] = np.nan, np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        expected = ops.run(network, x)["y"]
    assert 0 < np.isnan(expected).sum() < expected.size / 10
    assert_same(execute_on_cpu(network, x, threads=2)["y"], expected)


def test_the_image_lies_channel_by_channel_where_only_the_stem_reads_it():
    network = network_of(Window.of(7, 2, 3), Window.of(3, 2, 1))
    plan = cpu.compile(network, threads=1).plan((3, 64, 64))
    assert plan.input.shape == (1, 3, 64, 64)
    assert plan.input.strides[3] == 4
    assert plan.steps[0].algorithm.startswith("direct with max pool")
    assert len(plan.steps[0].tiles) >= stem.MIN_TILES


def test_other_readers_of_the_image_see_the_same_image():
    """They read interleaved channels, and another border of zeros."""
    base = network_of(Window.of(7, 2, 3), Window.of(3, 2, 1))
    wide = Node("wide", "conv2d", (INPUT,), Window.of(9, 1, 4), params={"weight": np.ones((2, 3, 9, 9), np.float32)})
    network = Network((*base.nodes, wide), {**base.outputs, "wide": "wide", "the image": INPUT})
    x = integers(np.random.default_rng(0), (3, 3, 40, 41))
    got, expected = execute_on_cpu(network, x, threads=2), ops.run(network, x)
    for name, array in expected.items():
        assert_same(got[name], array, name)


def test_a_stem_in_the_middle_of_a_network():
    first = Node("first", "relu", (INPUT,))
    base = network_of(Window.of(7, 2, 3), Window.of(3, 2, 1))
    network = Network((first, base["conv1"].evolve(inputs=("first",)), base["maxpool"]), base.outputs)
    x = integers(np.random.default_rng(0), (2, 3, 40, 41))
    assert_same(execute_on_cpu(network, x)["y"], ops.run(network, x)["y"])


def test_tiles_and_bits_do_not_depend_on_workers():
    network = network_of(Window.of(7, 2, 3), Window.of(3, 2, 1), channels=(3, 64))
    x = np.random.default_rng(0).standard_normal((3, 3, 90, 83), np.float32)
    one, three = cpu.compile(network, threads=1), cpu.compile(network, threads=3)
    assert len(one.plan((3, 90, 83)).steps[0].tiles) == len(three.plan((3, 90, 83), workers=3).steps[0].tiles)
    assert_same(one(x)["y"], three(x)["y"])
    assert_same(one(x[2:])["y"], one(x)["y"][2:])
