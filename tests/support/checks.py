"""The suite's checks as functions of what they check, so that planted faults are tested by the same checks.

A check raises AssertionError at the first case that differs. The functions take the arguments of `npresnet.ops`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support import naive, torch_ops
from tests.support.cases import SIZES, ConvCase, PoolCase, conv_cases, integers, pool_cases, scatter

NAIVE_MACS = 1_500  # larger cases take too long in seven loops
WIDE = (230, 231)  # an image that a backend cuts into tiles even for operations with little work for each pixel


def assert_same(got: np.ndarray, expected: np.ndarray, case: object = "") -> None:
    """The same shape and the same numbers, all of them; NaN equals NaN. Not a tolerance."""
    assert got.shape == expected.shape, f"{case}: shape {got.shape}, expected {expected.shape}"
    same = (got == expected) | ((got != got) & (expected != expected))
    assert same.all(), f"{case}: {np.count_nonzero(~same)} of {same.size} differ, the first at {np.argwhere(~same)[0]}"


def check_conv_exact(conv2d: Callable, cases: Iterable[ConvCase] | None = None) -> None:
    """float32 integers: equal to PyTorch in float64."""
    for case in conv_cases() if cases is None else cases:
        got, expected = (run(*case.arrays(), **window_of(case)) for run in (conv2d, torch_ops.conv2d))
        assert got.dtype == np.float32
        assert_same(got, expected, case)


def check_conv_naive(conv2d: Callable, cases: Iterable[ConvCase] | None = None) -> int:
    """The same against seven nested loops, for the cases that are small enough; returns their number."""
    small = [case for case in (conv_cases() if cases is None else cases) if case.macs <= NAIVE_MACS]
    for case in small:
        assert_same(conv2d(*case.arrays(), **window_of(case)), naive.conv2d(*case.arrays(), **window_of(case)), case)
    return len(small)


def window_of(case: ConvCase) -> dict:
    """The keywords of conv2d."""
    window = case.window
    return {"stride": window.stride, "padding": window.padding, "dilation": window.dilation, "groups": case.groups}


def check_max_pool_exact(max_pool2d: Callable, cases: Iterable[PoolCase] | None = None) -> None:
    """Equal to PyTorch, and to nested loops where the size is rounded down."""
    for case in pool_cases() if cases is None else cases:
        x, (kernel_size, stride, padding, dilation) = case.array(), _parts(case)
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        got = max_pool2d(x, kernel_size, **window, ceil_mode=case.ceil_mode)
        assert got.dtype == np.float32
        assert_same(got, torch_ops.max_pool2d(x, kernel_size, **window, ceil_mode=case.ceil_mode), case)
        if not case.ceil_mode and got.size < 100:
            assert_same(got, naive.max_pool2d(x, kernel_size, **window), case)


def check_avg_pool_exact(avg_pool2d: Callable, cases: Iterable[PoolCase] | None = None) -> None:
    """The exact sum, then one float32 division: a float64 mean rounded to float32 is the same number."""
    cases = pool_cases(dilations=[(1, 1)]) if cases is None else cases
    for case, include_pad in itertools.product(cases, (False, True)):
        x, (kernel_size, stride, padding, _) = case.array(), _parts(case)
        options = {"stride": stride, "padding": padding, "ceil_mode": case.ceil_mode, "count_include_pad": include_pad}
        got = avg_pool2d(x, kernel_size, **options)
        assert got.dtype == np.float32
        assert_same(got, torch_ops.avg_pool2d(x, kernel_size, **options).astype(np.float32), (case, options))


def check_global_avg_pool_exact(global_avg_pool: Callable) -> None:
    for seed, (size, batch) in enumerate(itertools.product(itertools.product(SIZES, SIZES), (1, 2, 3))):
        x = integers(np.random.default_rng(seed), (batch, 5, *size))
        got = global_avg_pool(x)
        assert got.dtype == np.float32
        assert_same(got, torch_ops.global_avg_pool(x).astype(np.float32), (size, batch))


def check_linear_exact(linear: Callable) -> None:
    for seed, (batch, features, out, has_bias) in enumerate(linear_sizes()):
        x, weight, bias = linear_arrays(seed, batch, features, out)
        bias = bias if has_bias else None
        got = linear(x, weight, bias)
        assert got.dtype == np.float32
        assert_same(got, torch_ops.linear(x, weight, bias), (batch, features, out, has_bias))


def linear_sizes() -> Iterable[tuple[int, int, int, bool]]:
    """(N, C, O, whether there is a bias)."""
    return itertools.product((1, 2, 3), (*SIZES, 512), (*SIZES, 1000), (False, True))


def linear_arrays(seed: int, batch: int, features: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return integers(rng, (batch, features)), integers(rng, (out, features)), integers(rng, (out,))


def check_batch_norm_exact(batch_norm: Callable) -> None:
    """Parameters for which every step is exact: var + eps is a power of 4, the scale a power of 2."""
    for seed, (size, batch, learned) in enumerate(itertools.product(SIZES, (1, 2, 3), (False, True))):
        x, params = exact_batch_norm(seed, (batch, 5, size, 3))
        if not learned:
            params = {role: params[role] for role in ("running_mean", "running_var")}
        got = batch_norm(x, **params, eps=0.25)
        assert got.dtype == np.float32
        assert_same(got, torch_ops.batch_norm(x, **params, eps=0.25), (size, batch, learned))


def exact_batch_norm(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x, and parameters for eps = 0.25, so that nothing is rounded."""
    rng = np.random.default_rng(seed)
    channels = shape[1]
    return integers(rng, shape), {
        "running_mean": integers(rng, (channels,)),
        "running_var": rng.choice([0.75, 3.75, 15.75], channels).astype(np.float32),
        "weight": rng.choice([-2.0, -0.5, 0.5, 1.0, 4.0], channels).astype(np.float32),
        "bias": integers(rng, (channels,)),
    }


