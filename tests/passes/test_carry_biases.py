"""Biases that are carried: which values have offsets, and that nobody outside sees any."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.network import INPUT, Network, Node
from npresnet.passes import carry_biases, fuse_max_pool, optimize
from npresnet.window import Window
from tests.support.bottlenecks import IMAGE, bottlenecks
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.random_networks import random_network

carrying = importlib.import_module("npresnet.passes.carry_biases")  # the name in the package is the function's

KINDS = {
    "plain": {},
    "groups": {"groups": 4},
    "stride on the 1x1": {"stride_first": True},
    "biases of their own": {"norms": False},
    "without ReLU": {"relu": False},
}


def check_carried(network: Network, image: tuple[int, ...] = IMAGE, *, carried: int | None = None) -> None:
    """Whole numbers: the same results, as the network stands and with every node asked for."""
    fused = optimize(network)
    if carried is not None:
        assert len(without_bias(carry_biases(fused))) == carried
    x = integers(np.random.default_rng(5), (3, *image)).astype(np.float64)
    for outputs in (fused.outputs, {node.name: node.name for node in fused}):
        asked = Network(fused.nodes, outputs)
        got, expected = ops.run(carry_biases(asked), x), ops.run(asked, x)
        assert list(got) == list(expected)
        for name, array in expected.items():
            assert_same(got[name], array, name)


def without_bias(network: Network) -> list[str]:
    return [node.name for node in network if node.op == "conv2d" and "bias" not in node.params]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_the_results_stay(kind, seed):
    check_carried(bottlenecks(seed, **KINDS[kind]), carried=6)


@pytest.mark.parametrize("seed", range(60))
def test_random_network(seed):
    network, image = random_network(seed)
    check_carried(network, image)


def test_a_resnet50():
    """Every block's last convolution carries, and the first projection: the others read what is carried."""
    network = fuse_max_pool(optimize(arch.build(arch.random_tensors("resnet50"))[0]))
    carried = carry_biases(network)
    assert [node.name for node in carried] == [node.name for node in network]
    blocks = [f"layer{i + 1}.{j}" for i, depth in enumerate((3, 4, 6, 3)) for j in range(depth)]
    assert [n.name for n in carried if "floor" in n.params] == [f"{block}.conv3" for block in blocks]
    assert set(without_bias(carried)) == {"layer1.0.downsample.0", *(f"{block}.conv3" for block in blocks)}
    reads = {*(f"{block}.conv1" for block in blocks[1:]), *(f"layer{i}.0.downsample.0" for i in (2, 3, 4))}
    assert {node.name for node in carried if "offset" in node.params} == reads
    assert [node.name for node in carried if "shift" in node.params] == ["avgpool"]
    same = [node for node in network if any(node is other for other in carried)]
    assert {node.name for node in same} == {node.name for node in network} - reads - {"avgpool"} - set(
        without_bias(carried)
    )


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "cifar_resnet20"])
def test_networks_of_basic_blocks_come_out_as_they_went_in(name):
    network = fuse_max_pool(optimize(arch.build(arch.random_tensors(name))[0]))
    assert carry_biases(network) is network


def test_a_value_that_is_asked_for_gets_a_node_of_its_own():
    fused = optimize(bottlenecks())
    asked = Network(fused.nodes, {**fused.outputs, "layer1": "layer1.1.conv3", "again": "layer1.1.conv3"})
    carried, alone = carry_biases(asked), carry_biases(fused)
    assert carried.outputs["layer1"] == carried.outputs["again"] == "layer1.1.conv3 + bias"
    assert carried.outputs["logits"] == "fc"
    position = [node.name for node in carried].index("layer1.1.conv3")
    assert carried.nodes[position + 1].name == "layer1.1.conv3 + bias"
    others = [node for node in carried if not node.name.endswith(" + bias")]
    assert len(others) == len(carried) - 1 == len(alone)
    for node, other in zip(others, alone, strict=True):  # so its readers compute as if nobody had asked
        assert (node.name, node.inputs, node.relu, set(node.params)) == (
            other.name, other.inputs, other.relu, set(other.params)
        )  # fmt: skip
        assert all(np.array_equal(node.params[role], other.params[role]) for role in node.params)


def pointwise(name: str, *inputs: str, bias: object = 1, window: Window = Window.of(1), **fields) -> Node:  # noqa: B008
    weight = integers(np.random.default_rng(len(name)), (4, 4, *window.kernel_size), most=1)
    params = {"weight": weight, "bias": np.broadcast_to(np.float32(bias), 4)}
    return Node(name, "conv2d", inputs, window, params=params, **fields)


CHAIN = pointwise("a", INPUT, relu=True), pointwise("bb", "a", relu=True)


