"""Convolutions and pools over clips on the CPU: exact on integers by direct products, Winograd within its error."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.cpu.compiler import conv3d as lowering
from npresnet.cpu.compiler.program import compile_program, prepare
from npresnet.cpu.kernels import clip_direct, clip_winograd
from npresnet.cpu.kernels.layer import Choice
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime.running import copy_in, run_plan
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.clips import small_clip_network


class Case(NamedTuple):
    """A convolution over clips (C, T, H, W)."""

    channels: int
    out_channels: int
    size: tuple[int, int, int]
    window: Window
    groups: int = 1

    def network(self, weight: np.ndarray, bias: np.ndarray, **fields: Any) -> Network:
        params = {"weight": weight, "bias": bias}
        conv = Node("c", "conv3d", (INPUT,), self.window, groups=self.groups, params=params, activation="relu")
        return Network((conv.evolve(**fields),), {"y": "c"})

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.channels // self.groups, *self.window.kernel_size)


def window(*fields: Any) -> Window:
    return Window.of(*fields, axes=3)


DIRECT = {
    "3x3x3": Case(8, 16, (4, 9, 8), window(3, 1, 1)),
    "strided": Case(8, 8, (5, 9, 8), window(3, 2, 1)),
    "stem": Case(3, 64, (4, 15, 14), window((3, 7, 7), (1, 2, 2), (1, 3, 3))),
    "only in time": Case(6, 64, (5, 7, 6), window((3, 1, 1), 1, (1, 0, 0))),
    "only in space": Case(4, 6, (5, 7, 6), window((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    "pointwise": Case(8, 16, (4, 7, 6), window(1)),
    "pointwise, strided": Case(8, 64, (5, 7, 6), window(1, 2)),
    "dilated": Case(8, 8, (6, 9, 9), window(3, 1, 2, 2)),
    "dilated in time": Case(4, 32, (7, 5, 6), window((3, 3, 3), 1, (2, 1, 1), (2, 1, 1))),
    "groups": Case(8, 16, (4, 7, 6), window(3, 1, 1), 4),
    "wide groups": Case(128, 64, (2, 5, 4), window((3, 3, 1), 1, (1, 1, 0)), 2),
    "deep": Case(64, 128, (2, 7, 7), window(3, 1, 1)),
    "one frame": Case(16, 16, (1, 8, 8), window(3, 1, 1)),
    "many frames": Case(4, 16, (33, 3, 3), window((5, 1, 3), (3, 1, 1), (2, 0, 1))),
}
WINOGRAD = {
    "two chunks of frames": Case(64, 64, (9, 20, 20), window(3, 1, 1)),
    "ragged": Case(32, 64, (5, 17, 19), window(3, 1, 1)),
    "strided": Case(64, 128, (8, 16, 16), window(3, 2, 1)),
    "strided in space alone": Case(64, 64, (4, 17, 18), window((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    "strided in time alone": Case(64, 32, (7, 18, 17), window(3, (2, 1, 1), 1)),
    "more padding": Case(24, 64, (3, 16, 16), window(3, 1, (2, 2, 1))),
    "columns of no panel": Case(40, 45, (4, 16, 17), window(3, 1, 1)),
}


@pytest.mark.parametrize("name", DIRECT)
def test_direct_products_are_exact(name):
    case, rng = DIRECT[name], np.random.default_rng(0)
    weight, bias, x = (
        rng.integers(-3, 4, shape).astype(np.float32)
        for shape in (case.weight_shape, (case.out_channels,), (3, case.channels, *case.size))
    )
    network = case.network(weight, bias)
    right = ops.run(network, x.astype(np.float64))["y"]
    for threads in (1, 2):
        np.testing.assert_array_equal(cpu.compile(network, threads=threads, winograd=False)(x)["y"], right)


CHOSEN = [(name, tile) for name in WINOGRAD for tile in (2, 4)]


@pytest.mark.parametrize(("name", "tile"), CHOSEN)
def test_winograd_is_within_a_few_times_the_direct_error(name, tile, monkeypatch):
    case, rng = WINOGRAD[name], np.random.default_rng(0)
    weight, bias, x = (
        rng.normal(size=shape).astype(np.float32)
        for shape in (case.weight_shape, (case.out_channels,), (2, case.channels, *case.size))
    )
    network = case.network(weight, bias)
    right = ops.run(network, x.astype(np.float64))["y"]
    monkeypatch.setattr(lowering.Conv3dLowering, "choose", lambda self, request: Choice("winograd", tile, "gemm"))
    found = cpu.compile(network, threads=1)
    assert found.steps((case.channels, *case.size))[0].algorithm == f"winograd {tile}x{tile}, gemm"
    y = found(x)["y"]
    limit = 2e-5 if tile == 4 and case.window.stride[1] == 1 else 2e-6
    assert np.sqrt(((y - right) ** 2).mean()) < limit * right.std()
    for threads in (2, 3):
        np.testing.assert_array_equal(cpu.compile(network, threads=threads)(x[1:])["y"], y[1:])


def test_every_form_of_winograds_products():
    """As BLAS's core type has them: panels where small products are fast."""
    case, rng = WINOGRAD["strided"], np.random.default_rng(1)
    weight, x = (rng.normal(size=shape).astype(np.float32) for shape in (case.weight_shape, (1, 64, *case.size)))
    network = case.network(weight, np.zeros(128, np.float32))
    right = ops.run(network, x.astype(np.float64))["y"]
    for form in ("gemm", "panels"):
        choice = {"c": Choice("winograd", 2, form)}
        plan = compile_program(network, x.shape[1:], 1, 1, prepare(network), Options(), fixed=choice).bind()
        copy_in(plan, x)
        run_plan(plan)
        assert np.abs(plan.outputs["y"] - right).max() < 1e-4 * np.abs(right).max()


