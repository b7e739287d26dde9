"""TResNet of timm: ResNets with a space-to-depth stem, leaky ReLUs, blurs before strides, and squeeze-and-excitation.

    s2d (4x4 pixels to channels) -> conv1 3x3 -> layer1 .. layer4 -> global average pool -> linear

    BasicBlock   relu(se(conv2 3x3 (aa (conv1 3x3 (x))))           + shortcut)
    Bottleneck   relu(conv3 1x1 (se(aa (conv2 3x3 (conv1 1x1 (x))))) + shortcut)

Each convolution is followed by its BatchNorm, and all but a block's last one by a leaky ReLU of slope 0.001 (0.01 after
the stem). A block with stride 2 has a blur of stride 2 at `aa`, and an average pool before its projection. layer1 and
layer2 have BasicBlocks, in TResNet-v2 Bottlenecks; layer4 has no gates.

(Ridnik et al. 2021, TResNet: High Performance GPU-Dedicated Architecture, section 3.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from npresnet.arch.attention import SE, attend
from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.named_head import Names, pool_and_classify, read_classes
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole
from npresnet.arch.residual import blur
from npresnet.arch.residual_options import is_eps
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_width
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "tresnet"
ANY = "tresnet"
SIDE = 4  # of the stem's squares of pixels
HEAD = Names("head.global_pool", "head.global_pool.flatten", "head.fc")
PREPROCESS = {"resize": 256, "crop": 224, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}

OPTIONS: Mapping[str, Option] = {
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "v2": flag("topology"),
    "channels": count("size"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def _net(layers: list[int], channels: int = 64, *, v2: bool = False) -> Options:
    return {"layers": layers, "v2": v2, "channels": channels}


ARCHS: Mapping[str, Options] = {
    "tresnet_m": _net([3, 4, 11, 3]),
    "tresnet_l": _net([4, 5, 18, 3], 76),
    "tresnet_xl": _net([4, 5, 24, 3], 83),
    "tresnet_v2_l": _net([3, 4, 23, 3], v2=True),
}


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
    num_classes: int | None = 1000
    bn_eps: float = 1e-5
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> _Net:
        return cls(**{name: value for name, value in options.items() if name in cls._fields})

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            planes = self.channels * 2**i
            usual = (planes, planes, 4 * planes) if self.v2 or i > 1 else (planes, planes)
            for j in range(depth):
                name = f"body.layer{i + 1}.{j}"
                yield _Block(name, self.widths.get(name, usual), 2 if i and j == 0 else 1, gated=i < 3)


def named(name: str) -> Options | None:
    """The listed names, and "tresnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return "body.conv1.conv.weight" in tensors and "body.layer1.0.conv1.conv.weight" in tensors


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "body.layer", first=1)
    names = [f"body.layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth)]
    widths = {name: _read_widths(tensors, name) for name in names}
    classes = read_classes(tensors, HEAD.linear)
    in_channels, rest = divmod(tensors.peek("body.conv1.conv.weight", CONV_AXES).shape[1], SIDE * SIDE)
    if rest or not in_channels:
        raise ArchitectureError(
            f"body.conv1.conv.weight has {in_channels * SIDE * SIDE + rest} input channels, but should have a multiple "
            f"of {SIDE * SIDE}: the stem turns squares of {SIDE}x{SIDE} pixels into channels"
        )
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "v2": Decision(len(widths[names[0]]) == 3, "inferred"),
        "channels": Decision(_width(tensors, "body.conv1"), "inferred"),
        "bn_eps": Decision(1e-5, "default"),
        "preprocess": Decision(PREPROCESS if in_channels == 3 else None, "default", "pixels in 0..1, as in training"),
        "labels": Decision("imagenet" if classes == 1000 and in_channels == 3 else None, "default"),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, {"widths": widths})


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = _space_to_depth(builder, "body.s2d")
    x = _conv_norm(builder, net, "body.conv1", x, net.channels, 3, slope=0.01)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    return pool_and_classify(builder, x, net.num_classes, HEAD)


def _space_to_depth(builder: Builder, name: str) -> str:
    """Pixel (4i + u, 4j + v) of channel c is channel (4u + v) * C + c at (i, j): a convolution with ones and zeros."""
    channels = builder.channels[INPUT]
    weight = np.zeros((SIDE, SIDE, channels, channels, SIDE, SIDE), np.float32)
    u, v, c = np.ix_(range(SIDE), range(SIDE), range(channels))
    weight[u, v, c, c, u, v] = 1
    out_channels = SIDE * SIDE * channels
    params = {"weight": weight.reshape(out_channels, channels, SIDE, SIDE)}
    window = Window.of(SIDE, stride=SIDE)
    return builder.operation(name, "conv2d", (INPUT,), out_channels, window=window, params=params)


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


def _read_widths(tensors: Tensors, name: str) -> tuple[int, ...]:
    convs = (1, 2, 3) if f"{name}.conv3.conv.weight" in tensors else (1, 2)
    return tuple(_width(tensors, f"{name}.conv{k}") for k in convs)


def _width(tensors: Tensors, name: str) -> int:
    return read_width(tensors, f"{name}.conv", [f"{name}.bn"])
