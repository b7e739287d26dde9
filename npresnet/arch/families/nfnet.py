"""Networks without normalisation of timm: NF-ResNet, NF-RegNet, NFNet.

    stem -> stages of blocks -> (final_conv) -> activation -> global average pool -> linear

    block   a = beta * act(x)
            x' = (pool and project a, or x) + alpha * skipinit_gain * branch(a)
            branch: conv1 1x1, act, conv2 3x3 in groups, act, (conv2b 3x3, act), conv3 1x1; a gate before its last act
            (`attn`, NF-RegNet) or after conv3 (`attn_last`), times 2

Filters are standardised and scaled by a gain, see `arch.standardised`. beta = 1 / sqrt(expected variance of x), which
is 1 before the first block, and grows by alpha^2 with each block after it is set to 1 by the first one of a stage. An
activation is multiplied by gamma, which makes its variance 1 for a normal input. beta and gamma are multiplied into the
filters that read the activation, so that nodes of activations hold the plain function's values.

(Brock et al. 2021, Characterizing signal propagation to close the performance gap in unnormalized ResNets, section 3;
High-Performance Large-Scale Image Recognition Without Normalization, section 4 and appendix. Names are timm's.)

What tensors do not tell: the activation, alpha 0.2, the gate's factor 2, the padding. A `skipinit_gain` is found in
DeepMind's networks only: GELU, TensorFlow's SAME padding. Otherwise see `_activation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from npresnet.arch.attention import Attention, attend
from npresnet.arch.builder import Builder
from npresnet.arch.families.nfnet_archs import ARCHS, GAMMA, SIZES, USUAL_SIZES, divisible
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.named_head import Names, pool_and_classify, read_classes
from npresnet.arch.options import Option, flag, is_list_of, is_positive, is_whole, one_of
from npresnet.arch.source import CONV_AXES, Wanted, ones
from npresnet.arch.stages import read_depths, read_width
from npresnet.arch.standardised import scaled_conv
from npresnet.arch.tensors import Tensors, agreed
from npresnet.config import Decision
from npresnet.network import INPUT
from npresnet.window import Window

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "nfnet"
ANY = "nfnet"
HEAD = Names("head.global_pool", "head.global_pool.flatten", "head.fc")
EPS = 1e-5  # of a filter's standard deviation

_WHOLE_NUMBERS = Option(is_list_of(is_whole), "a list of whole numbers, one for each stage", "topology")
OPTIONS: Mapping[str, Option] = {
    "layers": _WHOLE_NUMBERS,
    "channels": _WHOLE_NUMBERS,
    "stem_type": one_of("3x3", "7x7", "deep", role="topology"),
    "attention": one_of("none", "se", "eca", role="topology"),
    "skipinit": flag("topology"),
    "activation": one_of(*GAMMA, role="free"),  # of which gamma is known
    "gamma_in_activation": flag("free"),
    "same_padding": flag("free"),
    "alpha": Option(is_positive, "a positive number", "free"),
    "gate_gain": Option(is_positive, "a positive number", "free"),
}


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
    num_classes: int | None = 1000
    widths: Mapping[str, tuple[int, int]] = MappingProxyType({})
    stem_widths: Sequence[int] = ()

    @classmethod
    def of(cls, options: Options) -> _Net:
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


def named(name: str) -> Options | None:
    """The listed names, and "nfnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return "stages.0.0.conv1.gain" in tensors


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "stages.")
    names = [[f"stages.{i}.{j}" for j in range(depth)] for i, depth in enumerate(layers)]
    blocks = [name for stage in names for name in stage]
    widths = {name: (_inner_width(tensors, name), read_width(tensors, f"{name}.conv3")) for name in blocks}
    stem_type, stem_widths = _read_stem(tensors)
    attention = _read_attention(tensors)
    group_size = _read_group_size(tensors, widths)
    sizes = {
        "widths": widths,
        "stem_widths": stem_widths,
        "group_size": group_size,
        "expands_input": tensors.has(r"^stages\.0\.0\.attn\."),
        "extra_conv": "stages.0.0.conv2b.weight" in tensors,
        "features": read_width(tensors, "final_conv") if "final_conv.weight" in tensors else None,
    }
    skipinit = "stages.0.0.skipinit_gain" in tensors
    stem = "stem.conv.weight" if "stem.conv.weight" in tensors else "stem.conv1.weight"
    classes = read_classes(tensors, HEAD.linear)
    in_channels = tensors.peek(stem, CONV_AXES).shape[1]
    activation = _activation(stem_type, attention, group_size or 0, skipinit=skipinit)
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "channels": Decision([widths[stage[0]][1] for stage in names], "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "stem_type": Decision(stem_type, "inferred"),
        "attention": Decision(attention, "inferred"),
        "skipinit": Decision(skipinit, "inferred"),
        "activation": Decision(activation, "default"),
        "gamma_in_activation": Decision(skipinit, "default", DEEPMIND if skipinit else ""),
        "same_padding": Decision(skipinit, "default", DEEPMIND if skipinit else ""),
        "alpha": Decision(0.2, "default"),
        "gate_gain": Decision(2.0, "default"),
    }
    name = name_in(ARCHS, decisions)
    decisions["activation"] = _explained(activation, name)
    decisions.update(_suggested(name, classes, in_channels))
    return Reading({"arch": Decision(name or ANY, "inferred"), **decisions}, sizes)


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
    return pool_and_classify(builder, x, net.num_classes, HEAD)


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
    return builder.operation(name, "batch_norm", (x,), params={**params, **statistics}, attrs={"eps": 0.0})


