"""Normalisations by the image itself, PReLU and pad2d: against PyTorch in float64; planted faults; refusals."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import infer_shapes
from tests.support import torch_run

CHANNELS = 12


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).normal(0.5, 1, shape)


def vectors(*roles: str) -> dict[str, np.ndarray]:
    return {role: numbers(CHANNELS, seed=seed) for seed, role in enumerate(roles)}


def node(op: str, params: dict[str, np.ndarray] | None = None, **attrs: object) -> Node:
    return Node("y", op, (INPUT,), attrs=attrs, params=params or {})


NODES = {
    "group_norm": node("group_norm", vectors("weight", "bias"), groups=3, eps=1e-5),
    "group_norm without bias": node("group_norm", vectors("weight"), groups=4, eps=1e-2),
    "instance norm": node("group_norm", groups=CHANNELS, eps=1e-5),
    "one group": node("group_norm", vectors("weight", "bias"), groups=1, eps=1e-3),
    "a residual": node("group_norm", vectors("weight", "bias"), groups=2, eps=1e-5).evolve(inputs=(INPUT, INPUT)),
    "layer_norm2d": node("layer_norm2d", vectors("weight", "bias"), eps=1e-6),
    "layer_norm2d alone": node("layer_norm2d", eps=0.1),
    "frn": node("filter_response_norm", vectors("weight", "bias"), eps=1e-5),
    "frn with tau": node("filter_response_norm", vectors("weight", "bias", "tau"), eps=1e-3),
    "evo_norm_s0": node("evo_norm_s0", vectors("weight", "bias", "v"), groups=4, eps=1e-5),
    "evo_norm_s0 alone": node("evo_norm_s0", vectors("v"), groups=2, eps=1e-2),
    "prelu": node("prelu", vectors("weight")),
    "prelu of one slope": node("prelu", {"weight": np.array([-0.3])}),
    "zeros": node("pad2d", padding=(1, 2, 3, 0), mode="zeros"),
    "reflect": node("pad2d", padding=(2, 1, 0, 3), mode="reflect"),
}


def run(one: Node, x: np.ndarray) -> np.ndarray:
    return ops.run(Network((one,), {"y": "y"}), x)["y"]


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("size", [(5, 7), (4, 4)])
def test_equals_pytorch_in_float64(name, size):
    x = numbers(3, CHANNELS, *size)
    network = Network((NODES[name],), {"y": "y"})
    expected = torch_run.run(network, x)["y"]
    got = ops.run(network, x)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    assert infer_shapes(network, x.shape[1:])["y"] == got.shape[1:]
    assert ops.run(network, x.astype(np.float32))["y"].dtype == np.float32


@pytest.mark.parametrize("shape", [(CHANNELS,), (CHANNELS, 1, 1)])
def test_group_norm_of_pooled_values(shape):
    x = numbers(3, *shape)
    torch_x = torch_run.torch.from_numpy(x)
    for groups in (1, 3):
        expected = torch_run.F.group_norm(torch_x, groups, eps=1e-5).numpy()
        np.testing.assert_allclose(ops.group_norm(x, groups), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [name for name, one in NODES.items() if "eps" in one.attrs])
def test_eps_counts(name):
    """And so a forgotten one is noticed."""
    x, one = numbers(2, CHANNELS, 5, 5), NODES[name]
    assert np.abs(run(one, x) - run(one.evolve(attrs={**one.attrs, "eps": 0.0}), x)).max() > 1e-7


@pytest.mark.parametrize("name", [name for name, one in NODES.items() if "groups" in one.attrs])
def test_groups_count(name):
    x, one = numbers(2, CHANNELS, 5, 5), NODES[name]
    other = 6 if one.attrs["groups"] != 6 else 2
    assert np.abs(run(one, x) - run(one.evolve(attrs={**one.attrs, "groups": other}), x)).max() > 1e-3


def test_every_image_has_its_own_statistics():
    x = numbers(2, CHANNELS, 5, 5)
    for name, one in NODES.items():
        np.testing.assert_allclose(run(one, x)[1:], run(one, x[1:]), rtol=1e-12, err_msg=name)


def test_a_large_mean_does_not_cost_the_variance_its_digits():
    """The variance is about the mean: E[x^2] - E[x]^2 would have none left in float32."""
    x = (1000 + numbers(1, CHANNELS, 8, 8)).astype(np.float32)
    expected = ops.group_norm(x.astype(np.float64), 3)
    assert np.abs(ops.group_norm(x, 3) - expected).max() < 1e-3
    grouped = x.reshape(1, 3, -1)
    careless = np.square(grouped).mean(2) - np.square(grouped.mean(2))
    assert np.abs(careless - grouped.astype(np.float64).var(2)).max() > 1e-2


def test_other_channels_are_refused():
    for one in NODES.values():
        if one.params and len(next(iter(one.params.values()))) == CHANNELS:
            with pytest.raises(ShapeError, match=r"channels|one slope"):
                run(one, numbers(1, 8, 5, 5))
            with pytest.raises(ShapeError, match=r"channels|one slope"):
                infer_shapes(Network((one,), {"y": "y"}), (8, 5, 5))


@pytest.mark.parametrize("shape", [(2, CHANNELS, 5, 1), (1, CHANNELS, 5, 7), (2, CHANNELS + 1, 5, 7), (2, CHANNELS)])
def test_a_residual_of_another_shape_is_refused(shape):
    with pytest.raises(ShapeError, match=r"expects a residual of shape \(2, 12, 5, 7\), got"):
        ops.group_norm(numbers(2, CHANNELS, 5, 7), 3, residual=numbers(*shape))
    pool = Node("pool", "global_avg_pool", (INPUT,))
    norm = Node("y", "group_norm", (INPUT, "pool"), attrs={"groups": 3, "eps": 1e-5})
    with pytest.raises(
        ShapeError, match=r"y: adds a residual of shape \(12, 1, 1\) \(C, H, W\), but expects \(12, 5, 7\)"
    ):
        infer_shapes(Network((pool, norm), {"y": "y"}), (CHANNELS, 5, 7))


@pytest.mark.parametrize("op", ["group_norm", "evo_norm_s0"])
def test_groups_that_do_not_divide_the_channels_are_refused(op):
    one = node(op, vectors("v") if op == "evo_norm_s0" else {}, groups=5, eps=1e-5)
    for attempt in (
        lambda: run(one, numbers(1, CHANNELS, 4, 4)),
        lambda: infer_shapes(Network((one,), {"y": "y"}), (CHANNELS, 4, 4)),
    ):
        with pytest.raises(ShapeError, match="divides its 12 channels, got 5"):
            attempt()


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"padding": (4, 0, 0, 0), "mode": "reflect"}, "needs a larger image"),
        ({"padding": (0, 0, 0, 9), "mode": "reflect"}, "needs a larger image"),
        ({"padding": (-1, 0, 0, 0)}, "numbers >= 0"),
        ({"padding": (1, 1)}, "left, right, top, bottom"),
        ({"padding": (1, 1, 1, 1), "mode": "edge"}, "zeros or reflect, got 'edge'"),
    ],
)
def test_borders_that_cannot_be_made_are_refused(attrs, message):
    one = node("pad2d", **attrs)
    with pytest.raises(ShapeError, match=message):
        run(one, numbers(1, 2, 5, 4))
    with pytest.raises(ShapeError, match=message):
        infer_shapes(Network((one,), {"y": "y"}), (2, 5, 4))


def test_nan_stays():
    x = numbers(2, CHANNELS, 4, 4)
    x[0, 0, 0, 0] = np.nan
    for name, one in NODES.items():
        got = run(one, x)
        assert np.isnan(got[0]).any(), name
        assert not np.isnan(got[1]).any(), name
