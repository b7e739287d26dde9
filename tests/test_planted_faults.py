"""Faults planted on purpose: the suite's own checks must reject each of them.

Each fault is put into the place of a working function, and the very check that the other tests call on the working one
has to fail with an AssertionError. So a green suite says more than that nothing was compared.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from npresnet import ops
from npresnet.passes import fold_batch_norm
from tests.support.cases import conv_cases, wide_conv_cases
from tests.support.checks import (
    check_avg_pool_exact,
    check_batch_norm_exact,
    check_conv_exact,
    check_conv_naive,
    check_fused_exact,
    check_global_avg_pool_exact,
    check_linear_exact,
    check_max_pool_exact,
    check_pointwise_exact,
)
from tests.support.network_checks import check_network_exact, tiled_network
from tests.support.one_node import execute_on_cpu, on_cpu
from tests.support.pass_checks import check_fold

CHECKS_OF_OPS = {
    "conv2d": lambda: check_conv_exact(ops.conv2d),
    "conv2d, naive": lambda: check_conv_naive(ops.conv2d),
    "fused": lambda: check_fused_exact(ops.run),
    "max_pool2d": lambda: check_max_pool_exact(ops.max_pool2d),
    "avg_pool2d": lambda: check_avg_pool_exact(ops.avg_pool2d),
}
CHECKS_OF_CPU = {
    "conv2d": lambda: check_conv_exact(on_cpu.conv2d),
    "wide conv2d": lambda: check_conv_exact(on_cpu.conv2d, wide_conv_cases()),
    "fused": lambda: check_fused_exact(execute_on_cpu),
    "max_pool2d": lambda: check_max_pool_exact(on_cpu.max_pool2d),
    "avg_pool2d": lambda: check_avg_pool_exact(on_cpu.avg_pool2d),
    "batch_norm": lambda: check_batch_norm_exact(on_cpu.batch_norm),
    "network": lambda: check_network_exact(*tiled_network(), threads=2),
}

Wrap = Callable[[Callable], Callable]  # the working function -> the faulty one


def plant(monkeypatch, module: str, name: str, wrap: Wrap) -> None:
    """Put `wrap(working)` into the place of `module.name`."""
    owner = importlib.import_module(module)
    monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


# --- faults in what a window sees; `working` is ops.windows.sliding_windows, (N, C, OH, OW, KH, KW) ---


def swapped_taps(working):
    """The filter's rows for its columns."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill)
        return windows.swapaxes(4, 5).reshape(windows.shape)

    return faulty


def flipped_filter(working):
    """Convolution as mathematics defines it, where the field means cross-correlation."""
    return lambda x, window, out_size, fill: working(x, window, out_size, fill)[..., ::-1, ::-1]


def zero_under_the_maximum(working):
    return lambda x, window, out_size, fill: working(x, window, out_size, 0)


def dilation_ignored(working):
    """The taps lie side by side, in an output of the right size."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill).copy()
        plain = working(x, replace(window, dilation=(1, 1)), out_size, fill)
        rows, columns = min(windows.shape[2], plain.shape[2]), min(windows.shape[3], plain.shape[3])
        windows[:, :, :rows, :columns] = plain[:, :, :rows, :columns]
        return windows

    return faulty


def stride_before_dilation(working):
    """Position (i*s + u)*d - p instead of i*s + u*d - p: right wherever one of s and d is 1."""

    def faulty(x, window, out_size, fill):
        stride = tuple(s * d for s, d in zip(window.stride, window.dilation, strict=True))
        room = [(0, 0), (0, 0), (0, 200), (0, 200)]
        padded = np.pad(x, room, constant_values=fill)
        return working(padded, replace(window, stride=stride), out_size, fill)[:, :, : out_size[0], : out_size[1]]

    return faulty


def one_row_off(working):
    """Each output row looks where the row before it should."""
    return lambda *args, **options: np.roll(working(*args, **options), 1, axis=2)


def truncated_edge(working):
    """A tile's size rounded down: the last rows that fill no whole tile of four are forgotten."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill).copy()
        whole = out_size[0] // 4 * 4
        if whole:
            windows[:, :, whole:] = 0
        return windows

    return faulty


