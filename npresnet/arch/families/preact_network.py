"""How a pre-activation ResNet is assembled: see `preact`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.families.preact_names import CONVENTIONS, Convention
from npresnet.arch.family import Options
from npresnet.arch.head.named import Names, pool_and_classify
from npresnet.arch.residual.stem import pool_of
from npresnet.arch.source import he_fan_in
from npresnet.network import INPUT
from npresnet.window import Window


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int
    stage: int


class _Net(NamedTuple):
    """A network without its weights; widths and what follows are read from a file.

    preactivation  "shared": conv1 and the projection read a; "branch": conv1 reads a, the projection x; "first": as
                   "shared" in the first stage, in the others both read x where there is a projection
    unused         tensors in the file that the network does not run
    """

    layers: Sequence[int]
    names: str = "layer"
    block: str = "BasicBlock"
    width_factor: int = 1
    base: int = 16
    preactivation: str = "shared"
    stride_on: str = "conv1"
    activation: Any = "relu"
    stem_stride: int = 1
    max_pool: Any = False
    bn_eps: float = 1e-5
    stem_kernel: int = 3
    stem_channels: int = 16
    final_norm: str = ""
    projection: str = ""
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    unused: Sequence[str] = ()

    @classmethod
    def of(cls, options: Options) -> "_Net":
        return cls(**{name: value for name, value in options.items() if name in cls._fields})

    @property
    def convention(self) -> Convention:
        return CONVENTIONS[self.names]

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            planes = self.base * self.width_factor * 2**i
            usual = (planes, planes) if self.block == "BasicBlock" else (planes, planes, 4 * planes)
            for j in range(depth):
                name = self.convention.block(i, j)
                yield _Block(name, self.widths.get(name, usual), 2 if i and j == 0 else 1, i)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    for name in net.unused:
        builder.source.skip(name)
    convention, side = net.convention, net.stem_kernel
    window = Window.of(side, stride=net.stem_stride, padding=side // 2)
    x = builder.conv(convention.stem, INPUT, net.stem_channels, window, start=he_fan_in)
    if convention.stem_norm:
        x = _norm_act(builder, net, convention.stem_norm, "stem.relu", x)
    pool = pool_of(net.max_pool)
    if pool is not None:
        x = builder.max_pool("maxpool", x, pool.window, ceil_mode=pool.ceil_mode)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    if net.final_norm:
        x = _norm_act(builder, net, net.final_norm, "relu", x)
    names = Names("avgpool", "flatten", net.convention.classifier)
    return pool_and_classify(builder, x, names, options)


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    convention, out_channels = net.convention, block.widths[-1]
    projection = f"{block.name}.{net.projection}" if net.projection else ""
    changes = block.stride != 1 or builder.channels[x] != out_channels
    projects = bool(projection) and (changes or f"{projection}.weight" in builder.source)
    first, *others = convention.norms
    a = _norm_act(builder, net, f"{block.name}.{first}", f"{block.name}.{convention.relus[0]}", x)
    branch = x if projects and net.preactivation == "first" and block.stage else a
    side = x if net.preactivation == "branch" else branch
    shortcut = x
    if projects:
        window = Window.of(1, stride=block.stride)
        shortcut = builder.conv(projection, side, out_channels, window, start=he_fan_in, to=f"to end {block.name}")
    y = branch
    for k, (window, width) in enumerate(zip(_windows(net, block.stride), block.widths, strict=True)):
        if k:
            y = _norm_act(builder, net, f"{block.name}.{others[k - 1]}", f"{block.name}.{convention.relus[k]}", y)
        y = _conv(builder, net, f"{block.name}.{convention.convs[k]}", y, width, window)
    return builder.add(f"{block.name}.add", y, shortcut)


def _windows(net: _Net, stride: int) -> list[Window]:
    """Of each convolution of a block: 3x3, 3x3 or 1x1, 3x3, 1x1."""
    first, second = (stride, 1) if net.stride_on == "conv1" else (1, stride)
    if net.block == "BasicBlock":
        return [Window.of(3, stride=first, padding=1), Window.of(3, stride=second, padding=1)]
    return [Window.of(1, stride=first), Window.of(3, stride=second, padding=1), Window.of(1)]


def _conv(builder: Builder, net: _Net, name: str, x: str, width: int, window: Window) -> str:
    if net.convention.pads_end and max(window.stride) > 1:
        x = builder.pad(f"{name}.pad", x, (0, 1, 0, 1))
        window = Window.of(window.kernel_size, stride=window.stride)
    return builder.conv(name, x, width, window, start=he_fan_in)


def _norm_act(builder: Builder, net: _Net, norm: str, act: str, x: str) -> str:
    x = builder.batch_norm(norm, x, eps=net.bn_eps)
    kind, slope = (net.activation, None) if isinstance(net.activation, str) else net.activation
    return builder.activation(act, x, kind, **({} if slope is None else {"negative_slope": slope}))
