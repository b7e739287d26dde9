"""TensorFlow's SAME border: worked out from the size of the map, against a count of positions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.network import INPUT, Network, Node
from npresnet.ops.pad2d import border_of
from npresnet.window import Window
from tests.support.checks import assert_same


def test_a_given_border_is_that():
    assert border_of({"padding": (1, 2, 3, 4)}, (5, 6)) == (1, 2, 3, 4)


@pytest.mark.parametrize(("kernel_size", "stride"), [*itertools.product((1, 2, 3, 5), (1, 2, 3))])
def test_same_is_the_least_border_with_all_positions(kernel_size, stride):
    """ceil(size / stride) windows fit, and would not with one zero less; the second side has the odd zero."""
    for size in range(1, 12):
        left, right, top, bottom = border_of({"same": ((kernel_size, 1), (stride, 1))}, (size, 7))
        assert (left, right) == (0, 0)
        assert 0 <= bottom - top <= 1
        positions = [i for i in range(0, size + top + bottom, stride) if i + kernel_size <= size + top + bottom]
        assert len(positions) >= -(-size // stride)
        if top + bottom:
            assert len(positions) == -(-size // stride)
            assert positions[-1] + kernel_size == size + top + bottom


def test_the_axes_are_not_mixed_up():
    assert border_of({"same": ((3, 5), (2, 1))}, (8, 9)) == (2, 2, 0, 1)


@pytest.mark.parametrize("size", [(8, 7), (7, 8), (9, 9)])
def test_one_network_serves_sizes_of_both_parities(size):
    """Exact on integers, by the specification against shifted sums, and on the CPU."""
    rng = np.random.default_rng(1)
    weight = rng.integers(-3, 4, (4, 3, 3, 3)).astype(np.float32)
    pad = Node("pad", "pad2d", (INPUT,), attrs={"same": ((3, 3), (2, 2)), "mode": "zeros"})
    network = Network(
        (pad, Node("y", "conv2d", ("pad",), Window.of(3, stride=2), params={"weight": weight})), {"y": "y"}
    )
    x = rng.integers(-3, 4, (1, 3, *size)).astype(np.float32)
    height, width = (-(-n // 2) for n in size)
    found = ops.run(network, x)["y"]
    assert found.shape == (1, 4, height, width)
    first = [0 if n % 2 == 0 else -1 for n in size]
    around = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)))
    for i, j in itertools.product(range(height), range(width)):
        row, column = 2 * i + first[0] + 1, 2 * j + first[1] + 1
        patch = around[0, :, row : row + 3, column : column + 3]
        assert_same(found[0, :, i, j], np.tensordot(weight, patch, axes=3), (i, j))
    executable = cpu.compile(passes.optimize(network), threads=1)
    assert_same(executable(x)["y"], found, "on the CPU")
    executable.close()
