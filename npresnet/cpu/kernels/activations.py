"""Activations, as steps or at the end of another operation's tile: in place, while the numbers are in the cache.

Each function computes in float32 what the function of the same name in `npresnet.ops.activations` specifies. An
intermediate of a tile's size is allocated where a formula needs one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, bands_of
from npresnet.network import Node
from npresnet.ops.activations import NEGATIVE_SLOPE
from npresnet.plan.steps import Call, Tile

ERF_RANGE = 6.0  # beyond it the error function is 1 in float32
ERF_DEGREE = 60  # of the polynomial within that range: error below 1e-8

Function = Callable[[Floats, Mapping[str, Any], Floats], None]


def activate(node: Node, memory: Memory, source: Floats, out: Floats) -> list[Call]:
    """The call that computes out = activation(source), (n, h, w, C) or any shape, in place where both are one array.

    Without an activation: no call where both are one array, else a copy.
    """
    if node.activation is None:
        return [] if out is source else [(kernels.copy, (source, out))]
    return [activation_call(node.activation, node.attrs, memory, source, out)]


def activation_call(name: str, attrs: Mapping[str, Any], memory: Memory, source: Floats, out: Floats) -> Call:
    """The call of the activation of that name."""
    if name == "relu":  # whole rows of zeros: a scalar runs at a quarter of the speed
        return kernels.maximum, (source, memory.zeros(source.shape[-2:]), out)
    return FUNCTIONS[name], (source, attrs, out)


def relu6(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    np.maximum(x, 0, out=out)
    np.minimum(out, 6, out=out)


def leaky_relu(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    slope = np.float32(attrs.get("negative_slope", NEGATIVE_SLOPE))
    np.copyto(out, np.where(x < 0, x * slope, x))


def hard_sigmoid(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    np.add(x, np.float32(3), out=out)
    relu6(out, attrs, out)
    np.divide(out, np.float32(6), out=out)


def hard_swish(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    clamped = np.add(x, np.float32(3))
    relu6(clamped, attrs, clamped)
    np.multiply(x, clamped, out=clamped)
    np.divide(clamped, np.float32(6), out=out)


def sigmoid(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, np.float32(1), out=out)
    np.divide(np.float32(1), out, out=out)


def silu(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    divisor = np.negative(x)
    np.exp(divisor, out=divisor)
    np.add(divisor, np.float32(1), out=divisor)
    np.divide(x, divisor, out=out)


def gelu(x: Floats, attrs: Mapping[str, Any], out: Floats) -> None:
    """x/2 * (1 + erf(x / sqrt(2))), in float64 by a polynomial, because NumPy has no error function."""
    scaled = np.clip(x.astype(np.float64) / (ERF_RANGE * math.sqrt(2)), -1, 1)  # in units of ERF_RANGE
    half = 0.5 + 0.5 * np.polynomial.chebyshev.chebval(scaled, _erf_coefficients())
    half[scaled <= -1], half[scaled >= 1] = 0, 1  # exactly: a large x would magnify the polynomial's last error
    np.multiply(x, half, out=out, casting="same_kind")


@cache
def _erf_coefficients() -> Any:
    """Chebyshev coefficients of erf(ERF_RANGE * t) for t in -1..1."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return np.polynomial.chebyshev.chebinterpolate(lambda t: erf(ERF_RANGE * t), ERF_DEGREE)


FUNCTIONS: Mapping[str, Function] = {
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": hard_swish,
    "sigmoid": sigmoid,
    "silu": silu,
    "gelu": gelu,
}
NAMES = ("relu", *FUNCTIONS)


class ActivationLowering(Lowering):
    """An activation as a separate node, in bands of rows."""

    def __init__(self, name: str):
        self.name = name

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        return [
            (
                activation_call(self.name, node.attrs, memory, source, out),
                *activate(node, memory, out, out),
            )
            for source, out in bands_of(memory, node.inputs[0], node.name)
        ]
