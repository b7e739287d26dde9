"""conv3d, max_pool3d and avg_pool3d bit for bit on integers against PyTorch; pools and shortcuts of clips; refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import count_macs, infer_shapes
from npresnet.window import Window

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional

SIZE = (5, 7, 8)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (3, 1, 2))
PADDINGS = ((0, 0, 0), (1, 1, 1), (1, 0, 2))
DILATIONS = ((1, 1, 1), (2, 1, 1), (1, 2, 3))


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def tensor(array: np.ndarray):
    return torch.from_numpy(np.array(array, np.float64))


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 3, 3), (1, 3, 2), (3, 1, 1)], ids=str)
def test_convolutions_equal_torch(kernel):
    x = whole(2, 4, *SIZE)
    for stride, padding, dilation, groups in product(STRIDES, PADDINGS, DILATIONS, (1, 2)):
        weight, bias = whole(6, 4 // groups, *kernel, seed=1), whole(6, seed=2)
        where = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        if any(n + 2 * p < d * (k - 1) + 1 for n, k, p, d in zip(SIZE, kernel, padding, dilation, strict=True)):
            continue
        right = F.conv3d(tensor(x), tensor(weight), tensor(bias), **where).numpy()
        np.testing.assert_array_equal(ops.conv3d(x, weight, bias, **where), right)


def test_a_convolution_is_its_definition():
    x, weight = whole(1, 2, 3, 4, 5), whole(3, 2, 2, 2, 3, seed=1)
    right = np.zeros((1, 3, 3, 2, 5), np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0), (1, 1)))
    for o, t, i, j in np.ndindex(3, 3, 2, 5):
        right[0, o, t, i, j] = (padded[0, :, t : t + 2, 2 * i : 2 * i + 2, j : j + 3] * weight[o]).sum()
    window = Window.of((2, 2, 3), (1, 2, 1), axes=3)
    found = ops.conv3d(padded, weight, stride=window.stride)
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_equal_torch(ceil_mode):
    x = whole(2, 3, *SIZE) - 40
    for kernel, stride in product(((2, 2, 2), (3, 3, 3), (1, 3, 2)), STRIDES):
        for padding in ((0, 0, 0), tuple(k // 2 for k in kernel)):
            where = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
            right = F.max_pool3d(tensor(x), kernel, **where).numpy()
            np.testing.assert_array_equal(ops.max_pool3d(x, kernel, **where), right)
            for include in (False, True):
                counted = {"count_include_pad": include}
                right = F.avg_pool3d(tensor(x), kernel, **where, **counted).numpy()
                found = ops.avg_pool3d(x.astype(np.float64), kernel, **where, **counted)
                np.testing.assert_allclose(found, right, rtol=1e-15)


def test_a_dilated_max_pool_equals_torch():
    x = whole(1, 2, *SIZE)
    right = F.max_pool3d(tensor(x), 2, 1, 1, (2, 1, 3)).numpy()
    np.testing.assert_array_equal(ops.max_pool3d(x, 2, padding=1, dilation=(2, 1, 3)), right)


def test_pools_and_shortcuts_of_clips():
    x = whole(2, 3, *SIZE)
    np.testing.assert_array_equal(ops.global_avg_pool(x), x.sum((2, 3, 4), keepdims=True) / np.float32(5 * 7 * 8))
    short = ops.shortcut_a(x, stride=2, pad_channels=(0, 5))
    assert short.shape == (2, 8, 3, 4, 4)
    np.testing.assert_array_equal(short[:, :3], F.avg_pool3d(tensor(x), 1, 2).numpy())
    assert not short[:, 3:].any()


def test_nan_spreads_to_the_windows_that_hold_it():
    x = np.zeros((1, 1, 3, 3, 3), np.float32)
    x[0, 0, 1, 1, 1] = np.nan
    assert np.isnan(ops.max_pool3d(x, 2)).all()
    assert np.isnan(ops.conv3d(x, np.ones((1, 1, 1, 1, 1)))).sum() == 1


def test_shapes_and_multiply_adds():
    conv = Node("c", "conv3d", (INPUT,), Window.of(3, (1, 2, 2), 1, axes=3), params={"weight": whole(8, 2, 3, 3, 3)})
    nodes = (conv.evolve(groups=2), Node("p", "max_pool3d", ("c",), Window.of(2, 2, axes=3)))
    network = Network((*nodes, Node("g", "global_avg_pool", ("p",)), Node("f", "flatten", ("g",))), {"f": "f"})
    assert network.takes_clips
    shapes = infer_shapes(network, (4, 6, 9, 7))
    assert [shapes[name] for name in "cpgf"] == [(8, 6, 5, 4), (8, 3, 2, 2), (8, 1, 1, 1), (8,)]
    assert count_macs(network["c"], shapes) == 8 * 6 * 5 * 4 * 2 * 27
    assert ops.run(network, np.zeros((1, 4, 6, 9, 7)))["f"].shape == (1, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.conv3d(whole(1, 3, 4, 4), whole(2, 3, 1, 1, 1)), r"expects a batch of clips \(N, C, T, H, W\)"),
        (lambda: ops.conv3d(whole(1, 3, 4, 4, 4), whole(2, 3, 1, 1)), "kernel_time, kernel_height"),
        (lambda: ops.conv3d(whole(1, 3, 4, 4, 4), whole(2, 4, 1, 1, 1)), "expects 4 input channels, got 3"),
        (lambda: ops.conv3d(whole(1, 4, 4, 4, 4), whole(3, 2, 1, 1, 1), groups=2), "cannot split 3 filters"),
        (lambda: ops.conv3d(whole(1, 3, 4, 4, 4), whole(2, 3, 1, 1, 1), np.zeros(3)), "one bias per filter"),
        (lambda: ops.conv3d(whole(1, 3, 2, 9, 9), whole(2, 3, 3, 1, 1)), r"a larger clip \(time, height, width\)"),
        (lambda: ops.max_pool3d(whole(1, 3, 4, 4, 4), 2, padding=2), "at most half the kernel_size"),
        (lambda: ops.global_avg_pool(whole(1, 3, 4)), "expects a batch of images"),
    ],
)
def test_invalid_arguments_are_refused(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


def test_images_where_a_network_takes_clips_are_refused_by_name():
    conv = Node("stem", "conv3d", (INPUT,), Window.of(1, axes=3), params={"weight": whole(2, 3, 1, 1, 1)})
    with pytest.raises(ShapeError, match=r"stem: expects a clip \(C, T, H, W\), got \(3, 8, 8\)"):
        infer_shapes(Network((conv,), {"y": "stem"}), (3, 8, 8))
