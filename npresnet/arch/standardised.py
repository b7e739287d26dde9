"""Weight standardisation: convolutions whose filters are normalised before use. Here that is done once, at load.

    W'[o] = (W[o] - mean(W[o])) / sqrt(var(W[o]) + eps) * gain[o] * scale

mean and var are those of the C/G * KH * KW numbers of filter o; var is the mean of the squared distances from the mean.
(Qiao et al. 2019, Micro-Batch Training with Batch-Channel Normalization and Weight Standardization, equations 5 and 6;
Brock et al. 2021, Characterizing signal propagation, equation 3, with gain and scale = gamma / sqrt(C/G * KH * KW).)
"""

from __future__ import annotations

import math

import numpy as np

from npresnet.arch.builder import Builder
from npresnet.arch.source import CONV_AXES, Start, Wanted, he_fan_in, ones, zeros
from npresnet.network import Array
from npresnet.window import Window


def standardise(weight: Array, eps: float, gain: Array | None = None, scale: float = 1.0) -> Array:
    """Filters (O, C/G, KH, KW) with mean 0 and variance 1, times a gain (O, 1, 1, 1) and a number.

    Computed in float64; float64 weights stay so, others are rounded once to float32.
    """
    axes = tuple(range(1, weight.ndim))
    centred = weight.astype(np.float64)
    centred -= centred.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)  # (O, 1, 1, 1)
    factor = scale / np.sqrt(variance + eps)
    centred *= factor if gain is None else factor * gain.astype(np.float64)
    return centred.astype(weight.dtype if weight.dtype == np.float64 else np.float32, copy=False)


def standardised_conv(
    builder: Builder, name: str, x: str, out_channels: int, window: Window, *, eps: float, groups: int = 1
) -> str:
    """A convolution with standardised filters, without gain: BiT."""
    return builder.conv(name, x, out_channels, window, groups=groups, computed=lambda w: standardise(w, eps))


def scaled_conv(
    builder: Builder,
    name: str,
    x: str,
    out_channels: int,
    window: Window,
    *,
    eps: float,
    factor: float = 1.0,
    groups: int = 1,
    start: Start = he_fan_in,
) -> str:
    """A convolution with standardised filters, a `gain` and a bias, as in networks without normalisation.

    factor  of the filters in addition to gain / sqrt(C/G * KH * KW), and not of the bias: the constant by which an
            earlier activation's values are to be multiplied, and gamma
    """
    fan_in = builder.channels[x] // groups * math.prod(window.kernel_size)

    def why() -> str:
        return f"  input   from {x}\n  One gain for each of the {out_channels} filters of {name}."

    gain = builder.source.take(Wanted(f"{name}.gain", (out_channels, 1, 1, 1), CONV_AXES, ones, why))
    return builder.conv(
        name,
        x,
        out_channels,
        window,
        groups=groups,
        start=start,
        bias=zeros,
        computed=lambda weight: standardise(weight, eps, gain, factor / math.sqrt(fan_in)),
        to=f"times {name}.gain",
    )
