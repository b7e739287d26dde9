"""Checks of the passes, as functions of what they check."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from npresnet import ops
from npresnet.network import INPUT, Array, Network, Node
from npresnet.window import Window
from tests.support.checks import assert_same

WINDOW = Window.of((3, 2))
ONE_ROUNDING = 2.0**-24 * 1.001  # of a float64 number to float32, relative


def check_fold(fold: Callable[[Network], Network]) -> None:
    """Each folded number is the float64 one, a bias rounded once; eps, bias, scale and shift are all in it."""
    learned = ((), ("weight",), ("bias",), ("weight", "bias"))
    for seed, (groups, has_bias, roles) in enumerate(itertools.product((1, 2), (False, True), learned)):
        conv, norm = _conv_and_norm(seed, groups, has_bias, roles)
        (folded,) = fold(Network((conv, norm), {"y": "bn"}))
        assert (folded.op, folded.groups, folded.window) == ("conv2d", groups, WINDOW)
        weight, bias = _fold_in_float64(conv.params, norm.params, norm.attrs["eps"])
        assert folded.params["bias"].dtype == np.float32
        assert_same(ops.folded_weight(folded), weight, (groups, has_bias, roles))
        np.testing.assert_allclose(folded.params["bias"], bias, rtol=ONE_ROUNDING, atol=1e-12)


def _conv_and_norm(seed: int, groups: int, has_bias: bool, roles: tuple[str, ...]) -> tuple[Node, Node]:
    rng = np.random.default_rng(seed)
    filters = {"weight": rng.standard_normal((6, 4 // groups, 3, 2), dtype=np.float32)}
    if has_bias:
        filters["bias"] = rng.standard_normal(6, dtype=np.float32)
    statistics = {
        "running_mean": rng.standard_normal(6, dtype=np.float32),
        "running_var": np.array([0.0, 1e-6, 1e-5, 0.3, 2.0, 50.0], np.float32),  # eps matters for the first three
    }
    learned = {role: rng.standard_normal(6, dtype=np.float32) for role in roles}
    return (
        Node("conv", "conv2d", (INPUT,), WINDOW, groups, params=filters),
        Node("bn", "batch_norm", ("conv",), attrs={"eps": 1e-5}, params=statistics | learned),
    )


def _fold_in_float64(filters: dict[str, Array], norm: dict[str, Array], eps: float) -> tuple[Array, Array]:
    f = {role: array.astype(np.float64) for role, array in filters.items()}
    n = {role: array.astype(np.float64) for role, array in norm.items()}
    scale = n.get("weight", np.ones(6)) / np.sqrt(n["running_var"] + eps)  # (O,)
    weight = np.stack([filter_ * number for filter_, number in zip(f["weight"], scale, strict=True)])
    return weight, (f.get("bias", np.zeros(6)) - n["running_mean"]) * scale + n.get("bias", np.zeros(6))
