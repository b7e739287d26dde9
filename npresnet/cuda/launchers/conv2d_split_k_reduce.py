"""The end of every convolution whose K was split: partial sums -> y. Other launchers append it to their own launch."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.compiler.cost import Phase, Work
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source

FILE = "conv2d/split_k_reduce.cu"
THREADS = 256


def partial_bytes(shape: ConvShape, splits: int) -> int:
    """Of float32 partial[splits, M, O]; none where K is whole."""
    return 4 * splits * shape.M * shape.out_channels if splits > 1 else 0


def work(shape: ConvShape, element: Element, splits: int, *, has_residual: bool) -> Work:
    """The partial sums come from L2, where the launch before has left them; a tile is the four outputs of a thread."""
    outputs = shape.M * shape.out_channels
    dram_bytes = outputs * element.item_bytes * (2 if has_residual else 1)
    phase = Phase(l2_bytes=4 * THREADS * (4 * splits + element.item_bytes * (2 if has_residual else 1)))
    return Work(dram_bytes, -(-outputs // (4 * THREADS)), (phase,))


def launches(
    shape: ConvShape, element: Element, splits: int, *, partial: int, bias: int, residual: int, y: int
) -> list[Launch]:
    """y = relu(bias + residual + sum of partial over its first axis). All are addresses; residual may be 0."""
    four = shape.out_channels % 4 == 0
    outputs = shape.M * shape.out_channels
    addresses = tuple(np.uint64(address) for address in (partial, bias, residual, y))
    return [
        Launch(
            Source(FILE, (("ELEMENT", element.macro),)),
            "split_k_reduce" if four else "split_k_reduce_scalar",
            grid=(-(-outputs // (THREADS * (4 if four else 1))), 1, 1),
            block=(THREADS, 1, 1),
            args=(*addresses, shape.struct(), np.int32(splits)),
        )
    ]
