"""Every operation of the registry, with every activation that it may carry, on the CPU backend."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.cpu.compiler.lowerings import LOWERINGS
from npresnet.cpu.kernels.lowering import Options
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS
from npresnet.window import Window
from tests.support.any_node import all_operations, network_of, shape_for
from tests.support.together import run_together

# on integers: nothing is rounded
EXACT = {
    "conv2d",
    "conv2d_max_pool2d",
    "max_pool2d",
    "flatten",
    "add",
    "multiply",
    "broadcast_add",
    "shortcut_a",
    "global_max_pool",
    "channel_conv1d",
    "slice_channels",
    "concat",
    "radix_sum",
    "radix_weighted_sum",
    "channel_max",
    "conv3d",
    "max_pool3d",
    "relu",
    "relu6",
    "prelu",
    "pad2d",
}
OF_BANDS, CLIP_OF_BANDS = (4, 170, 301), (4, 5, 90, 131)  # of several tiles an image
FIXED_SIZE = ("attention_pool2d", "multiply", "broadcast_add", "channel_conv1d", "radix_softmax", "radix_weighted_sum")
ULPS = 16  # of the larger of the operation's result and its activation's: exp and a few operations, each rounded


def test_the_backend_has_every_operation():
    assert set(LOWERINGS) == set(OPERATIONS)


def images(network: Network, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(-3, 4, (count, *shape_for(network))).astype(np.float32)


def activations_of(op: str) -> list[str]:
    return [name for name, one in ACTIVATIONS.items() if one.is_monotone or not OPERATIONS[op].monotone_only]


def check(network: Network) -> None:
    """Against the specification in float64; bit for bit where nothing is rounded."""
    x = images(network)
    expected = ops.run(network, x.astype(np.float64))["y"]
    is_exact = {name for node in network for name in (node.op, node.activation) if name} <= EXACT
    for threads in (1, 2):
        with np.errstate(all="raise"):
            got = cpu.compile(network, threads=threads, winograd=False)(x)["y"]
        assert got.dtype == np.float32
        if is_exact:
            np.testing.assert_array_equal(got, expected.astype(np.float32))
        unit = np.finfo(np.float32).eps * max(1, np.abs(expected).max(), np.abs(x).max())
        assert np.abs(got - expected).max() <= ULPS * unit


@pytest.mark.parametrize("op", all_operations())
def test_every_operation_alone_and_with_every_activation(op):
    check(network_of(op))
    for name in activations_of(op):
        check(network_of(op, activation=name))


@pytest.mark.parametrize("op", all_operations())
def test_images_in_one_plan_have_the_bits_that_each_has_alone(op):
    """As the deep layers of a batch run: an image never takes what belongs to its neighbour."""
    network = network_of(op)
    for shape in [
        shape_for(network),
        *([] if op in FIXED_SIZE else [CLIP_OF_BANDS if network.takes_clips else OF_BANDS]),
    ]:
        x = np.random.default_rng(1).normal(0.3, 1, (3, *shape)).astype(np.float32)
        together = run_together(network, x, options=Options(winograd=False))["y"]
        for image, got in zip(x, together, strict=True):
            alone = run_together(network, image[None], options=Options(winograd=False))["y"][0]
            np.testing.assert_array_equal(got, alone)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_fused_and_apart_are_the_same_bits(name):
    """The activation as a separate node, and fused into the operation before it."""
    for op in [op for op, operation in OPERATIONS.items() if operation.fuses]:
        nodes, x = network_of(op).nodes, images(network_of(op)) / 7
        attrs = {"negative_slope": 0.3} if name == "leaky_relu" else {}
        apart = Network((*nodes, Node("z", name, ("y",), attrs=attrs)), {"z": "z"})
        fused = passes.fuse(apart)
        assert (fused.nodes[-1].op, fused.nodes[-1].activation) == (op, name)
        got = cpu.compile(fused, threads=1, winograd=False)(x)["z"]
        expected = cpu.compile(apart, threads=1, winograd=False)(x)["z"]
        np.testing.assert_array_equal(got, expected)


def test_what_the_backend_lacks_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(
        "npresnet.cpu.compiler.lowerings.LOWERINGS", {n: one for n, one in LOWERINGS.items() if n != "silu"}
    )
    with pytest.raises(ArchitectureError, match="y: the CPU backend has no operation 'silu'"):
        cpu.compile(network_of("silu"))
    with pytest.raises(ArchitectureError, match="y: the CPU backend has no operation 'silu'"):
        cpu.compile(network_of("add", activation="silu"))
    with pytest.raises(ArchitectureError, match="a: unknown operation 'fourier'"):
        cpu.compile(Network((Node("a", "fourier", (INPUT,)),), {"a": "a"}))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_huge_and_infinite_numbers(name):
    """As the specification has them, NaN included; `gelu`'s polynomial must not magnify its last error."""
    x = np.array([-np.inf, -3e38, -1e10, -90, 0, 90, 1e10, 3e38, np.inf, np.nan], np.float32).reshape(1, 1, 2, 5)
    with np.errstate(all="ignore"):
        expected = ops.run(network_of_one(name), x)["y"]
    got = cpu.compile(network_of_one(name), threads=1)(x)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-30)


def network_of_one(name: str) -> Network:
    return Network((Node("y", name, (INPUT,)),), {"y": "y"})


SEVERAL_TILES = {
    "pad by zeros": Node("y", "pad2d", (INPUT,), attrs={"padding": (1, 2, 3, 2)}),
    "pad by reflection": Node("y", "pad2d", (INPUT,), attrs={"padding": (1, 2, 3, 2), "mode": "reflect"}),
    "average without the padding": Node(
        "y", "avg_pool2d", (INPUT,), Window.of(3, 1, 1), attrs={"count_include_pad": False}
    ),
    "steep prelu": Node("y", "prelu", (INPUT,), params={"weight": np.array([2, 1, 0.5, 4], np.float32)}),
    "weighted sum": Node("y", "radix_weighted_sum", (INPUT, "peaks"), attrs={"radix": 2}),
}


@pytest.mark.parametrize("height", [130, 260])  # of a weighted sum one tile, nearly two
@pytest.mark.parametrize("name", SEVERAL_TILES)
def test_the_first_and_the_last_tile_of_a_map(name, height):
    node = SEVERAL_TILES[name]
    peaks = (Node("peaks", "global_max_pool", (INPUT,)),) if "peaks" in node.inputs else ()
    network = Network((*peaks, node), {"y": "y"})
    x = np.random.default_rng(0).integers(-3, 4, (1, 4, height, 240)).astype(np.float32)
    got = cpu.compile(network, threads=2)(x)["y"]
    np.testing.assert_allclose(got, ops.run(network, x.astype(np.float64))["y"], rtol=1e-6)
