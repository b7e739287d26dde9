"""How a ResNet v2 is assembled: see `resnetv2`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.families.resnetv2 import BIT_EPS, HEAD
from npresnet.arch.family import Options
from npresnet.arch.head.named import pool_and_classify
from npresnet.arch.source import ones, zeros
from npresnet.arch.standardised import standardised_conv
from npresnet.network import INPUT
from npresnet.window import Window


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int


class _Net(NamedTuple):
    """A network without its weights; stem_widths and widths are read from a file, else follow from width_factor."""

    block: str
    layers: Sequence[int]
    norm: str = "batch_norm"
    stem_type: str = "7x7"
    groups: int = 1
    width_factor: int = 1
    weight_standardisation: bool = False
    weight_eps: float = BIT_EPS
    pool_border: str = "none"
    avg_down: bool = False
    norm_groups: int = 32
    bn_eps: float = 1e-5
    stem_widths: Sequence[int] = ()
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> "_Net":
        return cls(**{name: value for name, value in options.items() if name in cls._fields})

    def stem(self) -> Sequence[int]:
        """Channels of the stem's convolutions."""
        usual = {"7x7": (64,), "deep": (32, 32, 64), "tiered": (24, 32, 64)}[self.stem_type]
        return self.stem_widths or [width * self.width_factor for width in usual]

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            for j in range(depth):
                name = f"stages.{i}.blocks.{j}"
                planes = 64 * 2**i * self.width_factor
                usual = (planes, planes) if self.block == "BasicBlock" else (planes, planes, 4 * planes)
                yield _Block(name, self.widths.get(name, usual), 2 if i and j == 0 else 1)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = _stem(builder, net)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    x = _norm_act(builder, net, "norm", x)
    return pool_and_classify(builder, x, HEAD, options, pointwise=True)


def _stem(builder: Builder, net: _Net) -> str:
    """One 7x7 convolution or three 3x3, the first of stride 2; the max pool. No norm after the last convolution."""
    widths = net.stem()
    if net.stem_type == "7x7":
        x = _conv(builder, net, "stem.conv", INPUT, widths[0], Window.of(7, stride=2, padding=3))
    else:
        x = _conv(builder, net, "stem.conv1", INPUT, widths[0], Window.of(3, stride=2, padding=1))
        for k in (2, 3):
            x = _norm_act(builder, net, f"stem.norm{k - 1}", x)
            x = _conv(builder, net, f"stem.conv{k}", x, widths[k - 1], Window.of(3, padding=1))
    if net.pool_border == "zeros":  # where all values are negative, zeros are not the same as no border
        x = builder.pad("stem.pad", x, (1, 1, 1, 1))
        return builder.max_pool("stem.pool", x, Window.of(3, stride=2))
    return builder.max_pool("stem.pool", x, Window.of(3, stride=2, padding=1))


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    name, stride = block.name, block.stride
    y = _norm_act(builder, net, f"{name}.norm1", x)
    shortcut = _shortcut(builder, net, block, x, y)
    same, strided = Window.of(3, padding=1), Window.of(3, stride=stride, padding=1)
    windows = [strided, same] if net.block == "BasicBlock" else [Window.of(1), strided, Window.of(1)]
    for k, (window, width) in enumerate(zip(windows, block.widths, strict=True), start=1):
        if k > 1:
            y = _norm_act(builder, net, f"{name}.norm{k}", y)
        groups = net.groups if k == 2 else 1
        y = _conv(builder, net, f"{name}.conv{k}", y, width, window, groups)
    return builder.add(f"{name}.add", y, shortcut)


def _shortcut(builder: Builder, net: _Net, block: _Block, x: str, activated: str) -> str:
    """x itself, or a projection of what the block's first norm made of it."""
    projection, out_channels = f"{block.name}.downsample", block.widths[-1]
    first = block.name.endswith(".0")
    changes = block.stride != 1 or builder.channels[x] != out_channels
    usual = changes or (first and net.block == "Bottleneck")
    if f"{projection}.conv.weight" not in builder.source and not usual:
        return x
    stride = block.stride
    if net.avg_down and stride > 1:
        window = Window.of(2, stride=stride)
        activated = builder.avg_pool(f"{projection}.pool", activated, window, ceil_mode=True, count_include_pad=False)
        stride = 1
    return _conv(builder, net, f"{projection}.conv", activated, out_channels, Window.of(1, stride=stride))


def _conv(builder: Builder, net: _Net, name: str, x: str, width: int, window: Window, groups: int = 1) -> str:
    if net.weight_standardisation:
        return standardised_conv(builder, name, x, width, window, eps=net.weight_eps, groups=groups)
    return builder.conv(name, x, width, window, groups=groups)


def _norm_act(builder: Builder, net: _Net, name: str, x: str) -> str:
    """A norm and its ReLU, called `name`.act; EvoNorm and the filter response norm contain their activation."""
    eps = net.bn_eps
    if net.norm == "evo_norm_s0":
        vectors, attrs = {"weight": ones, "bias": zeros, "v": ones}, {"groups": net.norm_groups, "eps": eps}
        return builder.operation(name, net.norm, (x,), vectors=vectors, attrs=attrs)
    if net.norm == "filter_response_norm":
        vectors = {"weight": ones, "bias": zeros, "tau": zeros}
        return builder.operation(name, net.norm, (x,), vectors=vectors, attrs={"eps": eps})
    if net.norm == "group_norm":
        x = builder.group_norm(name, x, groups=net.norm_groups, eps=eps)
    else:
        x = builder.batch_norm(name, x, eps=eps)
    return builder.relu(f"{name}.act", x)
