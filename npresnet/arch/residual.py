"""Residual networks: how stems, blocks and stages are assembled.

    stem -> (max pool) -> stages of blocks -> global average pool -> flatten -> (classifier)

    BasicBlock   relu(bn2(conv2 3x3 (relu(bn1(conv1 3x3 (x)))))                                  + shortcut(x))
    Bottleneck   relu(bn3(conv3 1x1 (relu(bn2(conv2 3x3 (relu(bn1(conv1 1x1 (x)))))))            + shortcut(x))

(He et al., Deep Residual Learning for Image Recognition, sections 3 and 4.) Nodes are in the order in which
torchvision's modules finish, and have their names.
"""

from __future__ import annotations

from npresnet.arch.builder import Builder
from npresnet.arch.head import pool_and_classify
from npresnet.arch.layout import Block, Layout
from npresnet.arch.source import Start, ones, zeros
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

POINTWISE = Window.of(1)
MAX_POOL = Window.of(3, stride=2, padding=1)


def build_residual(builder: Builder, layout: Layout) -> dict[str, str]:
    """Build a residual network; returns its only output, {"logits": node} or {"embedding": node}.

    Raises ArchitectureError where a tensor is missing or does not have the shape that its layer expects.
    """
    x = stem(builder, layout)
    for block in layout.blocks():
        x = residual_block(builder, layout, block, x)
    pool, activation = layout.global_pool, layout.head_activation
    return pool_and_classify(builder, x, layout.head, global_pool=pool, head_activation=activation)


def stem(builder: Builder, layout: Layout) -> str:
    """conv1, bn1, ReLU, and the max pool where there is one."""
    window = _same_window(layout.stem_kernel, layout.stem_stride)
    x = _conv_norm(builder, layout, "conv1", "bn1", INPUT, layout.stem_channels, window)
    x = builder.relu("relu", x)
    return builder.max_pool("maxpool", x, MAX_POOL) if layout.max_pool else x


def residual_block(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """A branch of two or three convolutions, and the shortcut added to it."""
    branch = _bottleneck_windows if layout.block == "Bottleneck" else _basic_windows
    name, y = block.name, x
    windows = branch(layout, block)
    last = len(windows)
    for k, ((window, groups), width) in enumerate(zip(windows, block.widths, strict=True), start=1):
        norm_start = zeros if k == last and layout.zero_init_residual else ones
        conv, norm = f"{name}.conv{k}", f"{name}.bn{k}"
        y = _conv_norm(builder, layout, conv, norm, y, width, window, groups=groups, norm_start=norm_start)
        if k < last:
            y = builder.relu(f"{name}.relu.{k}", y)
    y = builder.add(f"{name}.add", y, _shortcut(builder, layout, block, x, y))
    return builder.relu(f"{name}.relu.{last}", y, block=layout.block)


def _basic_windows(layout: Layout, block: Block) -> list[tuple[Window, int]]:
    """(window, groups) of each convolution of a BasicBlock: 3x3 with the stride, 3x3."""
    return [(_same_window(3, block.stride), 1), (_same_window(3), 1)]


def _bottleneck_windows(layout: Layout, block: Block) -> list[tuple[Window, int]]:
    """(window, groups) of each convolution of a Bottleneck: 1x1, 3x3, 1x1; stride on the first or second."""
    on_first = layout.stride_on == "1x1"
    stride_1x1, stride_3x3 = (block.stride, 1) if on_first else (1, block.stride)
    middle = _same_window(3, stride_3x3, block.dilation)
    return [(Window.of(1, stride=stride_1x1), 1), (middle, layout.groups), (POINTWISE, 1)]


def _shortcut(builder: Builder, layout: Layout, block: Block, x: str, y: str) -> str:
    """The shortcut added to y: a projection where shapes change or the file has one, option A, or x itself."""
    projection = f"{block.name}.{layout.projection}"
    stride, channels, out_channels = block.stride, builder.channels[x], builder.channels[y]
    changes = stride != 1 or channels != out_channels
    projects = f"{projection}.0.weight" in builder.source
    if changes and layout.shortcut == "A" and not projects:
        return _option_a(builder, block, x, out_channels)
    if not changes and not projects:
        return x
    to = f"to be added to {y}: {block.name} needs a projection, a 1x1 convolution with stride {stride}"
    window = Window.of(1, stride=stride)
    return _conv_norm(builder, layout, f"{projection}.0", f"{projection}.1", x, out_channels, window, to=to)


def _option_a(builder: Builder, block: Block, x: str, out_channels: int) -> str:
    """He et al., section 3.3, option A, with out_channels // 4 zero channels on each side, as is usual for CIFAR."""
    channels, pad, stride = builder.channels[x], out_channels // 4, block.stride
    if channels + 2 * pad != out_channels:
        raise ArchitectureError(
            f"{block.name} has no projection, and its shortcut cannot be padded with zeros (option A)\n"
            f"  input   (N, {channels}, H, W)   from {x}\n"
            f"  branch  (N, {out_channels}, H/{stride}, W/{stride})\n"
            f"  Option A adds out_channels // 4 = {pad} channels on either side, which gives {channels + 2 * pad}."
        )
    return builder.shortcut_a(f"{block.name}.shortcut", x, stride=stride, pad_channels=(pad, pad))


def _conv_norm(
    builder: Builder,
    layout: Layout,
    conv: str,
    norm: str,
    x: str,
    out_channels: int,
    window: Window,
    *,
    groups: int = 1,
    norm_start: Start = ones,
    to: str = "",
) -> str:
    """A convolution and its BatchNorm."""
    y = builder.conv(conv, x, out_channels, window, groups=groups, start=layout.start, to=to or f"to {norm}")
    return builder.batch_norm(norm, y, eps=layout.bn_eps, start=norm_start)


def _same_window(kernel_size: int, stride: int = 1, dilation: int = 1) -> Window:
    """A window with "same" padding: with stride 1 the size is unchanged."""
    return Window.of(kernel_size, stride=stride, padding=dilation * (kernel_size // 2), dilation=dilation)
