"""How a SENet is assembled: see `senet`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.families.senet import GATE, HEAD, POOL, STRIDE_ON
from npresnet.arch.family import Options
from npresnet.arch.head.named import pool_and_classify
from npresnet.arch.residual.attention import attend
from npresnet.network import INPUT
from npresnet.window import Window


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int


class _Net(NamedTuple):
    """A network without its weights; stem_widths, widths and projection_kernel are read from a file.

    projection_kernel  of the projections from layer2 on; that of layer1 is 1x1
    """

    block: str
    layers: Sequence[int]
    groups: int = 1
    stride_on: str = ""
    bn_eps: float = 1e-5
    projection_kernel: int = 1
    stem_widths: Sequence[int] = (64,)
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> "_Net":
        usual: dict[str, Any] = {"stride_on": STRIDE_ON.get(options["block"], "3x3")}
        if options["block"] == "SEBottleneck":
            usual.update(stem_widths=(64, 64, 128), projection_kernel=3)
        return cls(**{name: value for name, value in {**usual, **options}.items() if name in cls._fields})

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            for j in range(depth):
                name = f"layer{i + 1}.{j}"
                yield _Block(name, self.widths.get(name) or self._usual(64 * 2**i), 2 if i and j == 0 else 1)

    def _usual(self, planes: int) -> tuple[int, ...]:
        if self.block == "SEResNetBlock":
            return planes, planes
        if self.block == "SEBottleneck":
            return 2 * planes, 4 * planes, 4 * planes
        inner = planes if self.block == "SEResNetBottleneck" else planes * 4 // 64 * self.groups
        return inner, inner, 4 * planes


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = INPUT
    deep = len(net.stem_widths) > 1
    for k, width in enumerate(net.stem_widths, start=1):
        side, stride = 3 if deep else 7, 2 if k == 1 else 1
        x = _conv_norm(builder, net, "layer0", k, x, width, Window.of(side, stride=stride, padding=side // 2))
        x = builder.relu(f"layer0.relu{k}", x)
    x = builder.max_pool("pool0", x, POOL, ceil_mode=True)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    return pool_and_classify(builder, x, HEAD, options)


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    name, widths, last = block.name, block.widths, len(block.widths)
    y = x
    for k, (window, groups) in enumerate(_windows(net, block.stride), start=1):
        y = _conv_norm(builder, net, name, k, y, widths[k - 1], window, groups)
        if k < last or last == 2:
            y = builder.relu(f"{name}.relu.{k}", y)
    y = attend(builder, GATE, name, y, hidden=max(1, widths[-1] // 16))
    y = builder.add(f"{name}.add", y, _shortcut(builder, net, block, x, y))
    return builder.relu(f"{name}.relu.{last + 1}", y, block=net.block)


def _windows(net: _Net, stride: int) -> list[tuple[Window, int]]:
    """(window, groups) of each convolution."""
    if net.block == "SEResNetBlock":
        return [(Window.of(3, stride=stride, padding=1), 1), (Window.of(3, padding=1), 1)]
    first, second = (stride, 1) if net.stride_on == "1x1" else (1, stride)
    return [(Window.of(1, stride=first), 1), (Window.of(3, stride=second, padding=1), net.groups), (Window.of(1), 1)]


def _shortcut(builder: Builder, net: _Net, block: _Block, x: str, y: str) -> str:
    name, out_channels = f"{block.name}.downsample", builder.channels[y]
    changes = block.stride != 1 or builder.channels[x] != out_channels
    if not changes and f"{name}.0.weight" not in builder.source:
        return x
    side = net.projection_kernel if block.stride > 1 else 1
    window = Window.of(side, stride=block.stride, padding=side // 2)
    x = builder.conv(f"{name}.0", x, out_channels, window, to=f"to be added to {y}")
    return builder.batch_norm(f"{name}.1", x, eps=net.bn_eps)


def _conv_norm(
    builder: Builder, net: _Net, name: str, k: int, x: str, width: int, window: Window, groups: int = 1
) -> str:
    x = builder.conv(f"{name}.conv{k}", x, width, window, groups=groups, to=f"to {name}.bn{k}")
    return builder.batch_norm(f"{name}.bn{k}", x, eps=net.bn_eps)
