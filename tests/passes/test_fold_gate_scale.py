"""A constant factor behind a gate moves into the gate, where that is the same."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.network import INPUT, Network, Node
from npresnet.passes import optimize
from npresnet.passes.fold_gate_scale import fold_gate_scale
from npresnet.window import Window

C = 4
RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, C, 6, 5))


def factor(name: str, source: str, *, scale: float = 0.4, shift: float = 0.0, **fields) -> Node:
    params = {"weight": np.full(C, scale), "bias": np.full(C, shift)}
    statistics = {"running_mean": np.zeros(C), "running_var": np.ones(C)}
    return Node(name, "batch_norm", (source,), params={**params, **statistics}, attrs={"eps": 0.0}, **fields)


def gate(*, pooled: bool = True) -> list[Node]:
    """sigmoid(fc(mean of the image)), or of the image itself: then the gate is a map."""
    fc = {"weight": RNG.standard_normal((C, C, 1, 1))}
    pool = [Node("pool", "global_avg_pool", (INPUT,))] if pooled else []
    source = "pool" if pooled else INPUT
    return [*pool, Node("fc", "conv2d", (source,), Window.of(1), params=fc), Node("gate", "sigmoid", ("fc",))]


def network(*behind: Node, pooled: bool = True, outputs: dict[str, str] | None = None) -> Network:
    nodes = [*gate(pooled=pooled), Node("product", "multiply", (INPUT, "gate")), *behind]
    return Network(tuple(nodes), outputs or {"y": nodes[-1].name})


def assert_same_results(first: Network, second: Network) -> None:
    expected, got = ops.run(first, X), ops.run(second, X)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-12, err_msg=name)


def test_the_factor_is_applied_to_the_gate():
    plain = network(factor("scale", "product"), Node("add", "add", ("scale", INPUT)))
    folded = fold_gate_scale(plain)
    assert [node.name for node in folded] == ["pool", "fc", "gate", "scale.gate", "scale", "add"]
    assert (folded["scale"].op, folded["scale"].inputs) == ("multiply", (INPUT, "scale.gate"))
    assert_same_results(plain, folded)


def test_the_addition_and_the_activation_behind_it_are_fused():
    plain = network(factor("scale", "product"), Node("add", "add", ("scale", INPUT)), Node("relu", "relu", ("add",)))
    optimized = optimize(plain)
    assert [node.op for node in optimized] == ["global_avg_pool", "conv2d", "batch_norm", "multiply"]
    assert_same_results(plain, optimized)


@pytest.mark.parametrize(
    "plain",
    [
        network(factor("scale", "product", shift=0.5)),
        network(factor("scale", "product"), pooled=False),
        network(factor("scale", "product"), Node("add", "add", ("scale", "product"))),
        network(factor("scale", "product"), outputs={"product": "product", "y": "scale"}),
        network(factor("scale", "product", activation="relu")),
        network(factor("scale", "gate")),
        Network((*gate(), Node("p", "multiply", (INPUT, "gate"), activation="relu"), factor("s", "p")), {"y": "s"}),
    ],
    ids=[
        "shift",
        "a gate that is a map",
        "another reader",
        "an output",
        "activated",
        "a gate alone",
        "an activated product",
    ],
)
def test_other_factors_stay(plain):
    folded = fold_gate_scale(plain)
    assert [node.name for node in folded] == [node.name for node in plain]
    assert [node.inputs for node in folded] == [node.inputs for node in plain]


def test_two_factors_in_a_row_move_both():
    plain = network(factor("first", "product"), factor("second", "first", scale=-3.0))
    folded = fold_gate_scale(plain)
    assert [node.op for node in folded][-3:] == ["batch_norm", "batch_norm", "multiply"]
    assert_same_results(plain, folded)