@pytest.mark.parametrize(
    ("module", "fault", "checks"),
    [
        ("conv2d", swapped_taps, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", flipped_filter, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", dilation_ignored, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", stride_before_dilation, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", one_row_off, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", truncated_edge, ["conv2d", "conv2d, naive", "fused"]),
        ("pooling", zero_under_the_maximum, ["max_pool2d"]),
        ("pooling", dilation_ignored, ["max_pool2d"]),
        ("pooling", truncated_edge, ["max_pool2d", "avg_pool2d"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_windows_that_see_the_wrong_pixels(monkeypatch, module, fault, checks):
    plant(monkeypatch, f"npresnet.ops.{module}", "sliding_windows", fault)
    for check in checks:
        with pytest.raises(AssertionError):
            CHECKS_OF_OPS[check]()


# --- faults in whole operations; the check is called on the faulty function ---


def stride_on_the_wrong_axis(x, weight, bias=None, *, stride, padding, dilation, groups):
    return ops.conv2d(x, weight, bias, stride=stride[::-1], padding=padding, dilation=dilation, groups=groups)


def groups_out_of_order(x, weight, bias=None, *, stride, padding, dilation, groups):
    """Every groups-th channel in a group, where neighbours belong together."""
    N, C, H, W = x.shape
    mixed = x.reshape(N, C // groups, groups, H, W).swapaxes(1, 2).reshape(x.shape)
    return ops.conv2d(mixed, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def filters_out_of_order(x, weight, bias=None, *, stride, padding, dilation, groups):
    """The groups' filters interleaved in the output."""
    out = ops.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    N, O, OH, OW = out.shape  # noqa: E741
    return out.reshape(N, groups, O // groups, OH, OW).swapaxes(1, 2).reshape(out.shape)


def bias_forgotten(x, weight, bias=None, **window):
    return ops.conv2d(x, weight, None, **window)


def first_image_only(x, weight, bias=None, **window):
    return ops.conv2d(np.broadcast_to(x[:1], x.shape), weight, bias, **window)


@pytest.mark.parametrize("check", [check_conv_exact, check_conv_naive])
@pytest.mark.parametrize(
    "fault",
    [stride_on_the_wrong_axis, groups_out_of_order, filters_out_of_order, bias_forgotten, first_image_only],
    ids=lambda fault: fault.__name__,
)
def test_convolutions_that_go_wrong(fault, check):
    with pytest.raises(AssertionError):
        check(fault)


@pytest.mark.parametrize("channels", ["two groups", "depthwise, two filters a channel"])
def test_groups_out_of_order_are_seen_among_their_own_cases(channels):
    fault = groups_out_of_order if channels == "two groups" else filters_out_of_order
    with pytest.raises(AssertionError):
        check_conv_exact(fault, conv_cases(channels=[channels]))


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (check_batch_norm_exact, lambda *args, eps, **params: ops.batch_norm(*args, eps=0.0, **params)),
        (check_batch_norm_exact, lambda x, running_mean, **rest: ops.batch_norm(x, running_mean * 0, **rest)),
        (check_global_avg_pool_exact, lambda x: x.sum(axis=(2, 3), keepdims=True) * np.float32(1 / x[0, 0].size)),
        (check_global_avg_pool_exact, lambda x: (x / np.float32(x[0, 0].size)).sum(axis=(2, 3), keepdims=True)),
        (check_avg_pool_exact, lambda *args, count_include_pad, **rest: ops.avg_pool2d(*args, **rest)),
        (check_avg_pool_exact, lambda *args, ceil_mode, **rest: ops.avg_pool2d(*args, **rest)),
        (check_max_pool_exact, lambda *args, ceil_mode, **rest: ops.max_pool2d(*args, **rest)),
        (check_linear_exact, lambda x, weight, bias: ops.linear(x, weight)),
        (check_linear_exact, lambda x, weight, bias: ops.linear(x[:, ::-1], weight, bias)),
    ],
    ids=[
        "eps forgotten", "mean forgotten", "times a rounded reciprocal", "a division a pixel", "padding always counts",
        "mean, rounded down", "maximum, rounded down", "no bias", "features backwards",
    ],
)  # fmt: skip
def test_operations_that_go_wrong(check, fault):
    with pytest.raises(AssertionError):
        check(fault)


def relu_before_residual(working):
    """relu(conv(x)) + residual instead of relu(conv(x) + residual)."""

    def faulty(node, inputs):
        if node.op == "conv2d" and len(inputs) > 1:
            return ops.add(working(node.evolve(inputs=node.inputs[:1]), inputs[:1]), inputs[1])
        return working(node, inputs)

    return faulty


def relu_forgotten(working):
    return lambda node, inputs: working(node.evolve(relu=False), inputs)


@pytest.mark.parametrize("fault", [relu_before_residual, relu_forgotten], ids=lambda fault: fault.__name__)
def test_an_interpreter_that_goes_wrong(monkeypatch, fault):
    plant(monkeypatch, "npresnet.ops.run", "compute", fault)
    with pytest.raises(AssertionError):
        CHECKS_OF_OPS["fused"]()
    if fault is relu_forgotten:
        with pytest.raises(AssertionError):
            check_pointwise_exact(ops.run)


# --- faults in the passes and the CPU backend ---


def without_eps(working):
    return lambda norm: working(norm.evolve(attrs={"eps": 0.0}))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # without eps, a variance of 0 divides
def test_eps_forgotten_in_folding(monkeypatch):
    plant(monkeypatch, "npresnet.passes.fold_batch_norm", "scale_and_shift", without_eps)
    with pytest.raises(AssertionError):
        check_fold(fold_batch_norm)


def swapped_columns(working):
    """The taps (h, OW, KH, KW, C) with rows for columns."""

    def faulty(*args):
        view = working(*args)
        return view.swapaxes(2, 3).reshape(view.shape)

    return faulty


def undilated(working):
    return lambda memory, name, window, *rest: working(memory, name, replace(window, dilation=(1, 1)), *rest)


def no_minus_infinity(working):
    return lambda source, out: working(0.0 if np.isscalar(source) else source, out)


def scrambled_blocks(working):
    return lambda taps_first, groups, blocks: working(taps_first[..., ::-1], groups, blocks)


def relu_before_residual_in_a_tile(working):
    def faulty(memory, product, target, bias, residual, relu):
        early = working(memory, product, product, bias, None, relu)
        return [*early, *working(memory, product, target, None, residual, False)]

    return faulty


def residual_forgotten(working):
    return lambda memory, product, target, bias, residual, relu: working(memory, product, target, bias, None, relu)


def short_last_band(working):
    """Bands of floor(length / parts) rows: the rest of the last one is never written."""

    def faulty(length, parts):
        pieces = working(length, parts)
        size = max(1, length // len(pieces))
        return [(i * size, (i + 1) * size) for i in range(len(pieces))]

    return faulty


def dies_at_once(working):
    """Every value's memory is given away as soon as the value is made."""
    return lambda network: {name: life._replace(last=life.first) for name, life in working(network).items()}


@pytest.mark.parametrize(
    ("module", "name", "fault", "checks"),
    [
        ("cpu.conv2d", "window_view", swapped_columns, ["conv2d", "fused"]),
        ("cpu.conv2d", "window_view", undilated, ["conv2d"]),
        ("cpu.conv2d", "block_diagonal", scrambled_blocks, ["conv2d", "wide conv2d"]),
        ("cpu.conv2d", "epilogue", relu_before_residual_in_a_tile, ["fused"]),
        ("cpu.conv2d", "epilogue", residual_forgotten, ["fused", "network"]),
        ("cpu.conv2d", "split", short_last_band, ["conv2d", "wide conv2d"]),
        ("cpu.kernels", "copy", no_minus_infinity, ["max_pool2d"]),
        ("cpu.pointwise", "scale_and_shift", without_eps, ["batch_norm"]),
        ("plan.layout", "value_lifetimes", dies_at_once, ["network"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_backend_that_goes_wrong(monkeypatch, module, name, fault, checks):
    plant(monkeypatch, f"npresnet.{module}", name, fault)
    for check in checks:
        with pytest.raises(AssertionError):
            CHECKS_OF_CPU[check]()


class NoBarrier:
    """Lets everybody through at once."""

    def __init__(self, lanes: int):
        pass

    def wait(self, lane: int) -> bool:
        return True

    def abort(self) -> None:
        pass


def last_lane_first(team, jobs, abort) -> None:
    """One of the schedules that a missing barrier allows: the last lane ends its last step before the first begins."""
    for job in reversed(jobs):
        job()


@pytest.mark.parametrize("threads", [2, 3])
def test_a_missing_barrier(monkeypatch, threads):
    check = partial(check_network_exact, *tiled_network(), threads=threads)
    check()
    monkeypatch.setattr("npresnet.cpu.executable.Barrier", NoBarrier)
    monkeypatch.setattr("npresnet.cpu.team.Team.run", last_lane_first)
    with pytest.raises(AssertionError):
        check()


def test_one_lane_needs_no_barrier(monkeypatch):
    """That schedule is wrong for the missing barrier alone: with all tiles in one lane it is right."""
    monkeypatch.setattr("npresnet.cpu.executable.Barrier", NoBarrier)
    monkeypatch.setattr("npresnet.cpu.team.Team.run", last_lane_first)
    monkeypatch.setattr("npresnet.cpu.conv2d.lane_of", lambda tile, tiles, lanes: 0)
    monkeypatch.setattr("npresnet.cpu.running.lane_of", lambda tile, tiles, lanes: 0)
    check_network_exact(*tiled_network(), threads=2)
