"""Fusing keeps every result and the names of outputs, and merges only single-use values."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse, optimize
from npresnet.window import Window
from tests.support.checks import assert_same
from tests.support.exact_norms import exact_network
from tests.support.random_networks import random_network

X = np.random.default_rng(0).integers(-4, 5, (2, 4, 6, 5)).astype(np.float64)


def conv(name: str, source: str = INPUT, *, seed: int = 0, **fields) -> Node:
    weight = np.random.default_rng(seed).integers(-2, 3, (4, 4, 3, 3)).astype(np.float32)
    return Node(name, "conv2d", (source,), Window.of(3, 1, 1), params={"weight": weight}, **fields)


def add(name: str, *inputs: str, **fields) -> Node:
    return Node(name, "add", inputs, **fields)


def relu(name: str, source: str) -> Node:
    return Node(name, "relu", (source,))


def shape_of(network: Network) -> list[tuple[str, int, bool]]:
    """(op, number of inputs, whether it clamps) of every node."""
    return [(node.op, len(node.inputs), node.activation == "relu") for node in network]


def assert_same_results(first: Network, second: Network, x: np.ndarray) -> None:
    got, expected = ops.run(first, x), ops.run(second, x)
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert_same(got[name], array, name)


def assert_close_results(first: Network, second: Network, x: np.ndarray) -> None:
    got, expected = ops.run(first, x), ops.run(second, x)
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=0, atol=1e-12 * np.abs(expected[name]).max(), err_msg=name)


@pytest.mark.parametrize("optimise", [fuse, optimize])
def test_random_networks(subtests, optimise):
    for seed in range(100):
        with subtests.test(seed=seed):
            network, image = random_network(seed)
            x = np.random.default_rng(seed).integers(-4, 5, (2, *image)).astype(np.float64)
            assert_same_results(optimise(network), network, x)


@pytest.mark.parametrize(
    ("name", "before", "after"), [("resnet18", 69, 24), ("resnet50", 175, 57), ("cifar_resnet20", None, None)]
)
def test_known_networks_keep_their_logits(name, before, after):
    network = exact_network(name, num_classes=7)
    optimised = optimize(network)
    if before:
        assert (len(network), len(optimised)) == (before, after)
    assert not {"batch_norm", "relu", "add"} & {node.op for node in optimised}
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 35))
    assert_close_results(optimised, network, x)
    assert_close_results(fuse(network), network, x)


def test_any_node_can_be_an_output():
    """Every node of a network's first half, one at a time, including those between conv, bn, add and relu."""
    network = exact_network("resnet18", num_classes=3).with_outputs(["layer2"])
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32))
    everything = ops.run(Network(network.nodes, {node.name: node.name for node in network}), x)
    for node in network:
        optimised = optimize(Network(network.nodes, {"layer2": network.outputs["layer2"], "any": node.name}))
        assert len(optimised) < len(network) / 2
        got = ops.run(optimised, x)
        for output, name in (("layer2", network.outputs["layer2"]), ("any", node.name)):
            expected = everything[name]
            np.testing.assert_allclose(got[output], expected, rtol=0, atol=1e-12 * np.abs(expected).max(), err_msg=name)


def test_all_features_at_once():
    network = exact_network("resnet18", num_classes=3)
    everything = Network(network.nodes, {f"the {node.name}": node.name for node in network})
    optimised = optimize(everything)
    assert Counter(node.op for node in optimised) == Counter(node.op for node in network)
    assert_same_results(optimised, everything, np.random.default_rng(0).standard_normal((1, 3, 32, 32)))


def test_parts_of_a_network():
    network = exact_network("resnet18", num_classes=3)
    for modules in (["layer3"], ["layer2", "layer1.0.relu"], ["avgpool", "fc"], ["layer1.0.conv1"], ["relu"]):
        part = network.with_outputs(modules)
        assert list(optimize(part).outputs) == modules
        assert_close_results(optimize(part), part, np.random.default_rng(0).standard_normal((1, 3, 32, 32)))


def test_convolution_addition_and_relu_become_one():
    network = Network((conv("a"), add("b", "a", INPUT), relu("c", "b")), {"y": "c"})
    assert shape_of(fuse(network)) == [("conv2d", 2, True)]
    assert_same_results(fuse(network), network, X)


