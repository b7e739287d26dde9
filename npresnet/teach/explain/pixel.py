"""One output of one convolution, worked out: its patch, its filter, and the same number in several ways.

    products_sum = sum over c,u,v of patch[c,u,v] * weight[c,u,v]
    output       = products_sum + bias
    step_output  = activation(output + residual)    residual and activation where the step has them

`weight` and `bias` are those with the BatchNorm folded in, as the backends use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npresnet import ops
from npresnet.network import Array, Node
from npresnet.ops.record import window_of
from npresnet.ops.registry import activation_of
from npresnet.ops.windows import sliding_windows
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.teach.explain.chain import Chain
from npresnet.teach.ulps import bits, ulps


@dataclass(frozen=True)
class Place:
    """Which output: channel (a filter), row and column of the feature map."""

    channel: int
    row: int
    col: int


@dataclass(frozen=True)
class Norm:
    """A BatchNorm's numbers for one channel, and the line that they are: y = scale * x + shift."""

    name: str
    gamma: float
    beta: float
    mean: float
    var: float
    eps: float
    scale: float
    shift: float


@dataclass(frozen=True)
class Computation:
    """One way to compute the output.

    output, step_output   float32: after the bias; after residual and activation
    bits                  of output, in hexadecimal
    ulps, step_ulps       distance from the float64 reference rounded to float32; None where that is not finite
    """

    name: str
    text: str
    output: np.float32
    step_output: np.float32
    bits: str
    ulps: int | None
    step_ulps: int | None


@dataclass(frozen=True)
class Pixel:
    """Everything about one output. Arrays are (C/G, KH, KW), float32; sums are float64 sums of exact products.

    inside              (KH, KW)  False where a tap falls into the padding
    weight              with the BatchNorm folded in, rounded to float32 once; raw_weight as the checkpoint has it
    channel_sums        (C/G,)    each input channel's part of products_sum
    raw_sum, raw_bias   the convolution alone, as trained, before any BatchNorm
    activation          its name, or None
    """

    patch: Array
    inside: Array
    weight: Array
    raw_weight: Array
    channel_sums: Array
    products_sum: float
    bias: np.float32
    output: float
    residual: np.float32 | None
    activation: str | None
    step_output: float
    raw_sum: float
    raw_bias: np.float32
    norm: Norm | None


def work_out(chain: Chain, place: Place, x: Array, residual: np.float32 | None) -> Pixel:
    """The output at `place`, from the convolution's input x (1, C, H, W) float32 and what is added to it."""
    conv, channel = chain.conv, place.channel
    patch, inside = cut_patch(conv, place, x)
    raw_weight = np.asarray(conv.params["weight"][channel], np.float32)
    weight = np.asarray(ops.folded_weight(chain.fused)[channel], np.float32)
    products = patch.astype(np.float64) * weight  # float32 times float32 is exact in float64
    bias = _bias(chain.fused, channel)
    products_sum = float(products.sum())
    output = products_sum + float(bias)
    return Pixel(
        patch=patch,
        inside=inside,
        weight=weight,
        raw_weight=raw_weight,
        channel_sums=products.sum(axis=(1, 2)),
        products_sum=products_sum,
        bias=bias,
        output=output,
        residual=residual,
        activation=chain.fused.activation,
        step_output=finish(chain, np.float64(output), residual),
        raw_sum=float((patch.astype(np.float64) * raw_weight).sum()),
        raw_bias=_bias(conv, channel),
        norm=None if chain.norm is None else read_norm(chain.norm, channel),
    )


def cut_patch(conv: Node, place: Place, x: Array) -> tuple[Array, Array]:
    """The patch (C/G, KH, KW) that one output looks at, in its own group's channels; and which taps lie inside."""
    window = window_of(conv)
    out_size = window.output_size(x.shape[2:])
    channels = group_channels(conv, place.channel)
    windows = sliding_windows(x[:, channels], window, out_size, fill=0)
    inside = sliding_windows(np.ones((1, 1, *x.shape[2:]), bool), window, out_size, fill=0)
    at = (0, slice(None), place.row, place.col)
    return windows[at].copy(), inside[at][0].copy()


def group_channels(conv: Node, channel: int) -> slice:
    """The input channels that filter number `channel` sees: those of its group."""
    out_channels, width = conv.params["weight"].shape[:2]
    group = channel // (out_channels // conv.groups)
    return slice(group * width, (group + 1) * width)


