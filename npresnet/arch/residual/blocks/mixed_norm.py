"""IBN: InstanceNorm beside BatchNorm in the first norm of a block, or after a block's addition.

    a   bn1 of a block: InstanceNorm `bn1.IN` of the first half of the channels, BatchNorm `bn1.BN` of the others
    b   InstanceNorm `IN` between the addition and the activation of some blocks; the stem's norm is InstanceNorm

InstanceNorm is GroupNorm with a group for each channel. Source: Pan et al. 2018, Two at Once: IBN-Net, section 3.3;
XingangPan/IBN-Net, ibnnet/resnet_ibn.py: a in stages 1 to 3, b in the last block of stages 1 and 2.
"""

from __future__ import annotations

import re

from npresnet.arch.builder import Builder
from npresnet.arch.residual.layout import Block, Layout
from npresnet.arch.source import Start

A_STAGES, B_STAGES = 3, 2


def mixed_norm(builder: Builder, layout: Layout, norm: str, x: str, start: Start) -> str:
    """The norm called `norm`: both halves, InstanceNorm or BatchNorm, as the file or the variant has it."""
    source, variant = builder.source, layout.extra["ibn"]
    if source.is_file:
        halves, instance = f"{norm}.IN.weight" in source, f"{norm}.running_mean" not in source
    else:
        halves = variant == "a" and re.match(rf"layer[1-{A_STAGES}]\.[0-9]+\.bn1$", norm) is not None
        instance = variant == "b" and norm == layout.convs[-1].norm
    if halves:
        return _halves(builder, layout, norm, x)
    if instance:
        return builder.group_norm(norm, x, groups=builder.channels[x], eps=layout.bn_eps)
    return builder.batch_norm(norm, x, eps=layout.bn_eps, start=start)


def _halves(builder: Builder, layout: Layout, norm: str, x: str) -> str:
    channels, found = builder.channels[x], builder.source.shape_of(f"{norm}.IN.weight")
    half = found[0] if found else channels // 2
    first = builder.slice_channels(f"{norm}.first", x, 0, half)
    second = builder.slice_channels(f"{norm}.second", x, half, channels)
    first = builder.group_norm(f"{norm}.IN", first, groups=half, eps=layout.bn_eps)
    second = builder.batch_norm(f"{norm}.BN", second, eps=layout.bn_eps)
    return builder.concat(norm, [first, second])


def after_add(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """InstanceNorm of the sum where the block has one."""
    name = f"{block.name}.IN"
    stage, index = map(int, re.findall("[0-9]+", block.name))
    usual = layout.extra["ibn"] == "b" and stage <= B_STAGES and index == layout.layers[stage - 1] - 1
    if f"{name}.weight" in builder.source if builder.source.is_file else usual:
        return builder.group_norm(name, x, groups=builder.channels[x], eps=layout.bn_eps)
    return x
