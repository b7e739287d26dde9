"""Folding keeps every result, rounds each number once, and merges only single-use values."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fold_batch_norm, optimize
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.window import Window
from tests.support.checks import assert_same
from tests.support.exact_norms import exact_network
from tests.support.pass_checks import check_fold
from tests.support.random_networks import random_network

X = np.random.default_rng(0).standard_normal((2, 4, 6, 5))


def conv(name: str = "conv", *inputs: str, bias: bool = False, relu: bool = False, groups: int = 1) -> Node:
    rng = np.random.default_rng(1)
    params = {"weight": rng.standard_normal((4, 4 // groups, 3, 3), dtype=np.float32)}
    if bias:
        params["bias"] = rng.standard_normal(4, dtype=np.float32)
    return Node(
        name,
        "conv2d",
        inputs or (INPUT,),
        Window.of(3, 1, 1),
        groups,
        params=params,
        activation="relu" if relu else None,
    )


def norm(name: str = "bn", source: str = "conv", *, roles=("weight", "bias"), relu: bool = False) -> Node:
    rng = np.random.default_rng(2)
    params = {
        "running_mean": rng.standard_normal(4, dtype=np.float32),
        "running_var": np.array([1e-6, 1e-5, 0.3, 2.0], np.float32),  # eps matters for the first two
        "weight": rng.standard_normal(4, dtype=np.float32),
        "bias": rng.standard_normal(4, dtype=np.float32),
    }
    present = {role: array for role, array in params.items() if role in (*roles, "running_mean", "running_var")}
    return Node(name, "batch_norm", (source,), attrs={"eps": 1e-5}, params=present, activation="relu" if relu else None)


def ops_of(network: Network) -> list[str]:
    return [node.op for node in network]


def test_parameters_are_computed_in_float64_and_rounded_once():
    check_fold(fold_batch_norm)


def test_random_networks(subtests):
    """Integers: folded and unfolded agree exactly."""
    for seed in range(60):
        with subtests.test(seed=seed):
            network, image = random_network(seed)
            x = np.random.default_rng(seed).integers(-4, 5, (2, *image)).astype(np.float64)
            got, expected = ops.run(fold_batch_norm(network), x), ops.run(network, x)
            assert list(got) == list(expected)
            for name, array in expected.items():
                assert_same(got[name], array, name)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "cifar_resnet20"])
def test_known_networks_keep_their_logits(name):
    network = exact_network(name, num_classes=7)
    folded = fold_batch_norm(network)
    assert "batch_norm" not in ops_of(folded)
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 35))
    got, expected = ops.run(folded, x)["logits"], ops.run(network, x)["logits"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_underflow_rounds_to_zero_under_any_numpy_error_settings():
    """A channel that training has disabled may have weights of 1e-40, and NumPy may be set to raise on underflow."""
    weight = np.full((4, 4, 3, 3), 1e-30, np.float32)
    switched_off = norm().evolve(params={**norm().params, "weight": np.full(4, 1e-30), "bias": np.full(4, 1e-60)})
    with np.errstate(all="raise"):
        folded = fold_batch_norm(Network((conv().evolve(params={"weight": weight}), switched_off), {"y": "bn"}))
        with np.errstate(under="ignore"):
            weight = ops.folded_weight(folded.nodes[0]).astype(np.float32)
    assert not weight.any()


def test_the_original_is_unchanged():
    nodes = (conv(bias=True), norm())
    network = Network(nodes, {"y": "bn"})
    before = {(n.name, role): array.copy() for n in nodes for role, array in n.params.items()}
    fold_batch_norm(network)
    assert network.nodes == nodes
    for (name, role), array in before.items():
        assert_same(network[name].params[role], array)


def test_filters_are_not_copied():
    """They may be mapped from a file."""
    network = Network((conv(), norm(), norm("bn2", "bn")), {"y": "bn2"})
    (folded,) = fold_batch_norm(network)
    assert folded.params["weight"] is network.nodes[0].params["weight"]
    assert folded.params["scale"].dtype == np.float64


def test_the_activation_of_a_norm_is_kept():
    folded = fold_batch_norm(Network((conv(), norm(relu=True)), {"y": "bn"}))
    assert ops_of(folded) == ["conv2d"]
    assert folded.nodes[0].activation == "relu"


def test_two_norms_in_a_row():
    network = Network((conv(), norm(), norm("bn2", "bn")), {"y": "bn2"})
    folded = fold_batch_norm(network)
    assert ops_of(folded) == ["conv2d"]
    got, expected = ops.run(folded, X)["y"], ops.run(network, X)["y"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # the bias is float32


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ((conv(), norm()), {"y": "bn", "before": "conv"}),
        ((conv(), norm(), Node("also", "relu", ("conv",))), {"y": "bn", "z": "also"}),
        ((conv(), norm(), norm("other")), {"y": "bn", "z": "other"}),
        ((conv(relu=True), norm()), {"y": "bn"}),
        ((conv("first"), conv("conv", INPUT, "first"), norm()), {"y": "bn"}),
        ((norm("bn", INPUT),), {"y": "bn"}),
        ((Node("conv", "relu", (INPUT,)), norm()), {"y": "bn"}),
    ],
    ids=["an output", "read twice", "two norms", "relu between", "residual between", "of the image", "of a relu"],
)
def test_norms_that_cannot_be_folded_are_kept(nodes, outputs):
    network = Network(nodes, outputs)
    folded = fold_batch_norm(network)
    assert ops_of(folded) == ops_of(network)
    got, expected = ops.run(folded, X), ops.run(network, X)
    assert list(got) == list(outputs)
    for name, array in expected.items():
        assert_same(got[name], array, name)


def test_names_of_outputs_are_kept():
    network = Network((conv(), norm()), {"features": "bn", "again": "bn"})
    folded = fold_batch_norm(network)
    assert list(ops.run(folded, X)) == ["features", "again"]


def test_scale_and_shift_without_weight_and_bias():
    params = {"running_mean": np.array([2.0], np.float32), "running_var": np.array([3.0], np.float32)}
    scale, shift = scale_and_shift(Node("bn", "batch_norm", (INPUT,), attrs={"eps": 1.0}, params=params))
    assert (scale.dtype, scale.tolist(), shift.tolist()) == (np.float64, [0.5], [-1.0])


def head(*, bias: bool, roles: tuple[str, ...], before: bool = False) -> tuple[Node, ...]:
    """Pooled features, perhaps a BatchNorm of them, a fully connected layer, its BatchNorm and ReLU."""
    rng = np.random.default_rng(7)
    params = {"weight": rng.standard_normal((4, 4), dtype=np.float32)}
    if bias:
        params["bias"] = rng.standard_normal(4, dtype=np.float32)
    pooled = (Node("pool", "global_avg_pool", (INPUT,)), Node("row", "flatten", ("pool",)))
    first = (norm("first", "row"),) if before else ()
    fc = Node("fc", "linear", ("first" if before else "row",), params=params)
    return (*pooled, *first, fc, norm("bn", "fc", roles=roles), Node("relu", "relu", ("bn",)))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("roles", [(), ("weight",), ("bias",), ("weight", "bias")], ids=str)
def test_a_norm_behind_a_linear_layer_is_folded(bias, roles):
    """The weight in float64, unrounded; the bias rounded once."""
    network = Network(head(bias=bias, roles=roles), {"y": "relu"})
    folded = fold_batch_norm(network)
    assert ops_of(folded) == ["global_avg_pool", "flatten", "linear", "relu"]
    scale, _ = scale_and_shift(network["bn"])
    assert_same(folded["fc"].params["weight"], network["fc"].params["weight"].astype(np.float64) * scale[:, None])
    assert folded["fc"].params["bias"].dtype == np.float32
    got, expected = ops.run(folded, X)["y"], ops.run(network, X)["y"]
    assert expected.any()
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-4)  # scales of up to 300


@pytest.mark.parametrize("before", [False, True])
def test_a_head_with_norms_on_the_cpu(before):
    """A norm before the layer, as fastai's heads have it, runs by itself, on vectors."""
    network = Network(head(bias=True, roles=("weight", "bias"), before=before), {"y": "relu"})
    x = X.astype(np.float32)
    expected = ops.run(network, X)["y"]
    for made in (network, optimize(network)):
        for threads in (1, 2):
            with closing(cpu.compile(made, threads=threads)) as executable:
                np.testing.assert_allclose(executable(x)["y"], expected, rtol=2e-5, atol=2e-4 * np.abs(expected).max())
