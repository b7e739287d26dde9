"""timm's configured blocks (byobnet): four kinds, named by their convolutions, each with norm and activation.

    basic    conv1_kxk with the stride, conv2_kxk                       attention after the last
    bottle   conv1_1x1, conv2_kxk with the stride, (conv2b_kxk), conv3_1x1    attention before the last
    dark     conv1_1x1, conv2_kxk with the stride                       attention after the last
    edge     conv1_kxk with the stride, conv2_1x1                       attention before the last

The last convolution has no activation; the shortcut is added, then comes the activation. A convolution `c` consists of
`c.conv` and `c.bn`. Source: Lin et al. 2020, Neural Architecture Design for GPU-Efficient Networks; timm, byobnet.py.
"""

from __future__ import annotations

from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.residual.attention import KINDS, attend
from npresnet.arch.residual.build import same_window
from npresnet.window import Window

# kind: (convolutions with their kernel_size; the one with the stride, the one with the groups, attention is last)
CONVS: dict[str, tuple[tuple[str, ...], int, int, bool]] = {
    "basic": (("conv1_kxk", "conv2_kxk"), 0, 1, True),
    "bottle": (("conv1_1x1", "conv2_kxk", "conv3_1x1"), 1, 1, False),
    "dark": (("conv1_1x1", "conv2_kxk"), 1, 1, True),
    "edge": (("conv1_kxk", "conv2_1x1"), 0, 0, False),
}
KERNEL_SIZE = 3


class Shape(NamedTuple):
    """What a stage's blocks have in common: channels inside and after them, groups, a second 3x3."""

    kind: str
    inside: int
    channels: int
    groups: int
    extra_conv: bool


class Style(NamedTuple):
    """What a network's blocks have in common.

    downsample  "conv": a strided 1x1 convolution; "avg": an average pool, then one
    antialias   "avg": strides are average pools after the convolutions; or "none"
    reduction   of the attention's first layer, for random weights
    """

    activation: str
    attention: str
    downsample: str
    antialias: str
    reduction: float
    eps: float


def configured_block(builder: Builder, style: Style, name: str, x: str, shape: Shape, stride: int) -> str:
    """One block; returns its activation's node."""
    convs, striding, grouped, _ = CONVS[shape.kind]
    y = x
    for i, conv in enumerate(convs):
        last = i == len(convs) - 1
        if last:
            y = _attend(builder, style, f"{name}.attn", shape, y)
        width, groups = shape.channels if last else shape.inside, shape.groups if i == grouped else 1
        s, kernel_size = stride if i == striding else 1, KERNEL_SIZE if conv.endswith("kxk") else 1
        y = _conv(builder, style, f"{name}.{conv}", y, width, kernel_size, s, groups, acts=not last)
        if shape.extra_conv and conv == "conv2_kxk" and not last:
            y = _conv(builder, style, f"{name}.conv2b_kxk", y, width, kernel_size, 1, groups)
    y = _attend(builder, style, f"{name}.attn_last", shape, y)
    y = builder.add(f"{name}.add", y, _shortcut(builder, style, f"{name}.shortcut", x, shape.channels, stride))
    return builder.activation(f"{name}.act", y, style.activation)


def conv_norm(builder: Builder, style: Style, name: str, x: str, channels: int, window: Window, groups: int = 1) -> str:
    """`name`.conv and `name`.bn."""
    y = builder.conv(f"{name}.conv", x, channels, window, groups=groups, to=f"to {name}.bn")
    return builder.batch_norm(f"{name}.bn", y, eps=style.eps)


def _conv(
    builder: Builder,
    style: Style,
    name: str,
    x: str,
    channels: int,
    kernel_size: int,
    stride: int,
    groups: int,
    acts: bool = True,
) -> str:
    pools = stride > 1 and style.antialias == "avg"
    window = same_window(kernel_size, 1 if pools else stride)
    y = conv_norm(builder, style, name, x, channels, window, groups)
    y = builder.activation(f"{name}.act", y, style.activation) if acts else y
    return builder.avg_pool(f"{name}.aa", y, Window.of(stride, stride=stride)) if pools else y


def _shortcut(builder: Builder, style: Style, name: str, x: str, channels: int, stride: int) -> str:
    if stride == 1 and builder.channels[x] == channels:
        return x
    if style.downsample == "conv":
        return conv_norm(builder, style, name, x, channels, Window.of(1, stride=stride))
    if stride > 1:
        pool = Window.of(2, stride=stride)
        x = builder.avg_pool(f"{name}.pool", x, pool, ceil_mode=True, count_include_pad=False)
    return conv_norm(builder, style, f"{name}.conv", x, channels, Window.of(1))


def _attend(builder: Builder, style: Style, module: str, shape: Shape, x: str) -> str:
    """Attention called `module` where the block has it: by its tensors; with random weights by the kind of block."""
    block, _, own = module.rpartition(".")
    usual = (own == "attn_last") == CONVS[shape.kind][3]
    if style.attention == "none" or not (builder.source.is_file or usual):
        return x
    form = KINDS[style.attention]
    layers = ("conv_attn", "", "mlp_add") if style.attention == "gc" else form.layers
    return attend(builder, form._replace(module=own, layers=layers), block, x, style.reduction)