def test_tiles_of_work_depend_on_the_layer_alone():
    case = WINOGRAD["two chunks of frames"]
    network = case.network(np.ones(case.weight_shape, np.float32), np.zeros(64, np.float32))
    counts = set()
    for workers in (1, 2, 5):
        executable = cpu.compile(network, threads=workers)
        counts.add(len(executable.plan((64, *case.size), workers).steps[0].tiles))
    assert len(counts) == 1


def test_frames_are_cut_where_all_of_them_exceed_the_cache(monkeypatch):
    case, rng = WINOGRAD["two chunks of frames"], np.random.default_rng(2)
    weight, x = (rng.normal(size=shape).astype(np.float32) for shape in (case.weight_shape, (1, 64, *case.size)))
    network = case.network(weight, np.zeros(64, np.float32))
    right = ops.run(network, x.astype(np.float64))["y"]
    tiles = set()
    for limit in (1, 10_000_000):
        monkeypatch.setattr(clip_winograd, "VALUES_FLOATS", limit)
        executable = cpu.compile(network, threads=1)
        tiles.add(len(executable.steps((64, *case.size))[0].tiles))
        np.testing.assert_allclose(executable(x)["y"], right, atol=1e-4 * right.max())
    assert len(tiles) == 2


def test_a_residual_of_a_smaller_halo_and_two_readers():
    """Values are read by convolutions of several halos, in time too, and as a residual."""
    rng = np.random.default_rng(3)

    def conv(name: str, inputs: tuple[str, ...], kernel: Any, padding: Any, dilation: Any = 1) -> Node:
        made = window(kernel, 1, padding, dilation)
        weight = rng.integers(-1, 2, (8, 8, *made.kernel_size)).astype(np.float32)
        return Node(name, "conv3d", inputs, made, params={"weight": weight})

    nodes = (
        conv("a", (INPUT,), 1, 0),
        conv("b", ("a",), 3, 1),
        conv("c", ("a", "b"), (3, 3, 1), (2, 2, 0), (2, 2, 1)),
        conv("d", ("c", "a"), (1, 3, 3), (0, 1, 1)).evolve(activation="relu"),
        Node("pool", "max_pool3d", ("a",), window(3, 2, 1)),
        Node("mean", "avg_pool3d", ("pool",), window(2, 1, 1), activation="relu"),
        Node("norm", "batch_norm", ("a",), attrs={"eps": 0.0}, params=_exact_norm(8)),
    )
    network = Network(nodes, {name: name for name in ("d", "mean", "norm", "c")})
    x = rng.integers(-1, 2, (3, 8, 5, 7, 6)).astype(np.float32)
    right = ops.run(network, x.astype(np.float64))
    for threads in (1, 2):
        found = cpu.compile(network, threads=threads, winograd=False)(x)
        for name, value in right.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6)


