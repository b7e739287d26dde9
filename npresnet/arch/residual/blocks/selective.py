"""Selective kernels: several 3x3 convolutions of different dilation, and a softmax over them for each channel.

    u_p = relu(bn(conv 3x3 of dilation p + 1 (x_p)))                            for each path p
    w   = softmax over p of fc_select(relu(bn(fc_reduce(mean over H, W of sum over p of u_p))))
    y   = sum over p of w_p * u_p

x_p is the whole of x, or the p-th part of its channels (timm's `split_input`). Source: Li et al. 2019, Selective Kernel
Networks, section 3.1; timm, layers/selective_kernel.py. Names: `conv1` of a BasicBlock and `conv2` of a Bottleneck hold
`paths.<p>.conv`, `paths.<p>.bn`, `attn.fc_reduce`, `attn.bn` and `attn.fc_select`.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.residual.attention import reduced
from npresnet.arch.residual.build import POINTWISE, Branch, activate, conv_norm, last_start, same_window
from npresnet.arch.residual.layout import Block, Layout
from npresnet.arch.tensors import Tensors

BASIC = (("conv1.paths.0.conv", "conv1.paths.0.bn"), ("conv2.conv", "conv2.bn"))
BOTTLENECK = (("conv1.conv", "conv1.bn"), ("conv2.paths.0.conv", "conv2.paths.0.bn"), ("conv3.conv", "conv3.bn"))
PATHS = 2


def read_selection(tensors: Tensors, bottleneck: bool) -> tuple[int, bool]:
    """(groups of a Bottleneck's 3x3, whether the paths share the channels).

    Each filter of a path reads 1/(groups * shares) of the channels: half of them is taken for shares, as no network in
    use has two groups.
    """
    if not bottleneck:
        inside = tensors.length("layer1.0.conv1.paths.0.conv.weight", 1, ndim=4)
        stem = tensors.length("bn1.weight", 0, ndim=1)
        return 1, inside is not None and stem == PATHS * inside
    inside = tensors.length("layer1.0.conv2.paths.0.conv.weight", 1, ndim=4)
    outside = tensors.length("layer1.0.conv1.conv.weight", 0, ndim=4)
    ratio = (outside or 1) // (inside or 1)
    return (1, True) if ratio == PATHS else (max(ratio, 1), False)


def selective_basic(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """Selective kernels with the stride, 3x3."""
    name = block.name
    x = selective_kernel(builder, layout, block, f"{name}.conv1", x, block.widths[0])
    second, conv, norm = same_window(3, 1, block.dilation), f"{name}.conv2.conv", f"{name}.conv2.bn"
    return conv_norm(builder, layout, conv, norm, x, block.widths[1], second, start=last_start(layout))


def selective_bottleneck(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """1x1, selective kernels with the stride, 1x1."""
    first, middle, last = (f"{block.name}.conv{k}" for k in (1, 2, 3))
    x = conv_norm(builder, layout, f"{first}.conv", f"{first}.bn", x, block.widths[0], POINTWISE)
    x = activate(builder, layout, f"{first}.act", x)
    x = selective_kernel(builder, layout, block, middle, x, block.widths[1], layout.groups)
    start = last_start(layout)
    return conv_norm(builder, layout, f"{last}.conv", f"{last}.bn", x, block.widths[2], POINTWISE, start=start)


BRANCHES: Mapping[str, Branch] = {"BasicBlock": selective_basic, "Bottleneck": selective_bottleneck}


def selective_kernel(
    builder: Builder, layout: Layout, block: Block, name: str, x: str, out_channels: int, groups: int = 1
) -> str:
    """The weighted sum of the paths, with `out_channels` channels."""
    source = builder.source
    paths = PATHS
    while source.is_file and f"{name}.paths.{paths}.conv.weight" in source:
        paths += 1
    shares = layout.extra["split_input"]
    share = builder.channels[x] // paths
    outs = []
    for i in range(paths):
        path = f"{name}.paths.{i}"
        part = builder.slice_channels(f"{path}.split", x, i * share, (i + 1) * share) if shares else x
        shape = source.shape_of(f"{path}.conv.weight")
        side = shape[-1] if shape and len(shape) == 4 else 3
        dilation = block.first_dilation * (i + 1 if side == 3 else 1)
        window = same_window(side, block.stride, dilation)
        y = conv_norm(builder, layout, f"{path}.conv", f"{path}.bn", part, out_channels, window, groups=groups)
        outs.append(activate(builder, layout, f"{path}.bn.act", y))
    stacked = builder.concat(f"{name}.paths", outs)
    weights = _select(builder, layout, f"{name}.attn", stacked, paths)
    return builder.operation(
        f"{name}.sum", "radix_weighted_sum", [stacked, weights], out_channels, attrs={"radix": paths}
    )


def _select(builder: Builder, layout: Layout, name: str, stacked: str, paths: int) -> str:
    channels = builder.channels[stacked] // paths
    x = builder.operation(f"{name}.sum", "radix_sum", [stacked], channels, attrs={"radix": paths})
    x = builder.global_avg_pool(f"{name}.pool", x)
    shape = builder.source.shape_of(f"{name}.fc_reduce.weight")
    hidden = shape[0] if shape else reduced(channels * layout.reduction, layout.extra.get("divisor", 8))
    x = conv_norm(builder, layout, f"{name}.fc_reduce", f"{name}.bn", x, hidden, POINTWISE)
    x = activate(builder, layout, f"{name}.act", x)
    x = builder.conv(f"{name}.fc_select", x, paths * channels, POINTWISE, start=layout.start)
    return builder.operation(f"{name}.softmax", "radix_softmax", [x], attrs={"radix": paths, "cardinality": 1})
