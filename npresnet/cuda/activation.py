"""Activations as kernels take them: a code and its parameter. kernels/common/activation.cuh has the same of both."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from npresnet.network import Array
from npresnet.ops.activations import NEGATIVE_SLOPE

# kernels/common/activation.cuh, struct Activation: the same fields in the same order
ACTIVATION = np.dtype([("code", np.int32), ("negative_slope", np.float32)])


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


class Activation(NamedTuple):
    """One activation of a launch; `negative_slope` is that of LEAKY_RELU, which no other reads."""

    code: Code = Code.NONE
    negative_slope: float = 0.0

    @classmethod
    def of(cls, name: str | None, attrs: Mapping[str, Any]) -> Activation:
        """Of a node's activation, or of an operation that is one; `attrs` are the node's."""
        if name is None:
            return NONE
        return cls(Code[name.upper()], attrs.get("negative_slope", NEGATIVE_SLOPE))

    def struct(self) -> Array:
        """The kernel's `Activation` argument: a structured array of one item, passed by value."""
        return np.array([tuple(self)], ACTIVATION)


NONE = Activation()
RELU = Activation(Code.RELU)
NAMES = tuple(code.name.lower() for code in Code if code is not Code.NONE)  # as `Node.activation` has them