@pytest.mark.parametrize(
    ("nodes", "carried"),
    [
        (CHAIN, ["a"]),
        ((*CHAIN, pointwise("ccc", "a", "bb")), ["a"]),  # `bb` has to add what comes through its weights
        ((*CHAIN, pointwise("ccc", INPUT, "a")), ["a", "ccc"]),  # the last too, where it has a residual
        ((*CHAIN, Node("mean", "global_avg_pool", ("a",))), ["a"]),
        ((*CHAIN, pointwise("ccc", "a", window=Window.of(3, 1, 1))), []),
        ((*CHAIN, pointwise("ccc", "a", window=Window.of(1, 1, 1))), []),
        ((*CHAIN, pointwise("ccc", INPUT, "a", window=Window.of(3, 1, 1))), []),
        ((*CHAIN, Node("sum", "add", ("a", "bb"))), []),
        ((*CHAIN, Node("clamped", "relu", ("a",))), []),
        ((*CHAIN, Node("pool", "max_pool2d", ("a",), Window.of(2, 2))), []),
        ((*CHAIN, Node("row", "flatten", ("a",))), []),
        ((pointwise("a", INPUT, window=Window.of(3, 1, 1)), CHAIN[1]), []),
        (CHAIN[:1], []),
    ],
    ids=[
        "chain", "through weights", "residual", "mean", "3x3", "padding", "residual of a 3x3", "add", "relu",
        "max pool", "flatten", "of a 3x3", "alone",
    ],
)  # fmt: skip
def test_who_carries(nodes, carried):
    network = Network(nodes, {"y": nodes[-1].name})
    assert without_bias(carry_biases(network)) == carried
    x = integers(np.random.default_rng(0), (2, 4, 6, 6)).astype(np.float64)
    assert_same(ops.run(carry_biases(network), x)["y"], ops.run(network, x)["y"])


@pytest.mark.parametrize(
    ("bias", "is_carried"),
    [(carrying.MOST, True), (-carrying.MOST, True), (carrying.MOST + 1, False), (-np.inf, False), (np.nan, False)],
)
def test_large_offsets_are_not_carried(bias, is_carried):
    """A channel of minus infinity is one of zeros, and would not be one if it were stored as infinity."""
    one_channel = np.array([0, 0, bias, 1], np.float32)
    network = Network((pointwise("a", INPUT, bias=one_channel, relu=True), CHAIN[1]), {"y": "bb"})
    assert without_bias(carry_biases(network)) == (["a"] if is_carried else [])
    x = integers(np.random.default_rng(0), (2, 4, 6, 6)).astype(np.float64)
    assert_same(ops.run(carry_biases(network), x)["y"], ops.run(network, x)["y"])


def test_carrying_begins_anew_where_offsets_have_grown():
    """Each block adds 1.5: the third would be stored with 4.5."""
    nodes = [pointwise("a", INPUT, bias=1.5, relu=True)]
    for name in ("bb", "ccc", "dddd", "eeeee"):
        nodes.append(pointwise(name, INPUT, nodes[-1].name, bias=1.5, relu=True))
    network = Network(tuple(nodes), {"y": "eeeee"})
    assert without_bias(carry_biases(network)) == ["a", "bb", "dddd", "eeeee"]
    x = integers(np.random.default_rng(0), (2, 4, 6, 6)).astype(np.float64)
    assert_same(ops.run(carry_biases(network), x)["y"], ops.run(network, x)["y"])


def test_a_clamped_pixel_is_zero_whatever_the_bias():
    """The offset is the rounded floor's, so that v = s + c is 0 to the last bit."""
    bias = np.float64(1) / 3
    network = Network(
        (pointwise("a", INPUT, bias=-bias, relu=True), Node("mean", "global_avg_pool", ("a",))), {"mean": "mean"}
    )
    a, mean = carry_biases(network).nodes
    assert_same(a.params["floor"], -mean.params["shift"])


def test_residuals_of_other_channels_are_left_to_whoever_sizes_the_network():
    narrow = pointwise("a", INPUT).evolve(params={"weight": np.ones((3, 4, 1, 1)), "bias": np.ones(3)})
    network = Network((narrow, pointwise("bb", INPUT, "a")), {"y": "bb"})
    assert without_bias(carry_biases(network)) == ["bb"]


def forget(which: slice):
    """Offsets that a reader does not see."""
    rewritten = carrying._rewritten

    def faulty(node, offsets, **how):
        return rewritten(node, {name: c for name, c in offsets.items() if name not in node.inputs[which]}, **how)

    return faulty


def changed(role: str, change):
    rewritten = carrying._rewritten

    def faulty(node, offsets, **how):
        node, offset = rewritten(node, offsets, **how)
        if role in node.params:
            node = node.evolve(params={**node.params, role: change(node.params[role])})
        return node, offset

    return faulty


FAULTS = {
    "residual's offset forgotten": ("_rewritten", lambda: forget(slice(1, None))),
    "input's offset forgotten": ("_rewritten", lambda: forget(slice(1))),
    "sign of the floor": ("_rewritten", lambda: changed("floor", np.negative)),
    "sign of the offset": ("_rewritten", lambda: changed("offset", np.negative)),
    "floor of another channel": ("_rewritten", lambda: changed("floor", lambda floor: np.roll(floor, 1))),
    "not made whole": ("_whole_value", lambda: lambda name, offset: Node(f"{name} + bias", "relu", (name,))),
    "any reader": ("_takes", lambda: lambda reader, node: True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_seen(monkeypatch, fault):
    name, make = FAULTS[fault]
    monkeypatch.setattr(carrying, name, make())
    with pytest.raises(AssertionError):
        check_carried(bottlenecks())
