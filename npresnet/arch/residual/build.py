"""Residual networks: how stems, blocks and stages are assembled.

    stem -> (max pool) -> stages of blocks -> global average pool -> flatten -> (classifier)

    BasicBlock   relu(bn2(conv2 3x3 (relu(bn1(conv1 3x3 (x)))))                                  + shortcut(x))
    Bottleneck   relu(bn3(conv3 1x1 (relu(bn2(conv2 3x3 (relu(bn1(conv1 1x1 (x)))))))            + shortcut(x))

(He et al., Deep Residual Learning for Image Recognition, sections 3 and 4.) Attention stands between the branch and the
addition. Nodes are in the order in which torchvision's modules finish, and have their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from npresnet.arch.builder import Builder
from npresnet.arch.head.build import pool_and_classify
from npresnet.arch.residual.attention import KINDS, attend
from npresnet.arch.residual.layout import Block, Layout
from npresnet.arch.residual.shortcut import shortcut
from npresnet.arch.source import Start, ones, zeros
from npresnet.network import INPUT
from npresnet.window import Window

POINTWISE = Window.of(1)
POOL_CONV = Window.of(3, stride=2, padding=1)
HALVES = Window.of(2, stride=2)
BLUR = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / np.float32(16)  # Zhang 2019, section 3.2: Triangle-3

Branch = Callable[[Builder, Layout, Block, str], str]  # a block's branch, without attention and activation


def build_residual(builder: Builder, layout: Layout, branches: Mapping[str, Branch] | None = None) -> dict[str, str]:
    """Build a residual network; returns its only output, {"logits": node} or {"embedding": node}.

    branches  those of the kinds of blocks, where they are not BRANCHES: see `blocks`

    Raises ArchitectureError where a tensor is missing or does not have the shape that its layer expects.
    """
    x = build_body(builder, layout, branches)
    pool, activation = layout.global_pool, layout.head_activation
    return pool_and_classify(builder, x, layout.head, global_pool=pool, head_activation=activation)


def build_body(builder: Builder, layout: Layout, branches: Mapping[str, Branch] | None = None) -> str:
    """The network up to its last block, whose node is returned."""
    x = stem(builder, layout)
    for block in layout.blocks():
        x = residual_block(builder, layout, block, x, (branches or BRANCHES)[layout.block])
    return x


def stem(builder: Builder, layout: Layout) -> str:
    """The convolutions with norm and activation, and the pool where there is one."""
    x, last = INPUT, len(layout.convs)
    for i, (conv, (kernel_size, stride, padding)) in enumerate(zip(layout.convs, layout.stem_windows, strict=True), 1):
        window = Window.of(kernel_size, stride=stride, padding=padding)
        x = conv_norm(builder, layout, conv.conv, conv.norm, x, conv.channels, window)
        x = activate(builder, layout, "relu" if i == last else f"{conv.norm}.relu", x)
    return _stem_pool(builder, layout, x)


def _stem_pool(builder: Builder, layout: Layout, x: str) -> str:
    if layout.pool_conv:
        x = conv_norm(builder, layout, "maxpool.0", "maxpool.1", x, builder.channels[x], POOL_CONV)
        return activate(builder, layout, "maxpool.2", x)
    if layout.pool is None:
        return x
    if layout.antialias == "avg":
        return builder.avg_pool("maxpool", x, HALVES)
    if layout.antialias == "blur":
        dense = layout.pool._replace(stride=1).window
        return blur(builder, "maxpool.blur", builder.max_pool("maxpool.max", x, dense), layout.pool.stride)
    return builder.max_pool("maxpool", x, layout.pool.window, ceil_mode=layout.pool.ceil_mode)


def residual_block(builder: Builder, layout: Layout, block: Block, x: str, branch: Branch) -> str:
    """A branch of convolutions, its attention, and the shortcut added to it."""
    name = block.name
    y = branch(builder, layout, block, x)
    gate = layout.gate or KINDS.get(layout.attention)
    y = attend(builder, gate, name, y, layout.reduction)
    if layout.shortcut != "none":
        y = builder.add(f"{name}.add", y, shortcut(builder, layout, block, x, y, conv_norm))
    if "after_add" in layout.extra:
        y = layout.extra["after_add"](builder, layout, block, y)
    return activate(builder, layout, f"{name}.relu.{len(block.widths)}", y, block=layout.block)


def basic_branch(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """3x3 with the stride, 3x3."""
    name, aliases = block.name, _antialiases(layout, block)
    first = same_window(3, 1 if aliases else block.stride, block.first_dilation)
    x = conv_norm(builder, layout, f"{name}.conv1", f"{name}.bn1", x, block.widths[0], first)
    x = activate(builder, layout, f"{name}.relu.1", x)
    x = antialiased(builder, layout, f"{name}.aa", x, block.stride) if aliases else x
    second = same_window(3, 1, block.dilation)
    return conv_norm(
        builder, layout, f"{name}.conv2", f"{name}.bn2", x, block.widths[1], second, start=last_start(layout)
    )


def bottleneck_branch(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """1x1, 3x3, 1x1; the stride on the first or the second."""
    name, aliases = block.name, _antialiases(layout, block)
    on_first = layout.stride_on == "1x1"
    stride_1x1, stride_3x3 = (block.stride, 1) if on_first else (1, block.stride)
    window = Window.of(1, stride=stride_1x1)
    x = conv_norm(builder, layout, f"{name}.conv1", f"{name}.bn1", x, block.widths[0], window)
    x = activate(builder, layout, f"{name}.relu.1", x)
    middle = same_window(3, 1 if aliases else stride_3x3, block.first_dilation)
    groups = layout.groups
    x = conv_norm(builder, layout, f"{name}.conv2", f"{name}.bn2", x, block.widths[1], middle, groups=groups)
    x = activate(builder, layout, f"{name}.relu.2", x)
    x = antialiased(builder, layout, f"{name}.aa", x, stride_3x3) if aliases else x
    return conv_norm(
        builder, layout, f"{name}.conv3", f"{name}.bn3", x, block.widths[2], POINTWISE, start=last_start(layout)
    )


# A kind of block -> its branch. Further kinds are in `blocks`, and their families give them to `build_residual`.
BRANCHES: Mapping[str, Branch] = {"BasicBlock": basic_branch, "Bottleneck": bottleneck_branch}


def activate(builder: Builder, layout: Layout, name: str, x: str, **attrs: object) -> str:
    """The layout's activation."""
    kind = layout.activation
    if not isinstance(kind, str):
        kind, attrs["negative_slope"] = kind
    return builder.activation(name, x, kind, **attrs)


