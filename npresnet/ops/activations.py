"""Activations: elementwise functions without weights, which can be fused into the preceding operation.

All of them propagate NaN and keep the input's float dtype. Cost: a few operations per value, not counted as
multiply-adds.
"""

from __future__ import annotations

import math

import numpy as np

from npresnet.network import Array
from npresnet.ops.record import Activation

NEGATIVE_SLOPE = 0.01  # PyTorch's default, torch.nn.LeakyReLU
ALPHA = 1.0  # PyTorch's default, torch.nn.ELU and torch.nn.CELU
SELU_ALPHA = 1.6732632423543772848170429916717  # torch.nn.SELU
SELU_SCALE = 1.0507009873554804934193349852946
GELU_TANH_SCALE = math.sqrt(2 / math.pi)
GELU_TANH_CUBIC = 0.044715
QUICK_GELU_SLOPE = 1.702


def relu(x: Array) -> Array:
    """Clamp negative values to 0.

    out = max(x, 0); NaN stays NaN

    x        any shape and float dtype; the result has the same

    Cost: one comparison per value. Source: Nair and Hinton 2010, "Rectified Linear Units"; torch.nn.ReLU.
    """
    return np.maximum(x, 0)


def relu6(x: Array) -> Array:
    """out = min(max(x, 0), 6). Source: Krizhevsky 2010, "Convolutional Deep Belief Networks"; torch.nn.ReLU6."""
    return np.minimum(np.maximum(x, 0), 6)


def leaky_relu(x: Array, negative_slope: float = NEGATIVE_SLOPE) -> Array:
    """out = x if x >= 0 else negative_slope * x. Source: Maas et al. 2013; torch.nn.LeakyReLU."""
    x = np.asarray(x)
    return np.where(x < 0, x * x.dtype.type(negative_slope), x)


def hard_sigmoid(x: Array) -> Array:
    """out = min(max(x + 3, 0), 6) / 6. Source: Courbariaux et al. 2015; torch.nn.Hardsigmoid."""
    x = np.asarray(x)
    return np.minimum(np.maximum(x + x.dtype.type(3), 0), 6) / x.dtype.type(6)


def hard_swish(x: Array) -> Array:
    """out = x * min(max(x + 3, 0), 6) / 6. Source: Howard et al. 2019, "MobileNetV3"; torch.nn.Hardswish."""
    x = np.asarray(x)
    return x * np.minimum(np.maximum(x + x.dtype.type(3), 0), 6) / x.dtype.type(6)


def sigmoid(x: Array) -> Array:
    """out = 1 / (1 + exp(-x)), between 0 and 1. Source: torch.nn.Sigmoid."""
    x = np.asarray(x)
    with np.errstate(over="ignore"):  # exp(-x) overflows to infinity for very negative x; the quotient is then 0
        return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    """out = x / (1 + exp(-x)). Source: Elfwing et al. 2018, "Sigmoid-weighted linear units"; torch.nn.SiLU."""
    x = np.asarray(x)
    with np.errstate(over="ignore"):  # exp(-x) overflows to infinity for very negative x; the quotient is then 0
        return x / (1 + np.exp(-x))


def gelu(x: Array) -> Array:
    """out = x/2 * (1 + erf(x / sqrt(2))), the exact form. Source: Hendrycks and Gimpel 2016; torch.nn.GELU."""
    x = np.asarray(x)
    erf = np.vectorize(math.erf, otypes=[np.float64])(x.astype(np.float64) / math.sqrt(2)) if x.size else x
    return (x * (0.5 * (1 + erf))).astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    """out = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))). Source: Hendrycks and Gimpel 2016, section 2;
    torch.nn.GELU(approximate="tanh")."""
    x = np.asarray(x)
    number = x.dtype.type
    with np.errstate(over="ignore"):  # the cube may overflow to infinity, where tanh is 1
        inner = number(GELU_TANH_SCALE) * (x + number(GELU_TANH_CUBIC) * x * x * x)
    return number(0.5) * x * (1 + np.tanh(inner))


