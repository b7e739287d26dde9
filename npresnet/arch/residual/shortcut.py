"""Shortcuts: what is added to a block's branch where its input has not the branch's shape.

B        a 1x1 convolution with the stride, and a norm                       He et al. 2016, section 3.3, option B;
                                                                             without a norm where it is no Sequential
B, avg   an average pool with the stride, then the same without it           He et al. 2019, section 4.2, ResNet-D
A        every stride-th pixel, zero channels on both sides                  option A, as is usual for CIFAR
A-end    the same, all zero channels after the others                        fb.resnet.torch's DownsampleA
A-pool   the mean of stride x stride pixels, zero channels after the others
"""

from __future__ import annotations

from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.residual.layout import Block, Layout
from npresnet.errors import ArchitectureError
from npresnet.window import Window


def shortcut(builder: Builder, layout: Layout, block: Block, x: str, y: str, conv_norm: Any) -> str:
    """The shortcut added to y: a projection where shapes change or the file has one, option A, or x itself."""
    projection = f"{block.name}.{layout.projection}"
    if builder.source.shape_of(f"{projection}.weight") is not None and layout.shortcut == "B":
        window = Window.of(1, stride=block.stride)
        return builder.conv(projection, x, builder.channels[y], window, start=layout.start, to=f"to be added to {y}")
    changes = block.stride != 1 or builder.channels[x] != builder.channels[y]
    found = next((i for i in (0, 1) if builder.source.shape_of(f"{projection}.{i}.weight") is not None), None)
    if layout.shortcut != "B":
        if found is not None:
            raise ArchitectureError(
                f"shortcut={layout.shortcut!r} contradicts the tensors: {projection}.{found}.weight is a projection, "
                f"option B. Leave the option out"
            )
        return option_a(builder, block, x, builder.channels[y], layout.shortcut) if changes else x
    if not changes and found is None:
        return x
    number = found if found is not None else int(layout.downsample == "avg")
    return _projection(builder, layout, block, x, y, number, conv_norm)


def _projection(builder: Builder, layout: Layout, block: Block, x: str, y: str, number: int, conv_norm: Any) -> str:
    """Convolution `number` of the projection and the norm after it; an average pool before it where `number` is 1.

    CLIP calls that pool -1, so that the convolution is 0; over an odd size it leaves out the last row and column.
    """
    projection, stride = f"{block.name}.{layout.projection}", block.stride
    conv, norm = f"{projection}.{number}", f"{projection}.{number + 1}"
    side = layout.projection_kernel if stride > 1 or block.dilation > 1 else 1
    dilation = block.first_dilation if side > 1 else 1
    if number == 1:
        x, stride = _average(builder, block, f"{projection}.0", x), 1
    elif layout.downsample == "avg" and stride > 1:
        x, stride = builder.avg_pool(f"{projection}.-1", x, Window.of(stride, stride=stride)), 1
    window = Window.of(side, stride=stride, padding=((stride - 1) + dilation * (side - 1)) // 2, dilation=dilation)
    to = f"to be added to {y}: {block.name} needs a projection, a {side}x{side} convolution with stride {stride}"
    result: str = conv_norm(builder, layout, conv, norm, x, builder.channels[y], window, to=to)
    return result


def _average(builder: Builder, block: Block, name: str, x: str) -> str:
    """The average pool of ResNet-D; where a stage dilates, of stride 1 over one more row and column of zeros (timm)."""
    if block.stride > 1:
        window = Window.of(2, stride=block.stride)
        return builder.avg_pool(name, x, window, ceil_mode=True, count_include_pad=False)
    if block.dilation > 1:
        return builder.avg_pool(name, builder.pad(f"{name}.pad", x, (0, 1, 0, 1)), Window.of(2))
    return x


def option_a(builder: Builder, block: Block, x: str, out_channels: int, kind: str = "A") -> str:
    """Subsampled pixels and zero channels."""
    channels, stride = builder.channels[x], block.stride
    missing = out_channels - channels
    before = out_channels // 4 if kind == "A" else 0
    if missing < 0 or (kind == "A" and missing != 2 * before):
        raise ArchitectureError(
            f"{block.name} has no projection, and its shortcut cannot be padded with zeros (option A)\n"
            f"  input   (N, {channels}, H, W)   from {x}\n"
            f"  branch  (N, {out_channels}, H/{stride}, W/{stride})\n"
            f"  Option A adds out_channels // 4 = {out_channels // 4} channels on either side, which gives "
            f"{channels + 2 * (out_channels // 4)}."
        )
    name = f"{block.name}.shortcut"
    if kind == "A-pool" and stride > 1:
        x, stride = builder.avg_pool(f"{name}.pool", x, Window.of(stride, stride=stride)), 1
    return builder.shortcut_a(name, x, stride=stride, pad_channels=(before, missing - before))
