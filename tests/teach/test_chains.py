"""A convolution and what the passes put into the same step, whatever activation ends it."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, activation_of
from npresnet.passes import optimize
from npresnet.teach.explain.chain import find_chain
from npresnet.teach.explain.pixel import Place, compute_ways, work_out
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.random_networks import random_network


def test_chains_are_what_the_passes_merge(subtests):
    """Asked for the chain's last node alone, the passes make one step of the chain; and it gives the same number."""
    for seed in range(12):
        with subtests.test(seed=seed):
            check_chains_of_random_network(seed)


def check_chains_of_random_network(seed):
    network, (channels, height, width) = random_network(seed)
    x = integers(np.random.default_rng(seed), (1, channels, height, width))
    for conv in [node for node in network if node.op == "conv2d"]:
        chain = find_chain(network, conv)
        asked = network.with_outputs([chain.last])
        optimized = optimize(asked)
        assert optimized.outputs[chain.last] == conv.name
        assert chain.nodes[0] is conv
        values = ops.run(Network(network.nodes, {node.name: node.name for node in network}), x)
        source = x if conv.inputs[0] == INPUT else values[conv.inputs[0]]
        residual = None if chain.residual is None else (x if chain.residual == INPUT else values[chain.residual])
        at = (0, 0, 0)
        pixel = work_out(chain, Place(*at), source, None if residual is None else np.float32(residual[0][at]))
        assert pixel.step_output == values[chain.last][0][at]


def activated(name: str, **attrs: float) -> tuple[Network, np.ndarray]:
    """conv -> BatchNorm -> a residual -> the activation, and an image."""
    rng = np.random.default_rng(2)
    norm = {
        role: rng.uniform(0.5, 2, 4).astype(np.float32) for role in ("running_mean", "running_var", "weight", "bias")
    }
    weight = rng.standard_normal((4, 4, 3, 3), np.float32)
    nodes = (
        Node("conv", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": weight}),
        Node("norm", "batch_norm", ("conv",), attrs={"eps": 1e-5}, params=norm),
        Node("sum", "add", ("norm", INPUT)),
        Node("last", name, ("sum",), attrs=attrs),
    )
    return Network(nodes, {"y": "last"}), rng.standard_normal((1, 4, 5, 6), np.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_any_activation_ends_the_step(name):
    attrs = dict.fromkeys(ACTIVATIONS[name].attrs, 0.25)
    network, x = activated(name, **attrs)
    chain = find_chain(network, network["conv"])
    assert [node.op for node in chain.nodes] == ["conv2d", "batch_norm", "add", name]
    pixel = work_out(chain, Place(2, 3, 4), x, x[0, 2, 3, 4])
    exact = ops.run(network, x.astype(np.float64))["y"][0, 2, 3, 4]
    assert pixel.activation == name
    assert pixel.step_output == pytest.approx(exact, rel=1e-5, abs=1e-6)  # the folded filter is rounded once
    number = np.float32(exact)
    for way in compute_ways(chain, Place(2, 3, 4), pixel, x, ("ops", np.float32(pixel.output), number)):
        assert way.step_output == pytest.approx(exact, rel=1e-5, abs=1e-5)


def test_what_is_fused_in_the_network_itself_is_refused_by_name():
    """The sum before the activation exists nowhere by itself."""
    network, _ = activated("relu")
    conv = network["conv"].evolve(activation="silu")
    assert activation_of(conv).name == "silu"
    with pytest.raises(ArchitectureError, match="conv is fused already"):
        find_chain(Network((conv,), {"y": "conv"}), conv)
    two = network["conv"].evolve(inputs=(INPUT, INPUT))
    with pytest.raises(ArchitectureError, match="conv is fused already"):
        find_chain(Network((two,), {"y": "conv"}), two)
