"""A convolution along the channels: one small filter for all of them (efficient channel attention)."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape

MODES = ("zeros", "circular")


def channel_conv1d(x: Array, weight: Array, bias: Array | None = None, *, padding_mode: str = "zeros") -> Array:
    """Slide one filter of k numbers along the channels; every result is a sum over k neighbouring channels.

    out[n,c] = bias[0] + sum over j of weight[0,0,j] * x[n, c + j - k//2]

    x             (N, C, 1, 1) or (N, C)    any float dtype, also that of the result
    weight        (1, 1, k)                 k odd
    bias          (1,)                      optional
    padding_mode                            before the first and after the last channel: "zeros", or "circular", where
                                            channel -1 is channel C-1
    returns       the shape of x

    Cost: N * C * k multiply-adds. Raises ShapeError for other shapes and padding modes. Source: Wang et al. 2020,
    "ECA-Net: Efficient Channel Attention", equation 9; torch.nn.Conv1d(1, 1, k, padding=k//2).
    """
    x, weight = np.asarray(x), np.asarray(weight)
    _check(x.shape[1:], weight, bias, padding_mode)
    channels, taps = x.shape[1], weight.shape[2]
    row = x.reshape(len(x), channels)  # (N, C)
    around = np.arange(-(taps // 2), channels + taps // 2)  # the channel at each position of the padded row
    padded = row[:, around % channels]  # (N, C + k - 1)
    if padding_mode == "zeros":
        padded[:, (around < 0) | (around >= channels)] = 0
    out = np.zeros_like(row)
    for j in range(taps):
        out += padded[:, j : j + channels] * x.dtype.type(weight[0, 0, j])
    if bias is not None:
        out += x.dtype.type(np.asarray(bias)[0])
    return out.reshape(x.shape)


def _check(shape: Shape, weight: Array, bias: Array | None, padding_mode: str) -> None:
    if len(shape) not in (1, 3) or any(size != 1 for size in shape[1:]):
        raise ShapeError(f"expects one number per channel, (C, 1, 1) or (C,), got {shape}")
    if weight.ndim != 3 or weight.shape[:2] != (1, 1) or weight.shape[2] % 2 == 0:
        raise ShapeError(f"expects one filter (1, 1, k) with k odd, got weights of shape {weight.shape}")
    if bias is not None and np.shape(bias) != (1,):
        raise ShapeError(f"expects one bias, (1,), got {np.shape(bias)}")
    if padding_mode not in MODES:
        raise ShapeError(f"supports the padding modes {' and '.join(MODES)}, got {padding_mode!r}")
    if padding_mode == "circular" and weight.shape[2] // 2 > shape[0]:
        raise ShapeError(f"expects at least {weight.shape[2] // 2} channels for circular padding, got {shape[0]}")


def padding_mode_of(node: Node) -> str:
    """The node's padding mode: zeros where it says nothing."""
    mode: str = node.attrs.get("padding_mode", "zeros")
    return mode


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    _check(inputs[0], node.params["weight"], node.params.get("bias"), padding_mode_of(node))
    return inputs[0]


CHANNEL_CONV1D = Operation(
    name="channel_conv1d",
    label="convolution along the channels",
    title="Conv1d",
    compute=lambda node, x: channel_conv1d(
        x, node.params["weight"], node.params.get("bias"), padding_mode=padding_mode_of(node)
    ),
    infer_shape=_infer_shape,
    count_macs=lambda node, inputs, out: inputs[0][0] * node.params["weight"].size,
    fuses=True,
)
