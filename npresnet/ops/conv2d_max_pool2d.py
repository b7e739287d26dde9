"""A convolution and the max pool after it as one node, created by `passes.fuse_max_pool`.

The pool's window is attrs["pool"]. A maximum and a monotone activation commute, so the activation is applied last, to
fewer values.
"""

from __future__ import annotations

from npresnet.network import Array, Node
from npresnet.ops.conv2d import compute_conv2d, infer_conv2d
from npresnet.ops.convolution import convolution_macs
from npresnet.ops.max_pool2d import compute_max_pool2d, pooled_shape
from npresnet.ops.record import Operation, Shape, window_of
from npresnet.window import Window


def _compute(node: Node, x: Array) -> Array:
    return compute_max_pool2d(node, compute_conv2d(node, x), node.attrs["pool"])


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    return pooled_shape(node, infer_conv2d(node, inputs), node.attrs["pool"])


def _sees(node: Node, index: int, shape: Shape) -> Window | None:
    """The composition of the convolution's and the pool's windows."""
    return window_of(node).under(node.attrs["pool"])


CONV2D_MAX_POOL2D = Operation(
    name="conv2d_max_pool2d",
    label="convolution with max pool",
    title="Conv2d",
    compute=_compute,
    infer_shape=_infer_shape,
    count_macs=lambda node, inputs, out: convolution_macs(node, infer_conv2d(node, inputs)),
    sees=_sees,
    monotone_only=True,
)
