"""Faults planted in Winograd on the CPU, which the checks reject."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import filters
from npresnet.cpu.kernels import winograd as algorithm
from npresnet.ops import winograd as ops_winograd
from tests.support.checks import check_conv_exact
from tests.support.forcing import forced, winograd
from tests.support.one_node import Operations, execute_on_cpu
from tests.support.winograd_layers import (
    STRIDES,
    TILES,
    cases,
    check_halos,
    check_layers,
    rounded,
)


@pytest.fixture
def uncached():
    """Clear caches before and after, so that matrices follow the planted fault and none of them remain."""
    caches = (filters.filter_transform, ops_winograd.transforms)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("matrix", [0, 1])
def test_a_transform_with_a_wrong_sign(monkeypatch, tile, matrix, stride):
    def faulty(side):
        made = [right.copy() for right in working(side)]
        made[matrix][1, 2] *= -1
        return made

    working = algorithm.matrices
    monkeypatch.setattr(algorithm, "matrices", faulty)
    with pytest.raises(AssertionError):
        check_layers(tile, stride=stride)


@pytest.mark.parametrize("tile", TILES)
def test_two_odd_positions_swapped(monkeypatch, tile):
    def faulty(side):
        to_input, to_output = working(side)
        order = [*range(side.t - 2), side.t - 1, side.t - 2]
        return to_input[order], to_output

    working = algorithm.matrices
    monkeypatch.setattr(algorithm, "matrices", faulty)
    with pytest.raises(AssertionError):
        check_layers(tile, stride=2)


@pytest.mark.parametrize("tile", TILES)
def test_odd_rows_and_odd_columns_with_each_other_s_filters(monkeypatch, tile):
    def faulty(self, tile, form):
        weight = working(self, tile, form)
        return weight.reshape(tile + 2, tile + 2, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)

    working = filters.Filters.winograd
    monkeypatch.setattr(filters.Filters, "winograd", faulty)
    with pytest.raises(AssertionError):
        check_layers(tile, stride=2)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tile", TILES)
def test_a_bias_that_one_row_of_a_tile_lacks(monkeypatch, uncached, tile, stride):
    def faulty(side):
        matrix = working(side).copy()
        matrix[side.m - 1, side.t] = 0
        return matrix

    def conv2d_bias_apart(x, weight, bias, **window):
        return conv2d(x, weight, **window) + bias[:, None, None]

    working, conv2d = algorithm.with_bias, Operations(rounded(execute_on_cpu)).conv2d
    monkeypatch.setattr(algorithm, "with_bias", faulty)
    with forced(winograd(tile)):
        check_conv_exact(conv2d_bias_apart, cases(stride=stride))
        with pytest.raises(AssertionError):
            check_conv_exact(conv2d, cases(stride=stride))


@pytest.mark.parametrize("tile", TILES)
def test_a_ragged_edge_written_outside(monkeypatch, tile):
    """One row more than the image has: it overwrites the border of zeros, which other nodes read."""

    def faulty(conv, memory, area, product, target, *, bias):
        calls = working(conv, memory, area, product, target, bias=bias)
        storage, (top, bottom) = memory.storage(conv.node.name), conv.out.halo[0]
        if bottom and area.rows[1] == conv.size[0]:
            beyond = storage[area.images[0] : area.images[1], top + conv.size[0], : product.shape[2]]
            calls = [*calls, (kernels.copy, (np.abs(product[:, -1]) + 1, beyond))]
        return calls

    working = algorithm.epilogue
    monkeypatch.setattr(algorithm, "epilogue", faulty)
    with pytest.raises(AssertionError):
        check_halos(tile)


@pytest.mark.parametrize("stride", STRIDES)
def test_an_edge_whose_halo_is_too_narrow(monkeypatch, stride):
    """Whole tiles read beyond the padding: that memory must exist and be zero."""
    monkeypatch.setattr(algorithm, "halo", lambda window, size, tile: tuple((p, p) for p in window.padding))
    with pytest.raises((AssertionError, ValueError)):  # ValueError: a view would exceed the value's memory
        check_layers(4, stride=stride)