def _skipinit_gain(builder: Builder, name: str) -> float:
    wanted = Wanted(f"{name}.skipinit_gain", (), (), ones, lambda: "  One number, by which a block's branch is scaled.")
    return float(builder.source.take(wanted))


def _inner_width(tensors: Tensors, name: str) -> int:
    widths = [read_width(tensors, f"{name}.conv{k}") for k in ("1", "2", "2b") if f"{name}.conv{k}.weight" in tensors]
    return agreed(widths) or read_width(tensors, f"{name}.conv1")


def _read_stem(tensors: Tensors) -> tuple[str, list[int]]:
    if "stem.conv.weight" not in tensors:
        return "deep", [read_width(tensors, f"stem.conv{k}") for k in (1, 2, 3, 4)]
    side = tensors.peek("stem.conv.weight", CONV_AXES).shape[2]
    return ("7x7" if side == 7 else "3x3"), [read_width(tensors, "stem.conv")]


def _read_attention(tensors: Tensors) -> str:
    module = r"^stages\.[0-9]+\.[0-9]+\.attn(_last)?\."
    if tensors.has(module + r"fc1\.weight$"):
        return "se"
    return "eca" if tensors.has(module + r"conv\.weight$") else "none"


def _read_group_size(tensors: Tensors, widths: Mapping[str, tuple[int, int]]) -> int | None:
    """Channels of a group of conv2; None where most blocks have one group."""
    seen = {name: tensors.length(f"{name}.conv2.weight", 1, ndim=4) for name in widths}
    whole = sum(size == widths[name][0] for name, size in seen.items())
    return None if 2 * whole > len(widths) else agreed(seen.values()) or None


DEEPMIND = "a skipinit_gain is found in DeepMind's networks only"


def _activation(stem_type: str, attention: str, group_size: int, *, skipinit: bool) -> str:
    """ReLU in NF-ResNets, GELU in NFNet-F (groups of 128 channels) and DeepMind's, SiLU in the others."""
    if stem_type == "7x7":
        return "relu"
    is_large = stem_type == "deep" and attention == "se" and group_size >= 128
    return "gelu" if skipinit or is_large else "silu"


def _explained(activation: str, name: str | None) -> Decision:
    if name is not None:
        return Decision(activation, "default", f"that of {name}")
    others = tuple(f"activation={other!r}" for other in ("relu", "gelu", "silu") if other != activation)
    return Decision(activation, "default", "none of timm's networks has these sizes", others)


def _suggested(name: str | None, classes: int | None, in_channels: int) -> dict[str, Decision]:
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", note), "labels": Decision(None, "default")}
    note = "timm's sizes in training for this network; it tests with larger ones"
    return {
        "preprocess": Decision(SIZES.get(name or "", USUAL_SIZES), "default", note),
        "labels": Decision("imagenet" if classes == 1000 else None, "default"),
    }
