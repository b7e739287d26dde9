"""Res2Net: `scale` parts of the channels, and a 3x3 convolution for each but the last.

    x_0 ... x_(s-1) = the parts of relu(bn1(conv1 1x1 (x)))
    y_0 = K_0(x_0);   y_i = K_i(x_i + y_(i-1))   for 0 < i < s - 1;   y_(s-1) = x_(s-1)
    y   = bn3(conv3 1x1 (y_0 ... y_(s-1) side by side))                     K_i = relu(bns.i(convs.i 3x3 (.)))

A block with a projection, the first of each stage, adds no y_(i-1), and y_(s-1) = average pool 3x3 of x_(s-1) with the
stride; it counts the zeros around the map. Source: Gao et al. 2019, Res2Net, section 3.1;
Res2Net/Res2Net-PretrainedModels, res2net.py (stype); timm, res2net.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.residual.build import POINTWISE, Branch, activate, conv_norm, last_start, same_window
from npresnet.arch.residual.layout import Block, Layout
from npresnet.arch.tensors import Tensors
from npresnet.window import Window

NAMES = (("conv1", "bn1"), ("convs.0", "bns.0"), ("conv3", "bn3"))


def read_scale(tensors: Tensors) -> tuple[int, int]:
    """(scale, groups), by the first block: parts of conv1's channels, groups of a part's convolution."""
    whole = tensors.length("layer1.0.conv1.weight", 0, ndim=4) or 1
    width = tensors.length("layer1.0.convs.0.weight", 0, ndim=4) or 1
    inside = tensors.length("layer1.0.convs.0.weight", 1, ndim=4) or width
    return max(whole // width, 1), max(width // inside, 1)


def res2_bottleneck(builder: Builder, layout: Layout, block: Block, x: str) -> str:
    """1x1, a hierarchy of 3x3 convolutions, 1x1."""
    name, scale, width = block.name, layout.extra["scale"], block.widths[1]
    first = _projects(builder, layout, block, x)
    x = conv_norm(builder, layout, f"{name}.conv1", f"{name}.bn1", x, scale * width, POINTWISE)
    x = activate(builder, layout, f"{name}.relu.1", x)
    window = same_window(3, block.stride, block.first_dilation)
    parts: list[str] = []
    for i in range(max(scale - 1, 1)):
        part = builder.slice_channels(f"{name}.split.{i}", x, i * width, (i + 1) * width)
        if parts and not first:
            part = builder.add(f"{name}.split.{i}.add", part, parts[-1])
        y = conv_norm(
            builder, layout, f"{name}.convs.{i}", f"{name}.bns.{i}", part, width, window, groups=layout.groups
        )
        parts.append(activate(builder, layout, f"{name}.bns.{i}.relu", y))
    if scale > 1:
        part = builder.slice_channels(f"{name}.split.{scale - 1}", x, (scale - 1) * width, scale * width)
        pool = Window.of(3, stride=block.stride, padding=1)
        parts.append(builder.avg_pool(f"{name}.pool", part, pool) if first else part)
    y = builder.concat(f"{name}.concat", parts)
    start = last_start(layout)
    return conv_norm(builder, layout, f"{name}.conv3", f"{name}.bn3", y, block.widths[2], POINTWISE, start=start)


BRANCHES: Mapping[str, Branch] = {"Bottleneck": res2_bottleneck}


def _projects(builder: Builder, layout: Layout, block: Block, x: str) -> bool:
    """Whether the block has a projection: by its tensors, in a network with random weights by its shapes."""
    if builder.source.is_file:
        projection = f"{block.name}.{layout.projection}"
        return any(builder.source.shape_of(f"{projection}.{i}.weight") is not None for i in (0, 1))
    return block.stride > 1 or builder.channels[x] != block.widths[-1]
