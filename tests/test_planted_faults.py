"""Planted faults: the suite's checks must reject each of them.

Each fault replaces a working function, and the check that the other tests apply to the working function must fail with
an AssertionError.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from npresnet import ops
from npresnet.passes import fold_batch_norm
from tests.support import faults
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
    """Replace `module.name` by `wrap(working)`."""
    owner = importlib.import_module(module)
    monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


# --- faults in sliding windows; `working` is ops.windows.sliding_windows, (N, C, OH, OW, KH, KW) ---


@pytest.mark.parametrize(
    ("module", "fault", "checks"),
    [
        ("conv2d", faults.swapped_taps, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", faults.flipped_filter, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", faults.dilation_ignored, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", faults.stride_before_dilation, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", faults.one_row_off, ["conv2d", "conv2d, naive", "fused"]),
        ("conv2d", faults.truncated_edge, ["conv2d", "conv2d, naive", "fused"]),
        ("max_pool2d", faults.zero_under_the_maximum, ["max_pool2d"]),
        ("max_pool2d", faults.dilation_ignored, ["max_pool2d"]),
        ("max_pool2d", faults.truncated_edge, ["max_pool2d"]),
        ("avg_pool2d", faults.truncated_edge, ["avg_pool2d"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_windows_with_wrong_pixels(monkeypatch, module, fault, checks):
    plant(monkeypatch, f"npresnet.ops.{module}", "sliding_windows", fault)
    for check in checks:
        with pytest.raises(AssertionError):
            CHECKS_OF_OPS[check]()


# --- faults in whole operations; the check is called on the faulty function ---


@pytest.mark.parametrize("check", [check_conv_exact, check_conv_naive])
@pytest.mark.parametrize(
    "fault",
    [
        faults.stride_on_the_wrong_axis,
        faults.groups_out_of_order,
        faults.filters_out_of_order,
        faults.bias_forgotten,
        faults.first_image_only,
    ],
    ids=lambda fault: fault.__name__,
)
def test_faulty_convolutions(fault, check):
    with pytest.raises(AssertionError):
        check(fault)


@pytest.mark.parametrize("channels", ["two groups", "depthwise, two filters a channel"])
def test_groups_out_of_order_are_detected_among_their_own_cases(channels):
    fault = faults.groups_out_of_order if channels == "two groups" else faults.filters_out_of_order
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
        "eps forgotten", "mean forgotten", "times a rounded reciprocal", "division per pixel", "padding always counts",
        "mean, rounded down", "maximum, rounded down", "no bias", "features backwards",
    ],
)  # fmt: skip
def test_faulty_operations(check, fault):
    with pytest.raises(AssertionError):
        check(fault)


@pytest.mark.parametrize(
    "fault", [faults.relu_before_residual, faults.relu_forgotten], ids=lambda fault: fault.__name__
)
def test_a_faulty_interpreter(monkeypatch, fault):
    plant(monkeypatch, "npresnet.ops.run", "compute", fault)
    with pytest.raises(AssertionError):
        CHECKS_OF_OPS["fused"]()
    if fault is faults.relu_forgotten:
        with pytest.raises(AssertionError):
            check_pointwise_exact(ops.run)


# --- faults in the passes and the CPU backend ---


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # without eps, a variance of 0 divides
def test_eps_forgotten_in_folding(monkeypatch):
    plant(monkeypatch, "npresnet.passes.fold_batch_norm", "scale_and_shift", faults.without_eps)
    with pytest.raises(AssertionError):
        check_fold(fold_batch_norm)


@pytest.mark.parametrize(
    ("module", "name", "fault", "checks"),
    [
        ("cpu.kernels.direct", "window_view", faults.swapped_columns, ["conv2d", "fused"]),
        ("cpu.kernels.direct", "window_view", faults.undilated, ["conv2d"]),
        ("cpu.kernels.filters", "block_diagonal", faults.scrambled_blocks, ["conv2d", "wide conv2d"]),
        ("cpu.kernels.direct", "epilogue", faults.relu_before_residual_in_a_tile, ["fused"]),
        ("cpu.kernels.direct", "epilogue", faults.residual_forgotten, ["fused", "network"]),
        ("cpu.kernels.tiling", "split", faults.short_last_band, ["conv2d", "wide conv2d"]),
        ("cpu.kernels.calls", "copy", faults.no_minus_infinity, ["max_pool2d"]),
        ("cpu.kernels.pointwise", "scale_and_shift", faults.without_eps, ["batch_norm"]),
        ("plan.layout", "value_lifetimes", faults.dies_at_once, ["network"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_faulty_backend(monkeypatch, module, name, fault, checks):
    plant(monkeypatch, f"npresnet.{module}", name, fault)
    for check in checks:
        with pytest.raises(AssertionError):
            CHECKS_OF_CPU[check]()


@pytest.mark.parametrize("threads", [2, 3])
def test_missing_gates(monkeypatch, threads):
    """All gates are removed; tests/cpu/runtime/test_schedule.py removes one at a time."""
    check = partial(check_network_exact, *tiled_network(), threads=threads)
    check()
    plant(monkeypatch, "npresnet.cpu.runtime.schedule", "waits_of", faults.no_waits)
    monkeypatch.setattr("npresnet.cpu.runtime.workers.Team.run", faults.last_worker_first)
    with pytest.raises(AssertionError):
        check()


def test_one_worker_needs_no_gate(monkeypatch):
    """The order is wrong only because of the missing gates: with all tiles in one worker it is right."""
    plant(monkeypatch, "npresnet.cpu.runtime.schedule", "waits_of", faults.no_waits)
    monkeypatch.setattr("npresnet.cpu.runtime.workers.Team.run", faults.last_worker_first)
    monkeypatch.setattr("npresnet.cpu.compiler.conv2d.worker_of", lambda tile, tiles, workers: 0)
    monkeypatch.setattr("npresnet.cpu.runtime.schedule.worker_of", lambda tile, tiles, workers: 0)
    check_network_exact(*tiled_network(), threads=2)
