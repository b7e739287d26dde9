"""Normalisations by the image itself on the CPU: errors against PyTorch's, digits, bits, barriers, planted faults."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.cpu.kernels import image_statistics
from npresnet.cpu.runtime.schedule import make_schedule
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support import torch_run

CHANNELS = 64


def vectors(*roles: str, channels: int = CHANNELS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {role: rng.normal(0.8, 0.3, channels).astype(np.float32) for role in roles}


def node(op: str, params: dict[str, np.ndarray], activation: str | None = None, **attrs: object) -> Node:
    return Node("y", op, (INPUT,), attrs={"eps": 1e-5, **attrs}, params=params, activation=activation)


NODES = {
    "group_norm": node("group_norm", vectors("weight", "bias"), "relu", groups=32),
    "group_norm of 4": node("group_norm", vectors("weight", "bias"), groups=4),
    "instance norm": node("group_norm", vectors("weight", "bias"), "silu", groups=CHANNELS),
    "instance norm alone": node("group_norm", {}, groups=CHANNELS),
    "one group": node("group_norm", vectors("weight"), groups=1),
    "group_norm of a block": node("group_norm", vectors("weight", "bias"), "relu", groups=16).evolve(
        inputs=(INPUT, INPUT)
    ),
    "layer_norm2d": node("layer_norm2d", vectors("weight", "bias"), "gelu"),
    "layer_norm2d without bias": node("layer_norm2d", vectors("weight")),
    "frn": node("filter_response_norm", vectors("weight", "bias"), "relu"),
    "frn with tau": node("filter_response_norm", vectors("weight", "bias", "tau")),
    "evo_norm_s0": node("evo_norm_s0", vectors("weight", "bias", "v"), groups=8),
}
SIZES = [(9, 11), (61, 57), (7, 7), (1, 1), (2, 130)]  # one band, several ragged ones, two pieces, a pixel, wide rows


def network(one: Node, *, haloed: bool = False) -> Network:
    """The node alone; or read by a convolution too, so that there are zeros around its value and around its input."""
    if not haloed:
        return Network((one,), {"y": "y"})
    weight = np.eye(CHANNELS, dtype=np.float32)[:, :, None, None] * np.eye(3, dtype=np.float32)[1][:, None] * [0, 1, 0]
    convs = [
        Node(f"conv of {name}", "conv2d", (name,), Window.of(3, 1, 1), params={"weight": weight})
        for name in ("same", "y")
    ]
    same = Node("same", "max_pool2d", (INPUT,), Window.of(1))
    inputs = ("same", *one.inputs[1:])
    return Network((same, convs[0], one.evolve(inputs=inputs), convs[1]), {"y": "y", "z": "conv of y"})


def image(*shape: int, mean: float = 0.3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, shape).astype(np.float32)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


def run(made: Network, x: np.ndarray, threads: int = 1) -> np.ndarray:
    executable = cpu.compile(made, threads=threads, winograd=False)
    try:
        return executable(x)["y"]
    finally:
        executable.close()


@pytest.mark.parametrize("name", NODES)
def test_error_is_at_most_twice_that_of_pytorch(name):
    for size in SIZES:
        if size == (1, 1) and name.startswith("instance"):
            continue  # every number is its own mean
        x = image(2, CHANNELS, *size)
        made = network(NODES[name])
        exact = torch_run.run(made, x)["y"]
        theirs = rms(torch_run.run(made, x, np.float32)["y"] - exact)
        assert rms(run(made, x) - exact) <= 2 * theirs + 1e-9, size


@pytest.mark.parametrize("mean", [30, 1000])
@pytest.mark.parametrize("name", ["group_norm", "group_norm of 4", "instance norm", "one group", "layer_norm2d"])
def test_a_large_mean_does_not_cost_the_variance_its_digits(name, mean):
    """E[x^2] - E[x]^2 of float32 sums has few digits left at a mean of 30, none at 1000."""
    x = image(1, CHANNELS, 61, 57, mean=mean)
    made = network(NODES[name])
    exact = torch_run.run(made, x)["y"]
    theirs = rms(torch_run.run(made, x, np.float32)["y"] - exact)
    assert rms(run(made, x) - exact) <= 2 * theirs


FEW = {  # channels, groups
    "group_norm of 1 channel": (1, node("group_norm", {}, groups=1)),
    "group_norm of 2 channels": (2, node("group_norm", vectors("weight", "bias", channels=2), groups=1)),
    "instance norm of 2 channels": (2, node("group_norm", {}, groups=2)),
    "group_norm of 3 channels": (3, node("group_norm", vectors("weight", channels=3), groups=1)),
    "frn of 2 channels": (2, node("filter_response_norm", vectors("weight", "bias", channels=2))),
    "evo_norm_s0 of 2 channels": (2, node("evo_norm_s0", vectors("weight", "v", channels=2), groups=1)),
}


@pytest.mark.parametrize("mean", [0, 0.9, 2, 30])
@pytest.mark.parametrize("name", FEW)
def test_sums_over_many_pixels_of_few_channels(name, mean):
    """Their sums are long: added up in float32 they would have 100 times PyTorch's error."""
    channels, one = FEW[name]
    for size in ((61, 57), (160, 201)):
        x, made = image(12, channels, *size, mean=mean), network(one)
        exact = torch_run.run(made, x)["y"]
        theirs = rms(torch_run.run(made, x, np.float32)["y"] - exact)
        assert rms(run(made, x) - exact) <= 2 * theirs, size