def _exact_norm(channels: int) -> dict[str, np.ndarray]:
    numbers = np.arange(1, channels + 1, dtype=np.float32)
    return {"running_mean": numbers, "running_var": np.full(channels, 4, np.float32), "weight": 2 * numbers}


def test_clips_of_one_stored_size_do_not_share_their_halos():
    """(4, 4, H, W) and (8, 2, H, W) have as many numbers a position, but zeros at other places."""
    rng = np.random.default_rng(4)

    def conv(name: str, source: str, channels: int, out_channels: int, stride: int) -> Node:
        weight = rng.integers(-1, 2, (out_channels, channels, 3, 3, 3)).astype(np.float32)
        return Node(name, "conv3d", (source,), window(3, (stride, 1, 1), 1), params={"weight": weight})

    nodes = (conv("a", INPUT, 4, 4, 1), conv("b", "a", 4, 12, 3), conv("c", "b", 12, 4, 1), conv("d", "c", 4, 4, 1))
    network = Network(nodes, {"y": "d"})
    x = rng.integers(-1, 2, (2, 4, 4, 5, 5)).astype(np.float32)
    right = ops.run(network, x.astype(np.float64))["y"]
    np.testing.assert_array_equal(cpu.compile(network, threads=1, winograd=False)(x)["y"], right)


def test_a_whole_network_and_its_bits():
    network = passes.optimize(small_clip_network())
    x = np.random.default_rng(5).normal(size=(5, 3, 4, 11, 10)).astype(np.float32)
    right = ops.run(network, x.astype(np.float64))
    one = cpu.compile(network, threads=1)(x)
    for name, value in right.items():
        np.testing.assert_allclose(one[name], value, rtol=1e-4, atol=1e-5)
    for threads in (1, 2, 3):
        executable = cpu.compile(network, threads=threads)
        for first, last in ((0, 1), (1, 4), (2, 5)):
            for name, value in executable(x[first:last]).items():
                np.testing.assert_array_equal(value, one[name][first:last])


PLANTED = {
    clip_direct: ("frame_bytes * time.stride[0]", "frame_bytes"),
    clip_winograd: ("time.stride[0] * one.in_channels * item", "one.in_channels * item"),
}


@pytest.mark.parametrize("module", PLANTED, ids=lambda module: module.__name__.rpartition(".")[2])
def test_frames_that_are_not_strided_are_noticed(module, monkeypatch):
    source, (right_text, wrong_text) = inspect.getsource(module._windows), PLANTED[module]
    assert source.count(right_text) == 1
    made = dict(vars(module))
    exec(source.replace(right_text, wrong_text), made)
    monkeypatch.setattr(module, "_windows", made["_windows"])
    case, rng = Case(64, 64, (6, 32, 32), window(3, 2, 1)), np.random.default_rng(6)
    weight, x = (rng.integers(-1, 2, shape).astype(np.float32) for shape in (case.weight_shape, (1, 64, *case.size)))
    network = case.network(weight, np.zeros(64, np.float32))
    choice = Choice("winograd", 2) if module is clip_winograd else Choice()
    monkeypatch.setattr(lowering, "choose", lambda *args, **options: choice)
    found = cpu.compile(network, threads=1)(x)["y"]
    assert np.abs(found - ops.run(network, x.astype(np.float64))["y"]).max() > 1
