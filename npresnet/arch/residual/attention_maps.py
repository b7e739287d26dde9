"""Attention to positions as well as channels: CBAM, and global context.

cbam    y = x * sigmoid(mlp(mean over H, W of x) + mlp(max over H, W of x));      mlp = fc2(relu(fc1(.)))
        z = y * sigmoid(norm(conv 7x7 (mean over C of y, max over C of y)))       Woo et al. 2018, CBAM, section 3
gc      c = sum over positions of softmax(conv_attn 1x1 (x)) * x                  Cao et al. 2019, GCNet, equation 4
        y = x * sigmoid(mlp_scale(c)) + mlp_add(c);   mlp = fc2(relu(LayerNorm(fc1(.))))   timm, global_context.py

CBAM's authors put the map of maxima first, timm and most others that of means: the names of the layers tell. A file
without the 7x7 convolution has the gate of channels alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from npresnet.arch.builder import Builder
from npresnet.arch.source import ones, uniform_fan_in, zeros
from npresnet.window import Window

POINTWISE = Window.of(1)
KERNEL_SIZE = 7  # of CBAM's convolution over positions
BN_EPS, LAYER_NORM_EPS = 1e-5, 1e-6  # of timm's BatchNorm and LayerNorm2d
CONTEXT = 1 / 8  # channels of a global context's hidden layer over the block's


def cbam(builder: Builder, base: str, names: Sequence[str], x: str, reduction: float, order: tuple[str, str]) -> str:
    """x times its gate of channels, then that times its gate of positions.

    names  of fc1, fc2, the convolution over positions and its norm ("" for none)
    order  of the convolution's two channels
    """
    first, second, conv, norm = names
    logits = _channel_logits(builder, base, first, second, x, reduction)
    gate = builder.activation(f"{base}.channel.sigmoid", logits, "sigmoid")
    x = builder.multiply(f"{base}.channel.multiply", x, gate)
    if builder.source.is_file and f"{conv}.weight" not in builder.source:
        return x
    maps = [builder.operation(f"{base}.spatial.{kind}", f"channel_{kind}", [x], 1) for kind in order]
    y = builder.concat(f"{base}.spatial.concat", maps)
    shape = builder.source.shape_of(f"{conv}.weight")
    side = shape[-1] if shape else KERNEL_SIZE
    y = builder.conv(conv, y, 1, Window.of(side, padding=side // 2))
    y = builder.batch_norm(norm, y, eps=BN_EPS) if norm else y
    gate = builder.activation(f"{base}.spatial.sigmoid", y, "sigmoid")
    return builder.multiply(f"{base}.spatial.multiply", x, gate)


def _channel_logits(builder: Builder, base: str, first: str, second: str, x: str, reduction: float) -> str:
    """mlp(mean of x) + mlp(max of x): two pointwise layers, applied twice."""
    channels, shape = builder.channels[x], builder.source.shape_of(f"{first}.weight")
    hidden = shape[0] if shape else max(int(channels * reduction), 1)
    flat = shape is not None and len(shape) == 2
    mean, most = builder.global_avg_pool(f"{base}.channel.mean", x), builder.global_max_pool(f"{base}.channel.max", x)
    if flat:
        mean, most = builder.flatten(f"{first}.flatten", mean), builder.flatten(f"{first}.max.flatten", most)
        y = builder.relu(f"{first}.relu", builder.linear(first, mean, hidden))
        y = builder.linear(second, y, channels)
    else:
        y = builder.relu(f"{first}.relu", builder.conv(first, mean, hidden, POINTWISE))
        y = builder.conv(second, y, channels, POINTWISE)
    z = builder.relu(f"{first}.max.relu", builder.again(f"{first}.max", first, most))
    return builder.add(f"{base}.channel.add", y, builder.again(f"{second}.max", second, z))


def global_context(builder: Builder, base: str, names: Sequence[str], x: str) -> str:
    """x scaled and shifted by what a weighted mean of its positions gives.

    names  of conv_attn, mlp_scale and mlp_add; "" for one that it has not
    """
    conv, scale, shift = names
    channels = builder.channels[x]
    logits = builder.conv(conv, x, 1, POINTWISE, bias=uniform_fan_in(channels))
    context = builder.operation(f"{base}.pool", "spatial_attention_pool", [x, logits], channels)
    if _has(builder, scale):
        gate = builder.activation(f"{base}.sigmoid", _context_mlp(builder, scale, context), "sigmoid")
        x = builder.multiply(f"{base}.multiply", x, gate)
    if _has(builder, shift):
        x = builder.operation(f"{base}.add", "broadcast_add", [x, _context_mlp(builder, shift, context)])
    return x


def _has(builder: Builder, name: str) -> bool:
    return bool(name) and (not builder.source.is_file or f"{name}.fc1.weight" in builder.source)


def _context_mlp(builder: Builder, name: str, x: str) -> str:
    channels, shape = builder.channels[x], builder.source.shape_of(f"{name}.fc1.weight")
    hidden = shape[0] if shape else max(int(channels * CONTEXT + 0.5), 1)
    y = builder.conv(f"{name}.fc1", x, hidden, POINTWISE, bias=uniform_fan_in(channels))
    vectors = {"weight": ones, "bias": zeros}
    y = builder.operation(f"{name}.norm", "layer_norm2d", [y], vectors=vectors, attrs={"eps": LAYER_NORM_EPS})
    y = builder.relu(f"{name}.act", y)
    return builder.conv(f"{name}.fc2", y, channels, POINTWISE, bias=uniform_fan_in(hidden))