def read_norm(norm: Node, channel: int) -> Norm:
    """One channel's numbers."""
    scale, shift = scale_and_shift(norm)

    def number(role: str, absent: float) -> float:
        return float(norm.params[role][channel]) if role in norm.params else absent

    return Norm(
        name=norm.name,
        gamma=number("weight", 1.0),
        beta=number("bias", 0.0),
        mean=number("running_mean", 0.0),
        var=number("running_var", 1.0),
        eps=float(norm.attrs["eps"]),
        scale=float(scale[channel]),
        shift=float(shift[channel]),
    )


def finish(chain: Chain, output: np.floating, residual: np.float32 | None) -> float:
    """activation(output + residual), in output's own precision."""
    total = np.array([output if residual is None else output + output.dtype.type(residual)], output.dtype)
    node = chain.fused
    return float((total if node.activation is None else activation_of(node).function(total, node.attrs))[0])


def compute_ways(
    chain: Chain, place: Place, pixel: Pixel, x: Array, backend: tuple[str, np.float32, np.float32]
) -> list[Computation]:
    """The same number by seven loops, by im2col, by a whole matrix product, as trained, and by the backend.

    x        (1, C, H, W) float32, the convolution's input
    backend  which one, in words, and what it gives: after the bias, and at the end of the fused step
    """
    column, row, cell = by_matrix(chain, place, pixel, x)
    outputs = [
        ("loop", "one multiply-add after the other, in float32", by_loop(pixel) + pixel.bias),
        ("im2col", "one column times one filter row: a dot product", np.float32(row @ column) + pixel.bias),
        ("GEMM", "the same cell of the whole matrix product, by BLAS", cell + pixel.bias),
    ]
    if chain.norm is not None:
        outputs.append(
            ("as trained", "convolution first, BatchNorm after it: other roundings", by_norm(chain, place, pixel))
        )
    found = [_computation(pixel, name, text, out, finish(chain, out, pixel.residual)) for name, text, out in outputs]
    text, output, step_output = backend
    return [*found, _computation(pixel, "fused step", text, output, float(step_output))]


def by_loop(pixel: Pixel) -> np.float32:
    """The innermost three of convolution's seven loops, in float32."""
    total: np.float32 = np.float32(0)
    for value, weight in zip(pixel.patch.ravel(), pixel.weight.ravel(), strict=True):
        total = _float32(total + value * weight)
    return total


def by_matrix(chain: Chain, place: Place, pixel: Pixel, x: Array) -> tuple[Array, Array, np.float32]:
    """(column (K,), filter row (K,), cell): of the group's im2col matrix, its filters, and their whole product."""
    window = window_of(chain.conv)
    columns = ops.im2col(x[:, group_channels(chain.conv, place.channel)], window)[0]  # (K, L)
    _, out_width = window.output_size(x.shape[2:])
    position = place.row * out_width + place.col
    per_group = len(chain.conv.params["weight"]) // chain.conv.groups
    first = place.channel // per_group * per_group
    filters = np.asarray(ops.folded_weight(chain.fused)[first : first + per_group], np.float32)
    product = filters.reshape(per_group, -1) @ columns  # (O/G, K) @ (K, L) -> (O/G, L)
    return columns[:, position].copy(), pixel.weight.ravel(), product[place.channel - first, position]


def by_norm(chain: Chain, place: Place, pixel: Pixel) -> np.float32:
    """conv, then BatchNorm, in float32, with the weights as they are in the checkpoint."""
    assert chain.norm is not None
    total = np.float32(np.dot(pixel.patch.ravel(), pixel.raw_weight.ravel())) + pixel.raw_bias
    params = {role: array[[place.channel]] for role, array in chain.norm.params.items()}
    normed = ops.batch_norm(np.array([[total]], np.float32), **params, eps=chain.norm.attrs["eps"])
    return _float32(normed[0, 0])


def _computation(pixel: Pixel, name: str, text: str, output: np.float32, step_output: float) -> Computation:
    last = np.float32(step_output)
    distances = _distance(output, pixel.output), _distance(last, pixel.step_output)
    return Computation(name, text, np.float32(output), last, bits(output), *distances)


def _distance(value: np.float32, reference: float) -> int | None:
    return ulps(value, np.float32(reference)) if np.isfinite(value) and np.isfinite(reference) else None


def _bias(conv: Node, channel: int) -> np.float32:
    return _float32(conv.params["bias"][channel] if "bias" in conv.params else 0)


def _float32(number: Any) -> np.float32:
    rounded: np.float32 = np.float32(number)
    return rounded
