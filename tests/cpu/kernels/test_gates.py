"""Gates, slices, pools and split attention on the CPU: exact on integers, same bits in every batch, small errors."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.attention_blocks import BLOCKS, CHANNELS, SIZE, block
from tests.support.cases import integers
from tests.support.float_error import assert_as_exact_as
from tests.support.gate_cases import channel_networks, gate_networks, gated, one_number, radix_networks
from tests.support.network_checks import check_network_exact

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("networks", [gate_networks, channel_networks, radix_networks], ids=lambda made: made.__name__)
def test_exact_on_integers(networks, threads):
    for _, network, image in networks():
        check_network_exact(network, image, threads=threads)


@pytest.mark.parametrize(("op", "kind"), [("multiply", "map"), ("multiply", "position"), ("broadcast_add", "channel")])
@pytest.mark.parametrize("channels", [24, 520])
def test_exact_in_many_bands(op, kind, channels):
    """Several tiles, or one, of several bands each."""
    size = (89, 99) if channels < 500 else (23, 11)
    network = gated(op, kind, size, residual=True, activation="relu")
    with cpu_of(network, threads=2) as executable:
        steps = {step.name: step for step in executable.plan((channels, *size)).steps}
        assert all(len(tile) >= 3 * 3 for tile in steps["y"].tiles)  # of a band: combine, add, activate
        assert len(steps["y"].tiles) == (2 if channels < 500 else 1)
    check_network_exact(network, (channels, *size), threads=2)


def cpu_of(network: Network, **options):
    return closing(cpu.compile(network, winograd=False, **options))


def test_gates_beside_a_padded_reader():
    """The map, its gate and the result lie between zeros that a convolution needs, and are not contiguous."""
    rng = np.random.default_rng(0)

    def conv(name: str, x: str) -> Node:
        return Node(name, "conv2d", (x,), Window.of(3, 1, 1), params={"weight": integers(rng, (6, 6, 3, 3), most=1)})

    nodes = (
        Node("x", "relu", (INPUT,)),
        one_number((9, 8), source="x"),
        Node("eca", "channel_conv1d", ("gate",), params={"weight": integers(rng, (1, 1, 3))}),
        Node("gated", "multiply", ("x", "gate", "x"), activation="relu"),
        Node("max", "global_max_pool", ("x",)),
        Node("part", "slice_channels", ("gated",), attrs={"start": 0, "stop": 3}),
        Node("whole", "concat", ("part", "part")),
        Node("sum", "radix_sum", ("whole",), attrs={"radix": 2}),
        Node("weighted", "radix_weighted_sum", ("whole", "gate"), attrs={"radix": 3}),
        *(conv(f"conv {name}", name) for name in ("x", "gate", "gated", "eca", "whole")),
    )
    asked = ("eca", "max", "sum", "weighted", "conv x", "conv gate", "conv gated", "conv eca", "conv whole")
    check_network_exact(Network(nodes, {name: name for name in asked}), (6, 9, 8), threads=2)


@pytest.mark.parametrize("name", BLOCKS)
def test_no_less_exact_than_pytorch(name):
    """The whole block, optimised, against timm's module; the same bits for an image alone and in a batch."""
    module, network = block(name)
    x = np.random.default_rng(1).standard_normal((8, CHANNELS, *SIZE)).astype(np.float32)
    with torch.no_grad():
        theirs = module.float()(torch.from_numpy(x)).numpy()
        exact = module.double()(torch.from_numpy(x).double()).numpy()
    with cpu_of(passes.optimize(network), threads=1) as executable:
        ours = executable(x)["y"]
        alone = np.concatenate([executable(x[i : i + 1])["y"] for i in range(8)])
    with cpu_of(passes.optimize(network), threads=3) as executable:
        parallel = np.concatenate([executable(x[:5])["y"], executable(x[5:])["y"]])
    assert_as_exact_as(ours, theirs, exact)
    np.testing.assert_array_equal(alone, ours)
    np.testing.assert_array_equal(parallel, ours)


def context(size: tuple[int, int], channels: int) -> Network:
    """Global context: a weighted mean over all positions, added to every one of them."""
    weight = np.random.default_rng(1).standard_normal((1, channels, 1, 1)).astype(np.float32)
    nodes = (
        Node("logits", "conv2d", (INPUT,), Window.of(1), params={"weight": weight}),
        Node("context", "spatial_attention_pool", (INPUT, "logits")),
        Node("mean", "channel_mean", (INPUT,), activation="relu"),
        Node("y", "broadcast_add", (INPUT, "context")),
    )
    return Network(nodes, {"y": "y", "context": "context", "mean": "mean"})


@pytest.mark.parametrize(("size", "channels"), [((1, 1), 3), ((7, 5), 40), ((56, 56), 130)])
def test_global_context(size, channels):
    network = context(size, channels)
    x = np.random.default_rng(2).standard_normal((8, channels, *size)).astype(np.float32)
    expected = ops.run(network, x.astype(np.float64))
    single = ops.run(network, x)
    for threads in (1, 2):
        with cpu_of(network, threads=threads) as executable:
            got, alone = executable(x), executable(x[3:4])
        for name, exact in expected.items():
            np.testing.assert_array_equal(got[name][3:4], alone[name])
            if name != "y" and channels > 3:
                assert_as_exact_as(got[name], single[name], exact)
            np.testing.assert_allclose(got[name], exact, rtol=1e-5, atol=1e-5)


def test_the_mean_of_a_large_map_is_as_exact_as_pytorchs():
    """Its channels are divided between workers, which must not change a bit."""
    x = np.random.default_rng(3).standard_normal((8, 256, 56, 56)).astype(np.float32) + 1
    network = Network((Node("y", "global_avg_pool", (INPUT,)),), {"y": "y"})
    with cpu_of(network, threads=1) as executable:
        ours = executable(x)["y"]
    with cpu_of(network, threads=2) as executable:
        assert len(executable.plan((256, 56, 56)).steps[0].tiles) > 1
        np.testing.assert_array_equal(executable(x)["y"], ours)
    theirs = torch.from_numpy(x).mean((2, 3), keepdim=True).numpy()
    assert_as_exact_as(ours, theirs, x.astype(np.float64).mean((2, 3), keepdims=True))


@pytest.mark.parametrize("radix", [2, 3])
def test_a_mean_over_the_radix(radix):
    """Of a small map, and of one whose channels are divided between workers: as the operations apart have it."""
    for channels, size in ((6, (3, 7)), (768, (20, 20))):
        x = integers(np.random.default_rng(radix), (2, channels, *size))
        total = Node("sum", "radix_sum", (INPUT,), attrs={"radix": radix})
        network = Network((total, Node("y", "global_avg_pool", ("sum",), activation="relu")), {"y": "y"})
        fused = passes.optimize(network)
        assert len(fused) == 1
        for threads in (1, 2):
            with cpu_of(fused, threads=threads) as executable:
                np.testing.assert_array_equal(executable(x)["y"], ops.run(network, x)["y"])
