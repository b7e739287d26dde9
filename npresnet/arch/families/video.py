"""torchvision's ResNets for clips: r3d_18, mc3_18 and r2plus1d_18.

    stem -> layer1..4 of BasicBlocks -> average over time, height and width -> fc

There is no max pool. A stage's convolutions are of one of three kinds (Tran et al. 2018, "A Closer Look at
Spatiotemporal Convolutions for Action Recognition", section 3):

    3d      3x3x3, strides in time, height and width                          layer1.0.conv1.0
    2d      1x3x3, strides in height and width                                layer1.0.conv1.0
    2+1d    1x3x3, BatchNorm, ReLU, 3x1x1, with as many weights as 3d         layer1.0.conv1.0.0, .0.1, .0.3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.clips import (
    CLIP_OPTIONS,
    classifier_of,
    depths,
    head_decisions,
    is_conv3d,
    kernel_size,
    last_decisions,
    pooled_and_classified,
    same,
    width,
)
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, is_list_of, is_whole, one_of
from npresnet.arch.source import CONV3D_AXES
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import INPUT

NAME = "video"
ANY = "video_resnet"  # the name of networks without a specific one
KINDS = ("3d", "2d", "2+1d")
POINT = (1, 1, 1)

OPTIONS: Mapping[str, Option] = {
    "layers": Option(is_list_of(is_whole), "a list of whole numbers", "topology"),
    "stem_convolution": one_of("3d", "2+1d", role="topology"),
    "convolutions": Option(is_list_of(lambda kind: kind in KINDS), f"a list of {', '.join(KINDS)}", "topology"),
    **CLIP_OPTIONS,
}


def _net(stem: str, *kinds: str) -> Options:
    return {"layers": [2, 2, 2, 2], "stem_convolution": stem, "convolutions": list(kinds)}


ARCHS: Mapping[str, Options] = {
    "r3d_18": _net("3d", "3d", "3d", "3d", "3d"),
    "mc3_18": _net("3d", "3d", "2d", "2d", "2d"),
    "r2plus1d_18": _net("2+1d", "2+1d", "2+1d", "2+1d", "2+1d"),
}


def named(name: str) -> Options | None:
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return is_conv3d(tensors, "stem.0.weight") and any(
        is_conv3d(tensors, f"layer1.0.conv1.{conv}.weight") for conv in ("0", "0.0")
    )


def read(tensors: Tensors) -> Reading:
    layers = depths(tensors)
    stem = "2+1d" if "stem.3.weight" in tensors else "3d"
    kinds = [_kind_of(tensors, f"layer{i}.0.conv1") for i in range(1, len(layers) + 1)]
    in_channels = tensors.peek("stem.0.weight", CONV3D_AXES).shape[1]
    names = [f"layer{i}.{j}.conv{k}" for i, n in enumerate(layers, 1) for j in range(n) for k in (1, 2)]
    widths = {name: _widths(tensors, name) for name in names}
    head = classifier_of(tensors, widths[names[-1]][-1])
    decisions = {
        "family": Decision(NAME, "inferred"),
        "stem_convolution": Decision(stem, "inferred"),
        "layers": Decision(layers, "inferred"),
        "convolutions": Decision(kinds, "inferred", "of each stage"),
        **head_decisions(head),
        "in_channels": Decision(in_channels, "inferred"),
        "bn_eps": Decision(1e-5, "default"),
        **last_decisions(in_channels, "kinetics"),
    }
    sizes: dict[str, Any] = {
        "widths": widths | {"stem": _stem_widths(tensors)},
        "stem_kernel": kernel_size(tensors, "stem.0.weight"),
        "file_head": head,
    }
    return Reading({"arch": Decision(name_in(ARCHS, decisions) or ANY, "inferred"), **decisions}, sizes)


def _kind_of(tensors: Tensors, conv: str) -> str:
    if f"{conv}.0.0.weight" in tensors:
        return "2+1d"
    return "2d" if tensors.length(f"{conv}.0.weight", 2, ndim=5) == 1 else "3d"


def _widths(tensors: Tensors, name: str) -> tuple[int, ...]:
    """(planes,), or (inner channels, planes) of a 2+1d convolution."""
    if f"{name}.0.0.weight" in tensors:
        return width(tensors, f"{name}.0.0", f"{name}.0.1"), width(tensors, f"{name}.0.3", f"{name}.1")
    return (width(tensors, f"{name}.0", f"{name}.1"),)


def _stem_widths(tensors: Tensors) -> tuple[int, ...]:
    first = width(tensors, "stem.0", "stem.1")
    return (first, width(tensors, "stem.3", "stem.4")) if "stem.3.weight" in tensors else (first,)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net(builder, options)
    x = net.stem()
    for i, (depth, kind) in enumerate(zip(options["layers"], options["convolutions"], strict=True)):
        for j in range(depth):
            x = net.block(f"layer{i + 1}.{j}", x, 64 * 2**i, kind, 2 if i and j == 0 else 1)
    return pooled_and_classified(builder, x, options)


class _Net:
    """One network under construction."""

    def __init__(self, builder: Builder, options: Options):
        self.builder, self.options = builder, options
        self.eps: float = options.get("bn_eps", 1e-5)
        self.widths: Mapping[str, tuple[int, ...]] = options.get("widths", {})

    def stem(self) -> str:
        """7x7 over height and width, of 3 frames; or 7x7, then 3 frames."""
        is_split = self.options["stem_convolution"] == "2+1d"
        *inner, planes = self.widths.get("stem", (45, 64) if is_split else (64,))
        kernel = self.options.get("stem_kernel", (1, 7, 7) if is_split else (3, 7, 7))
        x = self._conv_norm("stem.0", "stem.1", INPUT, inner[0] if is_split else planes, kernel, (1, 2, 2))
        x = self.builder.relu("stem.2", x)
        if not is_split:
            return x
        x = self._conv_norm("stem.3", "stem.4", x, planes, (3, 1, 1), POINT)
        return self.builder.relu("stem.5", x)

    def block(self, name: str, x: str, planes: int, kind: str, stride: int) -> str:
        """A BasicBlock: relu(conv2(relu(conv1(x))) + shortcut(x))."""
        planes = self.widths.get(f"{name}.conv2", (planes,))[-1]
        in_planes = self.builder.channels[x]  # of the block, also for the inner channels of its second convolution
        y = self._convolution(f"{name}.conv1", x, in_planes, planes, kind, stride)
        y = self.builder.relu(f"{name}.conv1.2", y)
        y = self._convolution(f"{name}.conv2", y, in_planes, planes, kind, 1)
        y = self.builder.add(f"{name}.add", y, self._shortcut(f"{name}.downsample", x, planes, kind, stride))
        return self.builder.relu(f"{name}.relu", y, block="BasicBlock")

    def _convolution(self, name: str, x: str, in_planes: int, planes: int, kind: str, stride: int) -> str:
        """A convolution of this kind, and its BatchNorm."""
        *inner, out_channels = self.widths.get(name, (planes,))
        if kind != "2+1d":
            kernel, strides = ((3, 3, 3), (stride,) * 3) if kind == "3d" else ((1, 3, 3), (1, stride, stride))
            return self._conv_norm(f"{name}.0", f"{name}.1", x, out_channels, kernel, strides)
        middle = inner[0] if inner else in_planes * planes * 27 // (in_planes * 9 + 3 * planes)
        y = self._conv_norm(f"{name}.0.0", f"{name}.0.1", x, middle, (1, 3, 3), (1, stride, stride))
        y = self.builder.relu(f"{name}.0.2", y)
        return self._conv_norm(f"{name}.0.3", f"{name}.1", y, out_channels, (3, 1, 1), (stride, 1, 1))

    def _shortcut(self, name: str, x: str, planes: int, kind: str, stride: int) -> str:
        """x, or a 1x1x1 convolution where shapes change or the file has one."""
        changes = stride != 1 or self.builder.channels[x] != planes
        if not changes and f"{name}.0.weight" not in self.builder.source:
            return x
        strides = (1, stride, stride) if kind == "2d" else (stride, stride, stride)
        return self._conv_norm(f"{name}.0", f"{name}.1", x, planes, POINT, strides)

    def _conv_norm(
        self, conv: str, norm: str, x: str, planes: int, kernel: tuple[int, ...], stride: tuple[int, ...]
    ) -> str:
        y = self.builder.conv(conv, x, planes, same(kernel, stride), to=f"to {norm}")
        return self.builder.batch_norm(norm, y, eps=self.eps)
