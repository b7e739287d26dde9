"""The constants of Winograd convolution with 3x3 filters: the inputs of a tile along one side, and B^T and A^T.

`ops.winograd` derives them, for stride 2 by `ops.polyphase`, from points with small float32 error. They are written out
here because deriving them would add 10 ms to every process's start; all are exact in float32.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from npresnet.cpu.runtime.memory import Floats

# B^T (p, p) by stride and m: of F(m, 3), p = m + 2, and with stride 2 of F(m, 2) for the even inputs, p = m + 1
INPUT_TRANSFORMS: dict[tuple[int, int], list[list[float]]] = {
    (1, 2): [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]],
    (1, 4): [
        [0.87890625, 0, -2.640625, 0, 1, 0],
        [0, -1.40625, -2.25, 0.625, 1, 0],
        [0, 1.40625, -2.25, -0.625, 1, 0],
        [0, -0.5859375, -0.390625, 1.5, 1, 0],
        [0, 0.5859375, -0.390625, -1.5, 1, 0],
        [0, 0.87890625, 0, -2.640625, 0, 1],
    ],
    (2, 2): [[-1, 1, 0], [0, 1, 0], [0, -1, 1]],
    (2, 4): [
        [0.375, -1.625, 0.25, 1, 0],
        [-0.1875, 0.25, 1.75, 1, 0],
        [-0.75, -1.25, 1, 1, 0],
        [0.125, -0.375, -0.75, 1, 0],
        [0.1875, -0.4375, -1.5, 0.75, 1],
    ],
}

# A^T (m, p) of the same
OUTPUT_TRANSFORMS: dict[tuple[int, int], list[list[float]]] = {
    (1, 2): [[1, 1, 1, 0], [0, 1, -1, 1]],
    (1, 4): [
        [1, 1, 1, 1, 1, 0],
        [0, 0.625, -0.625, 1.5, -1.5, 0],
        [0, 0.390625, 0.390625, 2.25, 2.25, 0],
        [0, 0.244140625, -0.244140625, 3.375, -3.375, 1],
    ],
    (2, 2): [[1, 1, 0], [0, 1, 1]],
    (2, 4): [
        [1, 1, 1, 1, 0],
        [-0.5, 1, 0.25, -1.5, 0],
        [0.25, 1, 0.0625, 2.25, 0],
        [-0.125, 1, 0.015625, -3.375, 1],
    ],
}


class Side(NamedTuple):
    """One side of a tile: m outputs, `stride` inputs apart."""

    stride: int
    m: int

    @property
    def t(self) -> int:
        """Inputs that a tile reads, and positions of the transformed tile."""
        return self.inputs(self.m)

    @property
    def own(self) -> int:
        """p: positions with distinct transformed filters; with stride 2 the t - p odd ones share one, the tap g1."""
        return self.m + 3 - self.stride

    def inputs(self, outputs: int) -> int:
        """How many neighbouring inputs this many neighbouring outputs read."""
        return self.stride * (outputs - 1) + 3


@cache
def matrices(side: Side) -> tuple[Floats, Floats]:
    """B^T (t, t) and A^T (m, t) in float32. With stride 2 the last positions are the odd inputs unchanged."""
    to_input, to_output = np.zeros((side.t, side.t), np.float32), np.zeros((side.m, side.t), np.float32)
    to_input[: side.own, :: side.stride] = INPUT_TRANSFORMS[side]
    to_output[:, : side.own] = OUTPUT_TRANSFORMS[side]
    if side.stride == 2:
        to_input[side.own :, 1::2] = to_output[:, side.own :] = np.eye(side.m)
    return to_input, to_output


@cache
def with_bias(side: Side) -> Floats:
    """[A^T | 1] (m, t + 1): adds one more row of a transformed tile to each of its outputs."""
    _, to_output = matrices(side)
    return np.concatenate([to_output, np.ones((side.m, 1), np.float32)], axis=1)