def check_fused_exact(
    execute: Callable, cases: Iterable[ConvCase] | None = None, *, all_combinations: bool = False
) -> None:
    """relu(conv(x) + bias + residual) in one node: equal to PyTorch. A case has one combination of the three, or all.

    `execute(network, x)` returns {output: array}; the residual is another convolution of the same image.
    """
    for case in conv_cases() if cases is None else cases:
        for number in range(8) if all_combinations else [scatter(case.seed) // 3]:
            parts = {"has_bias": number & 1, "has_residual": number & 2, "has_relu": number & 4}
            network, x = fused_network(case, **parts)
            got = execute(network, x)["y"]
            assert got.dtype == np.float32
            assert_same(got, _fused_by_torch(case, **parts), (case, parts))


def fused_network(case: ConvCase, *, has_bias: int, has_residual: int, has_relu: int) -> tuple[Network, np.ndarray]:
    """A convolution, and before it the one that computes its residual."""
    x, weight, bias = case.arrays()
    residual = Node("residual", "conv2d", (INPUT,), case.window, case.groups, params={"weight": weight[::-1].copy()})
    fused = Node(
        "fused",
        "conv2d",
        (INPUT, "residual") if has_residual else (INPUT,),
        case.window,
        case.groups,
        params={"weight": weight, "bias": bias} if has_bias else {"weight": weight},
        activation="relu" if has_relu else None,
    )
    return Network((residual, fused) if has_residual else (fused,), {"y": "fused"}), x


def _fused_by_torch(case: ConvCase, *, has_bias: int, has_residual: int, has_relu: int) -> np.ndarray:
    x, weight, bias = case.arrays()
    out = torch_ops.conv2d(x, weight, bias if has_bias else None, **window_of(case))
    if has_residual:
        out = out + torch_ops.conv2d(x, weight[::-1].copy(), **window_of(case))
    return torch_ops.relu(out) if has_relu else out


def check_pointwise_exact(execute: Callable) -> None:
    """relu, add, flatten, shortcut_a, and the ReLU flag of add, linear and batch_norm."""
    sizes = [*itertools.product(itertools.product(SIZES, SIZES), (1, 2, 3)), (WIDE, 1)]
    for seed, (size, batch) in enumerate(sizes):
        rng = np.random.default_rng(seed)
        x, mix = integers(rng, (batch, 4, *size)), integers(rng, (4, 4, 1, 1))
        _, norm = exact_batch_norm(seed, x.shape)
        mixed, flat = torch_ops.conv2d(x, mix), x.reshape(batch, -1)
        weight = integers(rng, (6, flat.shape[1]))
        got = execute(_pointwise_network(mix, norm, weight), x)
        expected = {
            "relu": np.maximum(x, 0),
            "add": x + mixed,
            "add twice": x + x,
            "add, relu": np.maximum(mixed + x, 0),
            "flatten": flat,
            "linear, relu": np.maximum(torch_ops.linear(flat, weight), 0),
            "batch_norm, relu": np.maximum(torch_ops.batch_norm(x, **norm, eps=0.25), 0),
            "shortcut_a 1": _shortcut_a_by_loops(x, 1, (2, 2)),
            "shortcut_a 2": _shortcut_a_by_loops(x, 2, (1, 3)),
            "shortcut_a 3": _shortcut_a_by_loops(x, 3, (0, 0)),
        }
        assert set(got) == set(expected)
        for name, array in expected.items():
            assert got[name].dtype == np.float32
            assert_same(got[name], array, (name, size, batch))


def _pointwise_network(mix: np.ndarray, norm: dict[str, np.ndarray], weight: np.ndarray) -> Network:
    """Every operation of check_pointwise_exact, all of the same image; every node is an output."""
    asked = (
        Node("relu", "relu", (INPUT,)),
        Node("add", "add", (INPUT, "mixed")),
        Node("add twice", "add", (INPUT, INPUT)),
        Node("add, relu", "add", ("mixed", INPUT), activation="relu"),
        Node("flatten", "flatten", (INPUT,)),
        Node("linear, relu", "linear", ("flatten",), params={"weight": weight}, activation="relu"),
        Node("batch_norm, relu", "batch_norm", (INPUT,), attrs={"eps": 0.25}, params=norm, activation="relu"),
        Node("shortcut_a 1", "shortcut_a", (INPUT,), attrs={"stride": 1, "pad_channels": (2, 2)}),
        Node("shortcut_a 2", "shortcut_a", (INPUT,), attrs={"stride": 2, "pad_channels": (1, 3)}),
        Node("shortcut_a 3", "shortcut_a", (INPUT,), attrs={"stride": 3, "pad_channels": (0, 0)}),
    )
    mixed = Node("mixed", "conv2d", (INPUT,), Window.of(1), params={"weight": mix})
    return Network((mixed, *asked), {node.name: node.name for node in asked})


def _shortcut_a_by_loops(x: np.ndarray, stride: int, pad_channels: tuple[int, int]) -> np.ndarray:
    (N, C, H, W), (before, after) = x.shape, pad_channels
    rows, columns = range(0, H, stride), range(0, W, stride)
    out = np.zeros((N, before + C + after, len(rows), len(columns)), x.dtype)
    for c, (i, row), (j, column) in itertools.product(range(C), enumerate(rows), enumerate(columns)):
        out[:, before + c, i, j] = x[:, c, row, column]
    return out


def _parts(case: PoolCase) -> tuple[tuple[int, ...], ...]:
    window = case.window
    return window.kernel_size, window.stride, window.padding, window.dilation