def quick_gelu(x: Array) -> Array:
    """out = x / (1 + exp(-1.702 x)). Source: Hendrycks and Gimpel 2016, section 2; CLIP's activation."""
    x = np.asarray(x)
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(x * x.dtype.type(-QUICK_GELU_SLOPE)))


def tanh(x: Array) -> Array:
    """out = tanh(x), between -1 and 1. Source: torch.nn.Tanh."""
    return np.tanh(x)


def elu(x: Array, alpha: float = ALPHA) -> Array:
    """out = x if x > 0 else alpha * (exp(x) - 1). Source: Clevert et al. 2015; torch.nn.ELU."""
    x = np.asarray(x)
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def celu(x: Array, alpha: float = ALPHA) -> Array:
    """out = x if x > 0 else alpha * (exp(x / alpha) - 1). Source: Barron 2017; torch.nn.CELU."""
    x = np.asarray(x)
    number = x.dtype.type(alpha)
    return np.where(x > 0, x, number * np.expm1(np.minimum(x, 0) / number))


def selu(x: Array) -> Array:
    """out = scale * (x if x > 0 else alpha * (exp(x) - 1)), both constants fixed. Source: Klambauer et al. 2017,
    "Self-Normalizing Neural Networks", equation 2; torch.nn.SELU."""
    x = np.asarray(x)
    scale, slope = x.dtype.type(SELU_SCALE), x.dtype.type(SELU_SCALE * SELU_ALPHA)
    return np.where(x > 0, scale * x, slope * np.expm1(np.minimum(x, 0)))


def mish(x: Array) -> Array:
    """out = x * tanh(log(1 + exp(x))). Source: Misra 2019; torch.nn.Mish."""
    x = np.asarray(x)
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))  # log(1 + exp(x)) without overflow


def hard_mish(x: Array) -> Array:
    """out = x/2 * min(max(x + 2, 0), 2). Source: timm's HardMish, after Misra's H-Mish."""
    x = np.asarray(x)
    return x.dtype.type(0.5) * x * np.minimum(np.maximum(x + x.dtype.type(2), 0), 2)


RELU = Activation("relu", "ReLU", lambda x, attrs: relu(x), is_monotone=True)
RELU6 = Activation("relu6", "ReLU6", lambda x, attrs: relu6(x), is_monotone=True)
LEAKY_RELU = Activation(
    "leaky_relu",
    "LeakyReLU",
    lambda x, attrs: leaky_relu(x, attrs.get("negative_slope", NEGATIVE_SLOPE)),
    attrs=("negative_slope",),
)
HARD_SIGMOID = Activation("hard_sigmoid", "Hardsigmoid", lambda x, attrs: hard_sigmoid(x), is_monotone=True)
HARD_SWISH = Activation("hard_swish", "Hardswish", lambda x, attrs: hard_swish(x))
SIGMOID = Activation("sigmoid", "Sigmoid", lambda x, attrs: sigmoid(x))
SILU = Activation("silu", "SiLU", lambda x, attrs: silu(x))
GELU = Activation("gelu", "GELU", lambda x, attrs: gelu(x))
GELU_TANH = Activation("gelu_tanh", "GELU", lambda x, attrs: gelu_tanh(x))
QUICK_GELU = Activation("quick_gelu", "QuickGELU", lambda x, attrs: quick_gelu(x))
TANH = Activation("tanh", "Tanh", lambda x, attrs: tanh(x))
ELU = Activation("elu", "ELU", lambda x, attrs: elu(x, attrs.get("alpha", ALPHA)), attrs=("alpha",))
CELU = Activation("celu", "CELU", lambda x, attrs: celu(x, attrs.get("alpha", ALPHA)), attrs=("alpha",))
SELU = Activation("selu", "SELU", lambda x, attrs: selu(x))
MISH = Activation("mish", "Mish", lambda x, attrs: mish(x))
HARD_MISH = Activation("hard_mish", "HardMish", lambda x, attrs: hard_mish(x))