def test_the_addition_is_fused_into_the_main_path_after_the_shortcut():
    nodes = (conv("main", seed=1), conv("short", seed=2), add("sum", "main", "short"), relu("y", "sum"))
    fused = fuse(Network(nodes, {"y": "y"}))
    assert [(node.name, node.inputs, node.activation) for node in fused] == [
        ("short", (INPUT,), None),
        ("main", (INPUT, "short"), "relu"),
    ]
    assert_same_results(fused, Network(nodes, {"y": "y"}), X)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ((conv("a"), relu("b", "a")), {"y": "b", "before": "a"}),
        ((conv("a"), relu("b", "a"), conv("c", "a")), {"y": "b", "z": "c"}),
        ((conv("a"), relu("b", "a"), relu("c", "a")), {"y": "b", "z": "c"}),
        ((conv("a"), add("b", "a", "a")), {"y": "b"}),
        ((conv("a"), add("b", "a", INPUT), conv("c", "a")), {"y": "b", "z": "c"}),
        ((conv("a", activation="relu"), add("b", "a", INPUT)), {"y": "b"}),
        ((Node("a", "max_pool2d", (INPUT,), Window.of(2)), relu("b", "a")), {"y": "b"}),
        ((relu("a", INPUT),), {"y": "a"}),
        ((add("a", INPUT, INPUT),), {"y": "a"}),
    ],
    ids=[
        "relu of an output", "relu of a convolution's input", "two relus", "a value added to itself",
        "addition to a shared value", "addition after a relu", "relu of a pool", "relu of the image", "image twice",
    ],
)  # fmt: skip
def test_values_that_are_not_single_use_are_kept(nodes, outputs):
    network = Network(nodes, outputs)
    assert shape_of(fuse(network)) == shape_of(network)
    assert_same_results(fuse(network), network, X)


def test_an_addition_after_a_relu_is_not_fused():
    network = Network((conv("a"), relu("b", "a"), add("c", "b", INPUT)), {"y": "c"})
    assert shape_of(fuse(network)) == [("conv2d", 1, True), ("add", 2, False)]
    assert_same_results(fuse(network), network, X)


def test_only_one_addition_is_fused_into_a_convolution():
    network = Network((conv("a"), add("b", "a", INPUT), add("c", "b", INPUT), relu("d", "c")), {"y": "d"})
    assert shape_of(fuse(network)) == [("conv2d", 2, False), ("add", 2, True)]
    assert_same_results(fuse(network), network, X)


def test_the_activation_of_an_addition_is_kept():
    network = Network((conv("a"), add("b", "a", INPUT, activation="relu")), {"y": "b"})
    assert shape_of(fuse(network)) == [("conv2d", 2, True)]
    assert_same_results(fuse(network), network, X)


def test_relus_of_linear_and_unfolded_norms():
    params = {"running_mean": np.ones(4, np.float32), "running_var": np.full(4, 0.75, np.float32)}
    weight = np.random.default_rng(0).integers(-2, 3, (3, 4)).astype(np.float32)
    nodes = (
        Node("bn", "batch_norm", (INPUT,), attrs={"eps": 0.25}, params=params),
        relu("r1", "bn"),
        Node("pool", "global_avg_pool", ("r1",)),
        Node("row", "flatten", ("pool",)),
        Node("fc", "linear", ("row",), params={"weight": weight}),
        relu("r2", "fc"),
    )
    network = Network(nodes, {"y": "r2"})
    assert [node.activation for node in fuse(network)] == ["relu", None, None, "relu"]
    assert_same_results(fuse(network), network, X)


def test_the_original_is_unchanged():
    network = arch.build(arch.random_tensors("cifar_resnet20"))[0]
    nodes = network.nodes
    fuse(network)
    assert network.nodes is nodes
    assert not any(node.activation or len(node.inputs) > 1 for node in network if node.op == "conv2d")


def test_an_unknown_activation_is_refused_by_name():
    nodes = (conv("a"), add("b", "a", INPUT, activation="swish9"))
    with pytest.raises(ArchitectureError, match="unknown activation 'swish9'"):
        fuse(Network(nodes, {"y": "b"}))


def gate(name: str, source: str) -> Node:
    return Node(name, "max_pool2d", (source,), Window.of((6, 5)))


GATED = [
    (op, (conv("a"), gate("g", INPUT), Node("x", op, ("a", "g")), add("sum", *inputs), relu("y", "sum")))
    for op in ("multiply", "broadcast_add")
    for inputs in (("x", INPUT), (INPUT, "x"))
]


@pytest.mark.parametrize(("op", "nodes"), GATED, ids=[f"{op} {nodes[3].inputs[0]} first" for op, nodes in GATED])
def test_a_gate_takes_the_shortcut_and_the_relu(op, nodes):
    network = Network(nodes, {"y": "y"})
    fused = fuse(network)
    assert [(node.op, node.inputs) for node in fused][2] == (op, ("a", "g", INPUT))
    assert shape_of(fused)[-1] == (op, 3, True)
    assert_same_results(fused, network, X)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ((gate("g", INPUT), Node("x", "multiply", (INPUT, "g")), add("y", "x", "x")), {"y": "y"}),
        ((gate("g", INPUT), Node("x", "multiply", (INPUT, "g")), add("y", "x", INPUT)), {"y": "y", "before": "x"}),
        ((gate("g", INPUT), Node("x", "multiply", (INPUT, "g"), activation="relu"), add("y", "x", INPUT)), {"y": "y"}),
    ],
    ids=["added to itself", "an output", "its own activation"],
)
def test_sums_that_a_gate_cannot_take(nodes, outputs):
    network = Network(nodes, outputs)
    fused = fuse(network)
    assert [node.op for node in fused] == ["max_pool2d", "multiply", "add"]
    assert_same_results(fused, network, X)


