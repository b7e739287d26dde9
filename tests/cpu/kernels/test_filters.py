"""Prepacked weights contain the folded filters: every form, tile, group and ragged size, in every block."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
import zlib

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.cpu.compiler import prepared
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.filters import Filters, Key, filter_transform
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fold_batch_norm
from npresnet.window import Window

SHAPES = [  # O, C, kernel_size, groups
    (64, 64, 3, 1),
    (192, 130, 3, 1),  # blocks of channels with a rest
    (100, 7, 3, 1),  # no panels
    (32, 5, 3, 1),
    (16, 3, 7, 1),
    (128, 70, 1, 1),
    (64, 64, 3, 16),
    (96, 48, 3, 3),
]
STRIDES = (1, 2)  # Winograd's prepacked form depends on it


def conv(
    out_channels: int,
    channels: int,
    kernel_size: int,
    groups: int,
    *,
    scale: bool = True,
    seed: int = 0,
    stride: int = 1,
) -> Node:
    """A folded convolution of integers: every product with them is exact."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-8, 9, (out_channels, channels // groups, kernel_size, kernel_size)).astype(np.float32)
    params = {"weight": weight, "bias": np.zeros(out_channels, np.float32)}
    if scale:
        params["scale"] = rng.integers(1, 5, out_channels).astype(np.float64)
    return Node("conv", "conv2d", (INPUT,), Window.of(kernel_size, stride, kernel_size // 2), groups, params=params)


def keys(filters: Filters) -> list[Key]:
    out_width = len(filters.weight) // filters.blocks
    found = [Key(0, form) for form in gemm.FORMS if gemm.fits(form, filters.depth, out_width)]
    if filters.window.kernel_size == (3, 3):
        found += [
            Key(tile, form) for tile in (2, 4) for form in gemm.FORMS if gemm.fits(form, filters.depth // 9, out_width)
        ]
    return found


def expected(node: Node, filters: Filters, key: Key) -> np.ndarray:
    """(points, B, C/B, O/B), filter by filter in float64: the position of each weight, without a reshape."""
    weight = ops.folded_weight(node).astype(np.float64)  # (O, C/G, KH, KW)
    out_channels, in_width, kernel_height, kernel_width = weight.shape
    points = (key.tile + 2) ** 2 if key.tile else kernel_height * kernel_width
    channels, per_block = in_width * node.groups, node.groups // filters.blocks
    dense = np.zeros((points, filters.blocks, channels // filters.blocks, out_channels // filters.blocks))
    for o in range(out_channels):
        group = o // (out_channels // node.groups)
        block, first = group // per_block, group % per_block * in_width
        for c in range(in_width):
            taps = weight[o, c].reshape(-1)
            values = (
                filter_transform(key.tile, filters.window.stride[0]).astype(np.float64) @ taps if key.tile else taps
            )
            dense[:, block, first + c, o % (out_channels // filters.blocks)] = values
    return dense


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_weight_is_in_its_place(shape, scale, stride):
    node = conv(*shape, scale=scale, stride=stride)
    filters = Filters(node)
    for key in keys(filters):
        wanted = expected(node, filters, key)
        if key.tile == 0:
            wanted = wanted.transpose(1, 0, 2, 3).reshape(filters.blocks, filters.depth, -1)
        wanted = gemm.prepack(key.form, np.ascontiguousarray(wanted))
        got = filters.prepacked(key)
        assert got.shape == filters.prepacked_shape(key) == wanted.shape
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=0, atol=0 if key.tile == 0 else 1e-4, err_msg=str(key))


def test_a_scaled_filter_is_rounded_once():
    node = conv(64, 64, 3, 1)
    third = np.full(64, 1 / 3)
    node = node.evolve(params={**node.params, "scale": third})
    got = Filters(node).direct("gemm")[0].reshape(3, 3, 64, 64)
    exact = (node.params["weight"] * third[:, None, None, None]).astype(np.float32)
    twice = node.params["weight"] * third.astype(np.float32)[:, None, None, None]
    assert (exact != twice).any()  # else this test could not fail
    np.testing.assert_array_equal(got, exact.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats_are_rounded_to_float32(dtype):
    node = conv(64, 3, 3, 1)
    other = node.evolve(params={**node.params, "weight": node.params["weight"].astype(dtype)})
    for key in keys(Filters(node)):
        np.testing.assert_array_equal(Filters(other).prepacked(key), Filters(node).prepacked(key))


def test_a_prepacked_form_is_made_once():
    filters = Filters(conv(64, 64, 3, 1))
    assert not filters.has(Key(4, "panels"))
    first = filters.winograd(4, "panels")
    assert filters.has(Key(4, "panels"))
    assert filters.winograd(4, "panels") is first


def test_an_adopted_form_is_used_unchanged_but_replaces_none():
    filters = Filters(conv(64, 64, 1, 1))
    own = np.ones(filters.prepacked_shape(Key(0, "gemm")), np.float32)
    filters.adopt(Key(0, "gemm"), own)
    filters.adopt(Key(0, "gemm"), own + 1)
    assert filters.direct("gemm") is own


def test_prepacked_numbers_are_part_of_the_format_of_prepared_files():
    """This version reads files of older ones. If a checksum changes: increase prepared.FORMAT, then update this."""

    def checksum(node: Node, key: Key) -> int:
        weight = node.params["weight"]
        counted = (np.arange(weight.size) % 251 - 100).astype(np.float32).reshape(weight.shape)
        scale = np.arange(1.0, 1 + len(weight))
        filters = Filters(node.evolve(params={"weight": counted, "scale": scale}))
        return zlib.crc32(np.ascontiguousarray(filters.prepacked(key)).tobytes())

    dense, grouped = conv(128, 64, 3, 1), conv(64, 64, 3, 16)
    found = [checksum(dense, Key(0, "gemm")), checksum(dense, Key(0, "panels")), checksum(grouped, Key(0, "gemm"))]
    assert (prepared.FORMAT, found) == (6, [3653347532, 3940707549, 2960521169])


def test_folding_and_prepacking_make_one_copy_of_the_weights_and_no_more():
    unfolded = conv(512, 512, 3, 1, scale=False)
    ones = np.ones(512, np.float32)
    params = {"running_mean": ones, "running_var": ones, "weight": ones, "bias": ones}
    norm = Node("bn", "batch_norm", ("conv",), attrs={"eps": 1e-5}, params=params)
    tracemalloc.start()
    try:
        (folded,) = fold_batch_norm(Network((unfolded, norm), {"y": "bn"}))
        Filters(folded).direct("panels" if gemm.fits("panels", 4608, 512) else "gemm")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1.25 * unfolded.params["weight"].nbytes


def test_filters_die_with_their_executable():
    network = Network((conv(64, 3, 3, 1),), {"y": "conv"})
    executable = cpu.compile(network, threads=1)
    executable(np.zeros((1, 3, 8, 8), np.float32))
    alive = weakref.ref(executable._programs._weights["conv"])
    del executable
    gc.collect()
    assert alive() is None
