"""Small networks with normalisations by the image, PReLU and blurred strides on the CPU: parity, bits, fusion."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, passes
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support import torch_run

CHANNELS = 32
NORMS = {
    "group_norm": (("weight", "bias"), {"groups": 8}),
    "layer_norm2d": (("weight", "bias"), {}),
    "filter_response_norm": (("weight", "bias", "tau"), {}),
    "evo_norm_s0": (("weight", "bias", "v"), {"groups": 4}),
}


def residual_network(norm: str) -> Network:
    """Stem, blur pool, two pre-activation blocks at 14x14 and below, a head: as deep as the cut that batches share."""
    rng = np.random.default_rng(1)
    roles, attrs = NORMS[norm]

    def conv(name: str, x: str, stride: int = 1, in_channels: int = CHANNELS, size: int = 3) -> Node:
        weight = rng.normal(0, (2 / (in_channels * size**2)) ** 0.5, (CHANNELS, in_channels, size, size))
        window = Window.of(size, stride, size // 2)
        return Node(name, "conv2d", (x,), window, params={"weight": weight.astype(np.float32)})

    def normed(name: str, x: str) -> Node:
        params = {role: rng.normal(0.8, 0.2, CHANNELS).astype(np.float32) for role in roles}
        return Node(name, norm, (x,), attrs={**attrs, "eps": 1e-5}, params=params)

    def slopes(name: str, x: str) -> Node:
        return Node(name, "prelu", (x,), params={"weight": rng.uniform(0, 0.5, CHANNELS).astype(np.float32)})

    taps = np.tile(np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16, (CHANNELS, 1, 1, 1))
    nodes = [
        conv("stem", INPUT, 2, 3, 5),
        Node("pad", "pad2d", ("stem",), attrs={"padding": (1, 1, 1, 1), "mode": "reflect"}),
        Node("blur", "conv2d", ("pad",), Window.of(3, 2), CHANNELS, params={"weight": taps}),
    ]
    x = "blur"
    for block in ("a", "b", "c"):
        nodes += [
            normed(f"{block}.norm1", x),
            slopes(f"{block}.act1", f"{block}.norm1"),
            conv(f"{block}.conv1", f"{block}.act1"),
            normed(f"{block}.norm2", f"{block}.conv1"),
            Node(f"{block}.act2", "gelu", (f"{block}.norm2",)),
            conv(f"{block}.conv2", f"{block}.act2"),
            Node(f"{block}.sum", "add", (f"{block}.conv2", x)),
        ]
        x = f"{block}.sum"
    nodes += [normed("norm", x), Node("relu", "relu", ("norm",)), Node("pool", "global_avg_pool", ("relu",))]
    nodes.append(Node("flat", "flatten", ("pool",)))
    return passes.optimize(Network(tuple(nodes), {"y": "flat"}))


@pytest.mark.parametrize("norm", NORMS)
def test_error_and_bits_of_a_network(norm):
    network = residual_network(norm)
    x = np.random.default_rng(2).normal(0.2, 1, (4, 3, 57, 60)).astype(np.float32)
    exact = torch_run.run(network, x)["y"]
    theirs = torch_run.run(network, x, np.float32)["y"]
    alone = None
    for threads, winograd in ((1, True), (2, True)):
        executable = cpu.compile(network, threads=threads, winograd=winograd)
        together = executable(x)["y"]
        apart = np.concatenate([executable(image[None])["y"] for image in x])
        executable.close()
        np.testing.assert_array_equal(together, apart)
        alone = apart if alone is None else alone
        np.testing.assert_array_equal(apart, alone)
    ours, reference = (np.sqrt(np.mean(np.square(found - exact))) for found in (alone, theirs))
    assert ours <= 2 * reference


def test_a_norm_before_a_convolution_carries_its_activation():
    """BatchNorms that follow no convolution stay, as one pass with the activation: pre-activation networks."""
    vector = np.linspace(0.5, 2, 8).astype(np.float32)
    norm = {"running_mean": vector, "running_var": vector, "weight": vector, "bias": -vector}
    weight = np.ones((8, 8, 1, 1), np.float32)
    nodes = (
        Node("pool", "max_pool2d", (INPUT,), Window.of(2, 2)),
        Node("norm", "batch_norm", ("pool",), attrs={"eps": 1e-5}, params=norm),
        Node("relu", "relu", ("norm",)),
        Node("conv", "conv2d", ("relu",), Window.of(1), params={"weight": weight}),
        Node("norm2", "group_norm", ("conv",), attrs={"groups": 4, "eps": 1e-5}),
        Node("silu", "silu", ("norm2",)),
    )
    network = passes.optimize(Network(nodes, {"y": "silu"}))
    assert [(node.op, node.activation) for node in network] == [
        ("max_pool2d", None),
        ("batch_norm", "relu"),
        ("conv2d", None),
        ("group_norm", "silu"),
    ]
    x = np.random.default_rng(0).normal(size=(2, 8, 40, 42)).astype(np.float32)
    got = cpu.compile(network, threads=2)(x)["y"]
    np.testing.assert_allclose(got, torch_run.run(network, x)["y"], rtol=1e-4, atol=1e-5)
