"""How a TResNet is assembled: see `tresnet`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from npresnet.arch.builder import Builder
from npresnet.arch.families.tresnet import HEAD, SIDE
from npresnet.arch.family import Options
from npresnet.arch.head.named import pool_and_classify
from npresnet.arch.residual.attention import SE, attend
from npresnet.arch.residual.build import blur
from npresnet.network import INPUT
from npresnet.window import Window


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int
    gated: bool


class _Net(NamedTuple):
    """A network without its weights; `channels` are those of the stem, `widths` are read from a file."""

    layers: Sequence[int]
    v2: bool = False
    channels: int = 64
    bn_eps: float = 1e-5
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> "_Net":
        return cls(**{name: value for name, value in options.items() if name in cls._fields})

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            planes = self.channels * 2**i
            usual = (planes, planes, 4 * planes) if self.v2 or i > 1 else (planes, planes)
            for j in range(depth):
                name = f"body.layer{i + 1}.{j}"
                yield _Block(name, self.widths.get(name, usual), 2 if i and j == 0 else 1, gated=i < 3)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = _space_to_depth(builder, "body.s2d")
    x = _conv_norm(builder, net, "body.conv1", x, net.channels, 3, slope=0.01)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    return pool_and_classify(builder, x, HEAD, options)


def _space_to_depth(builder: Builder, name: str) -> str:
    """Pixel (4i + u, 4j + v) of channel c is channel (4u + v) * C + c at (i, j): a convolution with ones and zeros."""
    channels = builder.channels[INPUT]
    weight = np.zeros((SIDE, SIDE, channels, channels, SIDE, SIDE), np.float32)
    u, v, c = np.ix_(range(SIDE), range(SIDE), range(channels))
    weight[u, v, c, c, u, v] = 1
    out_channels = SIDE * SIDE * channels
    params = {"weight": weight.reshape(out_channels, channels, SIDE, SIDE)}
    window = Window.of(SIDE, stride=SIDE)
    attrs = {"constant": True}
    return builder.operation(name, "conv2d", (INPUT,), out_channels, window=window, params=params, attrs=attrs)


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    name, widths, basic = block.name, block.widths, len(block.widths) == 2
    shortcut = _shortcut(builder, net, block, x)
    strides = (block.stride, 1) if basic else (1, block.stride, 1)
    hidden = max(widths[-1] // (4 if basic else 8), 64)
    y = x
    for k, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
        if k == 3 and block.gated:
            y = attend(builder, SE, name, y, hidden=hidden)
        side = 1 if not basic and k != 2 else 3
        y = _conv_norm(builder, net, f"{name}.conv{k}", y, width, side, slope=0.001 if k < len(widths) else None)
        if stride > 1:
            y = blur(builder, f"{name}.conv{k}.aa", y, stride)
    if basic and block.gated:
        y = attend(builder, SE, name, y, hidden=hidden)
    y = builder.add(f"{name}.add", y, shortcut)
    return builder.relu(f"{name}.act", y, block="BasicBlock" if basic else "Bottleneck")


def _shortcut(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    """x, or its projection: an average pool and a 1x1 convolution, which is called .1 after a pool and .0 without."""
    out_channels, name = block.widths[-1], f"{block.name}.downsample"
    if block.stride > 1:
        window = Window.of(2, stride=block.stride)
        x = builder.avg_pool(f"{name}.0", x, window, ceil_mode=True, count_include_pad=False)
        return _conv_norm(builder, net, f"{name}.1", x, out_channels, 1, slope=None)
    if builder.channels[x] == out_channels and f"{name}.0.conv.weight" not in builder.source:
        return x
    return _conv_norm(builder, net, f"{name}.0", x, out_channels, 1, slope=None)


def _conv_norm(builder: Builder, net: _Net, name: str, x: str, width: int, side: int, *, slope: float | None) -> str:
    """A convolution of stride 1, its BatchNorm, and a leaky ReLU where there is a slope."""
    x = builder.conv(f"{name}.conv", x, width, Window.of(side, padding=side // 2), to=f"to {name}.bn")
    x = builder.batch_norm(f"{name}.bn", x, eps=net.bn_eps)
    return x if slope is None else builder.activation(f"{name}.bn.act", x, "leaky_relu", negative_slope=slope)
