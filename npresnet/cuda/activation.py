"""Activations as kernels take them: a code and its parameter. kernels/common/activation.cuh has the same of both."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from npresnet.network import Array
from npresnet.ops.activations import ALPHA, NEGATIVE_SLOPE

# kernels/common/activation.cuh, struct Activation: the same fields in the same order
ACTIVATION = np.dtype([("code", np.int32), ("parameter", np.float32)])


class Code(IntEnum):
    """The activations that kernels know, by the upper-case names of `npresnet.ops.activations`."""

    NONE = 0
    RELU = 1
    RELU6 = 2
    LEAKY_RELU = 3
    HARD_SIGMOID = 4
    HARD_SWISH = 5
    SILU = 6
    GELU = 7
    SIGMOID = 8
    GELU_TANH = 9
    QUICK_GELU = 10
    TANH = 11
    ELU = 12
    CELU = 13
    SELU = 14
    MISH = 15
    HARD_MISH = 16


# code -> the node's attribute that is its parameter, and what that is by default
PARAMETERS = {
    Code.LEAKY_RELU: ("negative_slope", NEGATIVE_SLOPE),
    Code.ELU: ("alpha", ALPHA),
    Code.CELU: ("alpha", ALPHA),
}


class Activation(NamedTuple):
    """One activation of a launch; most read no `parameter`, see PARAMETERS."""

    code: Code = Code.NONE
    parameter: float = 0.0

    @classmethod
    def of(cls, name: str | None, attrs: Mapping[str, Any]) -> Activation:
        """Of a node's activation, or of an operation that is one; `attrs` are the node's."""
        if name is None:
            return NONE
        code = Code[name.upper()]
        attribute, default = PARAMETERS.get(code, ("", 0.0))
        return cls(code, attrs.get(attribute, default))

    def struct(self) -> Array:
        """The kernel's `Activation` argument: a structured array of one item, passed by value."""
        return np.array([tuple(self)], ACTIVATION)


NONE = Activation()
RELU = Activation(Code.RELU)
NAMES = tuple(code.name.lower() for code in Code if code is not Code.NONE)  # as `Node.activation` has them