def test_sums_of_a_whole_band_in_float32_would_be_too_long(monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(image_statistics, "PIECE_PIXELS", image_statistics.BAND_FLOATS)
    channels, one = FEW["group_norm of 2 channels"]
    x, made = image(12, channels, 160, 201), network(one)
    exact = torch_run.run(made, x)["y"]
    assert rms(run(made, x) - exact) > 3 * rms(torch_run.run(made, x, np.float32)["y"] - exact)


def test_float32_sums_of_squares_would_lose_them(monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(image_statistics, "MAX_MEAN", 1e12)
    x, made = image(1, CHANNELS, 61, 57, mean=1000), network(NODES["group_norm"])
    exact = torch_run.run(made, x)["y"]
    assert rms(run(made, x) - exact) > 20 * rms(torch_run.run(made, x, np.float32)["y"] - exact)


@pytest.mark.parametrize("name", NODES)
def test_an_image_has_the_same_bits_in_every_batch_place_and_thread(name):
    x = image(3, CHANNELS, 61, 57)
    x[1] += 40  # takes the other way
    alone = [run(network(NODES[name]), one[None])[0] for one in x]
    for threads, first, last in ((2, 0, 1), (3, 1, 2), (1, 0, 3), (2, 0, 3)):
        np.testing.assert_array_equal(run(network(NODES[name]), x[first:last], threads), alone[first:last])


@pytest.mark.parametrize("name", NODES)
def test_zeros_around_a_map_are_neither_counted_nor_written(name):
    x = image(1, CHANNELS, 19, 33)
    expected = run(network(NODES[name]), x)
    made = network(NODES[name], haloed=True)
    for threads in (1, 2):
        executable = cpu.compile(made, threads=threads, winograd=False)
        for _ in range(2):
            got = executable(x)
            np.testing.assert_allclose(got["y"], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(got["z"], got["y"])
        executable.close()


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("shape", [(16,), (16, 1, 1)])
def test_group_norm_of_pooled_values(shape, groups):
    norm = node("group_norm", vectors("weight", "bias", channels=16), groups=groups)
    pool = [Node("pool", "global_avg_pool", (INPUT,))]
    if len(shape) == 1:
        pool.append(Node("flat", "flatten", ("pool",)))
    made = Network((*pool, norm.evolve(inputs=(pool[-1].name,))), {"y": "y"})
    x = image(3, 16, 5, 6)
    np.testing.assert_allclose(run(made, x, 2), ops.run(made, x.astype(np.float64))["y"], rtol=1e-5, atol=1e-6)


def test_whole_numbers_are_exact():
    """Mean 0 and variance 4 or 16 in each group, eps 0: every operation is exact."""
    signs = np.resize(np.array([1, -1], np.float32), (1, 4, 60, 440))
    x = signs * np.array([2, 2, 4, 4], np.float32)[:, None, None]
    weight, bias = np.array([1, 2, 3, 4], np.float32), np.array([-1, 0, 1, 2], np.float32)
    one = Node("y", "group_norm", (INPUT,), attrs={"eps": 0, "groups": 2}, params={"weight": weight, "bias": bias})
    expected = signs * weight[:, None, None] + bias[:, None, None]
    np.testing.assert_array_equal(run(network(one), x), expected)
    frn = one.evolve(op="filter_response_norm", attrs={"eps": 0})
    np.testing.assert_array_equal(run(network(frn), x), expected)


def test_the_statistics_of_a_constant_image_are_not_negative():
    x = np.full((1, CHANNELS, 20, 20), 0.1, np.float32)
    got = run(network(NODES["group_norm of 4"]), x)
    np.testing.assert_allclose(got, ops.run(network(NODES["group_norm of 4"]), x.astype(np.float64))["y"], atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1000.1, 3e7])
def test_nor_are_they_where_eps_would_not_hide_it(value):
    """The difference of two equal squares may be negative by a rounding, whose root is NaN."""
    one = node("group_norm", {}, groups=1)
    x = np.full((1, CHANNELS, 61, 57), value, np.float32)
    assert np.isfinite(run(network(one.evolve(attrs={"groups": 1, "eps": 1e-30})), x)).all()


@pytest.mark.parametrize("name", ["group_norm", "frn", "evo_norm_s0"])
def test_nan_and_infinity_stay_in_their_image(name):
    x = image(3, CHANNELS, 61, 57)
    x[0, 0, 0, 0], x[2, 1, 60, 0] = np.nan, np.inf
    got = run(network(NODES[name]), x)
    assert np.isnan(got[0]).any()
    assert not np.isfinite(got[2]).all()
    np.testing.assert_array_equal(got[1], run(network(NODES[name]), x[1:2])[0])


def test_rows_wait_for_the_statistics_of_all_bands_and_the_result_for_the_rows():
    plan = cpu.compile(network(NODES["group_norm"]), threads=2).plan((CHANNELS, 61, 57), workers=2)
    (step,) = plan.steps
    bands = len(step.tiles) // 2
    assert bands >= 2
    assert step.barriers == (bands, bands + 1)
    mine, other = make_schedule(plan, 2)
    rows = next(task for task in mine if task.tile == bands)
    assert rows.waits == {1: sum(task.tile < bands for task in other)}
    result = next(task for task in other if task.tile > bands)
    assert result.waits == {0: 1 + mine.index(rows)}
    assert all(not task.waits for task in (*mine, *other) if task.tile < bands)


def test_norms_that_may_run_side_by_side_share_no_memory():
    """One worker may be at the second norm while another still reads the first one's rows."""
    norms = [NODES["group_norm"].evolve(name=name) for name in ("a", "b")]
    made = Network(tuple(norms), {"a": "a", "b": "b"})
    for workers, is_shared in ((1, True), (2, False)):
        plan = cpu.compile(made, threads=2).plan((CHANNELS, 61, 57), workers=workers)
        calls = [[call for tile in step.tiles for call in tile] for step in plan.steps]
        rows = [args[-1] for step in calls for kernel, args in step if kernel is image_statistics.group_norm_rows]
        tables = [
            args[0].table for step in calls for kernel, args in step if kernel is image_statistics.group_norm_rows
        ]
        assert np.shares_memory(*rows) is is_shared
        assert np.shares_memory(*tables) is is_shared


@pytest.mark.parametrize(
    ("size", "workers", "bands"),
    [((61, 57), 1, 2), ((61, 57), 2, 2), ((61, 57), 16, 2), ((55, 56), 2, 1), ((39, 39), 2, 1), ((120, 120), 4, 8)],
)
def test_workers_share_a_large_map_and_leave_a_small_one_to_one(size, workers, bands):
    """Waking a worker costs more than its half of 14x14 and 256 channels. Of 222,528, 197,120, 97,344, 921,600."""
    plan = cpu.compile(network(NODES["group_norm"]), threads=workers).plan((CHANNELS, *size), workers=workers)
    assert len(plan.steps[0].tiles) == 2 * bands + 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (7, 7), (14, 14), (56, 56), (113, 3), (61, 67)])
def test_pieces_are_all_pixels(height, width):
    pieces = image_statistics.pieces_of(height, width)
    bounds = [pieces.bounds(n, n + 1) for n in range(pieces.number)]
    assert [pixel for first, last in bounds for pixel in range(first, last)] == list(range(height * width))
    assert all(0 < last - first <= image_statistics.PIECE_PIXELS for first, last in bounds)


def test_a_missing_barrier_is_detected():
    """With the bands' tables of another image, results differ: what would happen without the wait."""
    executable = cpu.compile(network(NODES["group_norm"]), threads=1)
    plan = executable.plan((CHANNELS, 61, 57))
    (step,) = plan.steps
    x = image(2, CHANNELS, 61, 57)
    x[1] *= 3
    for one, tiles in ((x[1], step.tiles), (x[0], step.tiles[len(step.tiles) // 2 :])):
        plan.input[0] = one
        for tile in tiles:
            for kernel, args in tile:
                kernel(*args)
    assert np.abs(plan.outputs["y"] - run(network(NODES["group_norm"]), x[:1])).max() > 0.1
