"""Checks of Winograd's matrices and convolution, as functions of them."""

from __future__ import annotations

import itertools

import numpy as np

from npresnet import ops
from npresnet.ops.winograd import POINTS, conv2d_winograd
from tests.support.checks import assert_same

SIZES = [(2, 3), (4, 3), (6, 3), (4, 2), (2, 5)]  # (m, r)


def bilinear(input_transform, kernel_transform, output_transform):
    """W[i,u,k]: what g[u] * d[k] contributes to Y[i], summed over the products, and each product's own part of it."""
    parts = np.einsum("ij,ju,jk->jiuk", output_transform, kernel_transform, input_transform)
    return parts.sum(axis=0), parts


def check_identity(matrices):
    """Y[i] = sum over u of g[u] * d[i+u], for all g and d: exact, as the entries are Fractions."""
    m, (tile, r) = len(matrices[2]), matrices[1].shape
    correlation = np.zeros((m, r, tile), int)
    for i, u in itertools.product(range(m), range(r)):
        correlation[i, u, i + u] = 1
    assert_same(bilinear(*matrices)[0], correlation)


def arrays(batch, channels, size, out_channels, kernel_size=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = [(batch, channels, *size), (out_channels, channels, kernel_size, kernel_size), (out_channels,)]
    return [rng.normal(size=shape).astype(np.float32).astype(dtype) for shape in shapes]


def check_equals_conv2d(size, padding, m, kernel_size=3, points=POINTS):
    x, weight, bias = arrays(2, 5, size, 3, kernel_size)
    got = conv2d_winograd(x, weight, bias, padding, m, points)
    expected = ops.conv2d(x, weight, bias, padding=padding)
    assert got.shape == expected.shape
    assert got.dtype == np.float64
    assert np.abs(got - expected).max() <= 1e-10 * np.abs(expected).max()
