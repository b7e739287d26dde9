"""Split attention (ResNeSt): the 3x3 convolution computes `radix` splits of the channels, and a softmax weighs them.

    u   = relu(bn0(conv 3x3 of cardinality * radix groups (x)))                  (radix * C, H, W)
    w   = softmax over the radix of fc2(relu(bn1(fc1(mean over H, W of sum over r of u_r))))    sigmoid where radix is 1
    y   = sum over r of w_r * u_r                                                 (C, H, W)

Blocks that stride do so in an average pool of 3x3, before or after this (`avd`), rather than in the convolution. Radix
0 is a plain 3x3 convolution with that pool. Source: Zhang et al. 2020, ResNeSt: Split-Attention Networks, sections 3.1
and 4.2; their names, also timm's: `conv2.conv`, `conv2.bn0`, `conv2.fc1`, `conv2.bn1`, `conv2.fc2`.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.residual.attention import reduced
from npresnet.arch.residual.build import POINTWISE, Branch, activate, conv_norm, last_start, same_window
from npresnet.arch.residual.layout import Block, Layout
from npresnet.arch.source import uniform_fan_in
from npresnet.arch.tensors import Tensors
from npresnet.window import Window

NAMES = (("conv1", "bn1"), ("conv1", "bn1"), ("conv3", "bn3"))  # conv2 has the width of conv1
SQUEEZE = 1 / 4
LEAST = 32  # channels between fc1 and fc2


def read_splits(tensors: Tensors) -> tuple[int, int]:
    """(radix, cardinality), by the first block: filters of the 3x3 over its width, the width over fc1's channels."""
    conv2 = "layer1.0.conv2"
    width = tensors.length("layer1.0.conv1.weight", 0, ndim=4) or 1
    splits, inside = tensors.length(f"{conv2}.conv.weight", 0, ndim=4), tensors.length(f"{conv2}.fc1.weight", 1, ndim=4)
    return max((splits or 1) // width, 1), max(width // (inside or width), 1)


def split_bottleneck(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """1x1, split attention or 3x3, 1x1; an average pool with the stride before or after the second."""
    name, radix, avd = block.name, layout.extra.get("radix", 0), layout.extra["avd"]
    pools = avd != "none" and block.stride > 1
    pool = Window.of(3, stride=block.stride, padding=1)
    middle = same_window(3, 1 if pools else block.stride, block.first_dilation)
    x = conv_norm(builder, layout, f"{name}.conv1", f"{name}.bn1", x, block.widths[0], POINTWISE)
    x = activate(builder, layout, f"{name}.relu.1", x)
    if pools and avd == "first":
        x = builder.avg_pool(f"{name}.avd_first", x, pool)
    if radix:
        x = split_attention(builder, layout, f"{name}.conv2", x, block.widths[1], middle, radix)
    else:
        groups = layout.groups
        x = conv_norm(builder, layout, f"{name}.conv2", f"{name}.bn2", x, block.widths[1], middle, groups=groups)
        x = activate(builder, layout, f"{name}.relu.2", x)
    if pools and avd == "last":
        x = builder.avg_pool(f"{name}.avd_last", x, pool)
    start = last_start(layout)
    return conv_norm(builder, layout, f"{name}.conv3", f"{name}.bn3", x, block.widths[2], POINTWISE, start=start)


BRANCHES: Mapping[str, Branch] = {"Bottleneck": split_bottleneck}


def split_attention(
    builder: Builder, layout: Layout, name: str, x: str, out_channels: int, window: Window, radix: int
) -> str:
    """The weighted sum of the splits, (out_channels, H, W)."""
    groups, shape = layout.groups, builder.source.shape_of(f"{name}.fc1.weight")
    hidden = shape[0] if shape else max(reduced(builder.channels[x] * radix * SQUEEZE), LEAST)
    splits = conv_norm(
        builder, layout, f"{name}.conv", f"{name}.bn0", x, radix * out_channels, window, groups=groups * radix
    )
    splits = activate(builder, layout, f"{name}.act0", splits)
    whole = splits
    if radix > 1:
        whole = builder.operation(f"{name}.radix_sum", "radix_sum", [splits], out_channels, attrs={"radix": radix})
    gate = builder.global_avg_pool(f"{name}.pool", whole)
    gate = builder.conv(
        f"{name}.fc1", gate, hidden, POINTWISE, groups=groups, bias=uniform_fan_in(out_channels // groups)
    )
    gate = builder.batch_norm(f"{name}.bn1", gate, eps=layout.bn_eps)
    gate = activate(builder, layout, f"{name}.act1", gate)
    gate = builder.conv(
        f"{name}.fc2", gate, radix * out_channels, POINTWISE, groups=groups, bias=uniform_fan_in(hidden // groups)
    )
    gate = builder.operation(f"{name}.rsoftmax", "radix_softmax", [gate], attrs={"radix": radix, "cardinality": groups})
    if radix == 1:
        return builder.multiply(f"{name}.multiply", splits, gate)
    return builder.operation(f"{name}.sum", "radix_weighted_sum", [splits, gate], out_channels, attrs={"radix": radix})
