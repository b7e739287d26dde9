"""timm's attention blocks, composed of operations, against timm's own modules in float64; what a fault would change."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fold_batch_norm, optimize
from npresnet.plan import infer_shapes
from npresnet.teach.steps import merged_into
from tests.support.attention_blocks import BLOCKS, CHANNELS, SIZE, block

torch = pytest.importorskip("torch", reason="torch is not installed")


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, CHANNELS, *SIZE))


def expected_of(module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module.double()(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", BLOCKS)
def test_equals_timm(name):
    module, network = block(name)
    x = images()
    expected = expected_of(module, x)
    got = ops.run(network, x)["y"]
    assert infer_shapes(network, (CHANNELS, *SIZE))[network.outputs["y"]] == expected.shape[1:]
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    folded = ops.run(fold_batch_norm(network), x)["y"]
    np.testing.assert_allclose(folded, expected, rtol=1e-5, atol=1e-6)  # biases are rounded to float32


@pytest.mark.parametrize("name", BLOCKS)
def test_each_step_gives_what_the_nodes_merged_into_it_do(name):
    """Pages show a step's values under its name."""
    _, network = block(name)
    steps, x = optimize(network), images(1)
    after, before = (ops.run(Network(made.nodes, {n.name: n.name for n in made}), x) for made in (steps, network))
    for step, nodes in merged_into(network, steps).items():
        np.testing.assert_allclose(after[step], before[nodes[-1].name], rtol=1e-4, atol=1e-5)


FAULTS = [
    ("circular eca", "conv", {"padding_mode": "zeros"}),
    ("split attention in groups", "softmax", {"radix": 4, "cardinality": 1}),
    ("split attention in groups", "softmax", {"radix": 2, "cardinality": 2}),
    ("split attention", "softmax", {"radix": 1}),
    ("selective kernel", "half.1", {"start": 0, "stop": CHANNELS // 2}),
    ("attention pool", "y", {"num_heads": 1}),
]


@pytest.mark.parametrize(("name", "node", "attrs"), FAULTS, ids=str)
def test_a_wrong_attribute_is_noticed(name, node, attrs):
    """The comparison above can fail."""
    module, network = block(name)
    nodes = tuple(one.evolve(attrs=attrs) if one.name == node else one for one in network)
    got = ops.run(Network(nodes, network.outputs), images())["y"]
    assert np.abs(got - expected_of(module, images())).max() > 1e-4


def one(op: str, x: tuple[int, ...], *others: tuple[int, ...], **fields: object):
    """The shape rule on input shapes, and the computation on zeros: both must refuse."""
    names = tuple(f"v{i}" for i in range(1 + len(others)))
    node = Node("y", op, names, **fields)
    return (
        lambda: ops.OPERATIONS[op].infer_shape(node, [x, *others]),
        lambda: ops.OPERATIONS[op].compute(node, *(np.zeros((2, *shape)) for shape in (x, *others))),
    )


TAPS = {"weight": np.ones((1, 1, 3))}
REFUSED = {
    "even taps": (one("channel_conv1d", (5, 1, 1), params={"weight": np.ones((1, 1, 4))}), "k odd"),
    "filters": (one("channel_conv1d", (5, 1, 1), params={"weight": np.ones((2, 1, 3))}), "one filter"),
    "a map": (one("channel_conv1d", (5, 3, 3), params=TAPS), "one number per channel"),
    "biases": (one("channel_conv1d", (5,), params={**TAPS, "bias": np.ones(5)}), "one bias"),
    "mode": (one("channel_conv1d", (5,), params=TAPS, attrs={"padding_mode": "reflect"}), "padding modes"),
    "too few": (
        one("channel_conv1d", (1,), params={"weight": np.ones((1, 1, 5))}, attrs={"padding_mode": "circular"}),
        "at least 2 channels",
    ),
    "slice": (one("slice_channels", (5, 3, 3), attrs={"start": 2, "stop": 6}), "has 5 channels"),
    "empty slice": (one("slice_channels", (5, 3, 3), attrs={"start": 2, "stop": 2}), "has 5 channels"),
    "sizes": (one("concat", (5, 3, 3), (5, 3, 4)), "(differ in their channels|different sizes)"),
    "radix": (one("radix_sum", (5, 3, 3), attrs={"radix": 2}), "cannot divide 5 channels"),
    "cardinality": (
        one("radix_softmax", (6, 1, 1), attrs={"radix": 2, "cardinality": 2}),
        "cannot divide 6 channels .* cardinality 2",
    ),
    "logits of a map": (one("radix_softmax", (6, 2, 2), attrs={"radix": 2}), "one number per channel"),
    "weights": (one("radix_weighted_sum", (6, 2, 2), (3, 1, 1), attrs={"radix": 2}), "one weight per channel"),
    "logits": (one("spatial_attention_pool", (6, 2, 3), (1, 3, 2)), "one logit per position"),
    "residual": (one("multiply", (6, 2, 3), (6, 1, 1), (6, 3, 2)), "residual"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_shapes_are_refused(case):
    calls, match = REFUSED[case]
    for call in calls:
        with pytest.raises(ShapeError, match=match):
            call()


def test_an_attention_pool_refuses_another_size_and_names_the_layer():
    _, network = block("attention pool")
    with pytest.raises(ShapeError, match=r"(?s)y: expects a map of 63 positions and 32 channels.*images of that size"):
        infer_shapes(network, (CHANNELS, 7, 7))
    node = network["y"]
    for role, shape in (("k_weight", (48, 31)), ("proj_weight", (20, 47)), ("q_bias", (47,))):
        wrong = node.evolve(params={**node.params, role: np.zeros(shape)})
        with pytest.raises(ShapeError, match=f"expects {role.split('_')[0]}_weight"):
            infer_shapes(Network((wrong,), {"y": "y"}), (CHANNELS, *SIZE))
    with pytest.raises(ShapeError, match="48 numbers into 5 heads"):
        infer_shapes(Network((node.evolve(attrs={"num_heads": 5}),), {"y": "y"}), (CHANNELS, *SIZE))


def test_nan_stays_in_its_channel_or_position():
    x = np.ones((1, 4, 3, 3))
    x[0, 1, 2, 0] = np.nan
    assert np.isnan(ops.global_max_pool(x))[0, :, 0, 0].tolist() == [False, True, False, False]
    for reduce in (ops.channel_max, ops.channel_mean):
        assert np.argwhere(np.isnan(reduce(x)[0, 0])).tolist() == [[2, 0]]


def test_attention_pool_of_openai_is_that_of_pytorch():
    """As clip/model.py computes it: torch's multi-head attention with the mean as its only query."""
    module, network = block("attention pool, joint")
    params = {role: torch.from_numpy(array).double() for role, array in network["y"].params.items()}
    weight = torch.cat([params[f"{role}_weight"] for role in "qkv"])
    bias = torch.cat([params[f"{role}_bias"] for role in "qkv"])
    projection = torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(1)).double()
    x = images()
    tokens = torch.from_numpy(x).flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + params["pos_embed"][:, None]
    expected, _ = torch.nn.functional.multi_head_attention_forward(
        tokens[:1],
        tokens,
        tokens,
        CHANNELS,
        4,
        weight,
        bias,
        None,
        None,
        False,
        0.0,
        projection,
        torch.zeros(CHANNELS).double(),
    )
    node = network["y"].evolve(params={**network["y"].params, "proj_weight": projection.numpy()})
    got = ops.run(Network((node,), {"y": "y"}), x)["y"]
    np.testing.assert_allclose(got, expected[0].numpy(), rtol=1e-10, atol=1e-12)
    assert INPUT in node.inputs