@pytest.mark.parametrize("inputs", [("x", INPUT), (INPUT, "x")])
def test_a_group_norm_takes_the_shortcut_and_the_relu(inputs):
    norm = Node("x", "group_norm", ("a",), attrs={"groups": 1, "eps": 1e-5})
    network = Network((conv("a"), norm, add("sum", *inputs), relu("y", "sum")), {"y": "y"})
    fused = fuse(network)
    assert [(node.op, node.inputs, node.activation) for node in fused][1:] == [("group_norm", ("a", INPUT), "relu")]
    assert_same_results(fused, network, X)


def test_of_two_group_norms_one_takes_the_other():
    norms = [Node(name, "group_norm", (INPUT,), attrs={"groups": 1, "eps": 1e-5}) for name in ("main", "shortcut")]
    network = Network((*norms, add("y", "main", "shortcut")), {"y": "y"})
    fused = fuse(network)
    assert [(node.name, node.inputs) for node in fused] == [("shortcut", (INPUT,)), ("main", (INPUT, "shortcut"))]
    assert_same_results(fused, network, X)


def test_a_norm_of_other_kinds_takes_no_shortcut():
    norm = Node("x", "layer_norm2d", (INPUT,), attrs={"eps": 1e-5})
    network = Network((norm, add("y", "x", INPUT)), {"y": "y"})
    assert [node.op for node in fuse(network)] == ["layer_norm2d", "add"]


def test_a_second_shortcut_is_added_apart():
    nodes = (gate("g", INPUT), Node("x", "multiply", (INPUT, "g")), add("one", "x", INPUT), add("y", "one", INPUT))
    network = Network(nodes, {"y": "y"})
    assert [node.op for node in fuse(network)] == ["max_pool2d", "multiply", "add"]
    assert_same_results(fuse(network), network, X)


def split_attention(**fields) -> tuple[Node, ...]:
    total = Node("sum", "radix_sum", (INPUT,), attrs={"radix": 2}, **fields)
    return total, Node("pool", "global_avg_pool", ("sum",)), relu("y", "pool")


def test_a_mean_takes_the_sum_over_the_radix_before_it():
    network = Network(split_attention(), {"y": "y"})
    fused = fuse(network)
    assert (fused.nodes[0].name, fused.nodes[0].op, dict(fused.nodes[0].attrs)) == (
        "sum",
        "global_avg_pool",
        {"radix": 2},
    )
    assert_close_results(fused, network, X)


@pytest.mark.parametrize("kept", ["an output", "its activation", "read twice"])
def test_sums_over_the_radix_that_a_mean_cannot_take(kept):
    nodes = split_attention(activation="relu" if kept == "its activation" else None)
    outputs = {"y": "y", **({"sum": "sum"} if kept == "an output" else {})}
    if kept == "read twice":
        nodes, outputs = (*nodes, relu("z", "sum")), {"y": "y", "z": "z"}
    fused = fuse(Network(nodes, outputs))
    assert fused.nodes[0].op == "radix_sum"
    assert_same_results(fused, Network(nodes, outputs), X)


def test_a_second_activation_is_not_lost():
    conv = Node("conv", "conv2d", (INPUT,), Window.of(1), params={"weight": np.ones((4, 4, 1, 1), np.float32)})
    network = Network((conv, Node("relu", "relu", ("conv",)), Node("tanh", "tanh", ("relu",))), {"y": "tanh"})
    assert [(node.op, node.activation) for node in fuse(network)] == [("conv2d", "relu"), ("tanh", None)]


def test_a_pool_that_already_has_a_radix_takes_in_no_other():
    first = Node("first", "radix_sum", (INPUT,), attrs={"radix": 2})
    second = Node("second", "radix_sum", ("first",), attrs={"radix": 3})
    network = Network((first, second, Node("pool", "global_avg_pool", ("second",))), {"y": "pool"})
    fused = fuse(fuse(network))
    assert [(node.op, node.attrs["radix"]) for node in fused] == [("radix_sum", 2), ("global_avg_pool", 3)]
    x = np.random.default_rng(0).normal(size=(2, 12, 3, 4))
    np.testing.assert_allclose(ops.run(fused, x)["y"], ops.run(network, x)["y"], rtol=1e-12)