def antialiased(builder: Builder, layout: Layout, name: str, x: str, stride: int) -> str:
    """Stride after a low-pass filter: a blur, or the mean of 2x2 pixels."""
    if layout.antialias == "blur":
        return blur(builder, name, x, stride)
    return builder.avg_pool(name, x, Window.of(stride, stride=stride)) if stride > 1 else x


def blur(builder: Builder, name: str, x: str, stride: int) -> str:
    """[1 2 1] x [1 2 1] / 16 over each channel, edges reflected. Source: Zhang 2019, Making CNNs Shift-Invariant."""
    channels = builder.channels[x]
    x = builder.pad(f"{name}.pad", x, (1, 1, 1, 1), "reflect")
    weight = np.broadcast_to(BLUR, (channels, 1, 3, 3))
    window = Window.of(3, stride=stride)
    params, attrs = {"weight": weight}, {"constant": True}
    return builder.operation(name, "conv2d", [x], window=window, groups=channels, params=params, attrs=attrs)


def conv_norm(
    builder: Builder,
    layout: Layout,
    conv: str,
    norm: str,
    x: str,
    out_channels: int,
    window: Window,
    *,
    groups: int = 1,
    start: Start = ones,
    to: str = "",
) -> str:
    """A convolution and its norm; `start` initialises the norm's weight."""
    y = builder.conv(conv, x, out_channels, window, groups=groups, start=layout.start, to=to or f"to {norm}")
    if "norm" in layout.extra:
        chosen: str = layout.extra["norm"](builder, layout, norm, y, start)
        return chosen
    if layout.norm == "group_norm":
        return builder.group_norm(norm, y, groups=layout.norm_groups, eps=layout.bn_eps)
    return builder.batch_norm(norm, y, eps=layout.bn_eps, start=start)


def same_window(kernel_size: int, stride: int = 1, dilation: int = 1) -> Window:
    """A window with "same" padding: with stride 1 the size is unchanged."""
    return Window.of(kernel_size, stride=stride, padding=dilation * (kernel_size // 2), dilation=dilation)


def _antialiases(layout: Layout, block: Block) -> bool:
    return layout.antialias != "none" and (block.stride > 1 or block.first_dilation != block.dilation)


def last_start(layout: Layout) -> Start:
    """How the last norm of a branch starts."""
    return zeros if layout.zero_init_residual else ones
