"""How a network without normalisation is assembled: see `nfnet`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from npresnet.arch.builder import Builder
from npresnet.arch.families.nfnet import EPS, HEAD
from npresnet.arch.families.nfnet_archs import GAMMA, divisible
from npresnet.arch.family import Options
from npresnet.arch.head.named import pool_and_classify
from npresnet.arch.residual.attention import Attention, attend
from npresnet.arch.source import Wanted, ones
from npresnet.arch.standardised import scaled_conv
from npresnet.network import INPUT
from npresnet.window import Window


class _Block(NamedTuple):
    """One block; widths are those of its inner convolutions and its result, beta that of its first activation."""

    name: str
    widths: tuple[int, int]
    stride: int
    beta: float


class _Net(NamedTuple):
    """A network without its weights. widths and stem_widths are read from a file, or follow from the rest.

    group_size     channels of a group of conv2, None where it has no groups
    bottle_ratio   inner width over the block's output, or its input with `expands_input` (NF-RegNet)
    features       channels of final_conv, None where there is none
    reduction      an SE gate's inner width over its channels
    """

    layers: Sequence[int]
    channels: Sequence[int]
    stem_type: str
    stem_channels: int = 128
    group_size: int | None = None
    bottle_ratio: float = 0.5
    expands_input: bool = False
    extra_conv: bool = False
    features: int | None = None
    attention: str = "none"
    reduction: float = 0.5
    activation: str = "relu"
    skipinit: bool = False
    gamma_in_activation: bool = False
    same_padding: bool = False
    alpha: float = 0.2
    gate_gain: float = 2.0
    widths: Mapping[str, tuple[int, int]] = MappingProxyType({})
    stem_widths: Sequence[int] = ()

    @classmethod
    def of(cls, options: Options) -> "_Net":
        return cls(**{name: value for name, value in options.items() if name in cls._fields})

    @property
    def gamma(self) -> float:
        """The factor of filters that read an activation."""
        return GAMMA[self.activation]

    @property
    def plain_gamma(self) -> float:
        """The factor of filters that read the image or a sum."""
        return 1.0 if self.gamma_in_activation else self.gamma

    def gate(self, module: str) -> Attention:
        return Attention(self.attention, module, ("conv",) if self.attention == "eca" else ("fc1", "fc2"))

    def stem(self) -> Sequence[int]:
        """Channels of the stem's convolutions."""
        c = self.stem_channels
        return self.stem_widths or ([c // 8, c // 4, c // 2, c] if self.stem_type == "deep" else [c])

    def blocks(self) -> Iterator[_Block]:
        variance, before = 1.0, self.stem()[-1]
        for i, (depth, channels) in enumerate(zip(self.layers, self.channels, strict=True)):
            for j in range(depth):
                name = f"stages.{i}.{j}"
                stride = 2 if j == 0 and (i or self.stem_type == "3x3") else 1
                widths = self.widths.get(name) or (self._inner(before, channels, first=i == j == 0), channels)
                yield _Block(name, widths, stride, 1 / math.sqrt(variance))
                variance = (1.0 if j == 0 else variance) + self.alpha**2
                before = widths[1]

    def _inner(self, in_channels: int, out_channels: int, *, first: bool) -> int:
        ratio = 1.0 if self.expands_input and first else self.bottle_ratio
        width = divisible((in_channels if self.expands_input else out_channels) * ratio)
        return width // self.group_size * self.group_size if self.group_size else width


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = _stem(builder, net)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    if net.features:
        x = _conv(builder, net, "final_conv", x, net.features, Window.of(1), net.plain_gamma)
    if net.gamma_in_activation:
        x = builder.activation("final_act.act_fn", x, net.activation)
        x = _times(builder, "final_act", x, net.gamma)
    else:
        x = builder.activation("final_act", x, net.activation)
    return pool_and_classify(builder, x, HEAD, options)


def _stem(builder: Builder, net: _Net) -> str:
    """A convolution of stride 2, and a max pool after a 7x7; or four 3x3, the first and the last of stride 2."""
    widths = net.stem()
    if net.stem_type == "deep":
        x = INPUT
        for k, (width, stride) in enumerate(zip(widths, (2, 1, 1, 2), strict=True), start=1):
            x = _act(builder, net, f"stem.act{k}", x) if k > 1 else x
            factor = net.gamma if k > 1 else net.plain_gamma
            x = _conv(builder, net, f"stem.conv{k}", x, width, Window.of(3, stride=stride, padding=1), factor)
        return x
    side = 7 if net.stem_type == "7x7" else 3
    window = Window.of(side, stride=2, padding=side // 2)
    x = _conv(builder, net, "stem.conv", INPUT, widths[0], window, net.plain_gamma)
    return builder.max_pool("stem.pool", x, Window.of(3, stride=2, padding=1)) if side == 7 else x


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    name, stride, (inner, out_channels) = block.name, block.stride, block.widths
    groups = max(1, inner // net.group_size) if net.group_size else 1
    activated = _act(builder, net, f"{name}.act1", x)
    shortcut = _shortcut(builder, net, block, x, activated)
    y = _conv(builder, net, f"{name}.conv1", activated, inner, Window.of(1), net.gamma * block.beta)
    for k, step in [("2", stride), ("2b", 1)] if net.extra_conv else [("2", stride)]:
        y = _act(builder, net, f"{name}.act{k}", y)
        window = Window.of(3, stride=step, padding=1)
        y = _conv(builder, net, f"{name}.conv{k}", y, inner, window, net.gamma, groups)
    if net.attention != "none" and net.expands_input:
        y = attend(builder, net.gate("attn"), name, y, net.reduction)
        y = _times(builder, f"{name}.attn_gain", y, net.gate_gain)
    y = _act(builder, net, f"{name}.act3", y)
    y = _conv(builder, net, f"{name}.conv3", y, out_channels, Window.of(1), net.gamma)
    factor = net.alpha * (_skipinit_gain(builder, name) if net.skipinit else 1.0)
    if net.attention != "none" and not net.expands_input:
        y = attend(builder, net.gate("attn_last"), name, y, net.reduction)
        factor *= net.gate_gain
    return builder.add(f"{name}.add", _times(builder, f"{name}.scale", y, factor), shortcut)


def _shortcut(builder: Builder, net: _Net, block: _Block, x: str, activated: str) -> str:
    projection, (_, out_channels) = f"{block.name}.downsample", block.widths
    changes = block.stride != 1 or builder.channels[x] != out_channels
    if not changes and f"{projection}.conv.weight" not in builder.source:
        return x
    if block.stride > 1:
        window = Window.of(2, stride=block.stride)
        activated = builder.avg_pool(f"{projection}.pool", activated, window, ceil_mode=True, count_include_pad=False)
    return _conv(builder, net, f"{projection}.conv", activated, out_channels, Window.of(1), net.gamma * block.beta)


def _conv(
    builder: Builder, net: _Net, name: str, x: str, width: int, window: Window, factor: float, groups: int = 1
) -> str:
    """A scaled convolution. With SAME padding, a strided window needs less padding on the left than on the right."""
    if net.same_padding and max(window.stride) > 1:
        same = (window.kernel_size, window.stride)
        x = builder.operation(f"{name}.pad", "pad2d", (x,), attrs={"same": same, "mode": "zeros"})
        window = Window.of(window.kernel_size, stride=window.stride)
    return scaled_conv(builder, name, x, width, window, eps=EPS, factor=factor, groups=groups)


def _act(builder: Builder, net: _Net, name: str, x: str) -> str:
    """The plain function. Its node has another name where timm's module of that name includes gamma."""
    return builder.activation(f"{name}_function" if net.gamma_in_activation else name, x, net.activation)


def _times(builder: Builder, name: str, x: str, factor: float) -> str:
    """x * factor, as a BatchNorm without statistics; in float64, because it is folded into filters."""
    channels = builder.channels[x]
    params = {"weight": np.full(channels, factor), "bias": np.zeros(channels)}
    statistics = {"running_mean": np.zeros(channels), "running_var": np.ones(channels)}
    return builder.operation(
        name, "batch_norm", (x,), params={**params, **statistics}, attrs={"eps": 0.0, "constant": True}
    )


def _skipinit_gain(builder: Builder, name: str) -> float:
    wanted = Wanted(f"{name}.skipinit_gain", (), (), ones, lambda: "  One number, by which a block's branch is scaled.")
    return float(builder.source.take(wanted))
