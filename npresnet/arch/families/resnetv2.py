"""Pre-activation ResNets of timm ("ResNet v2"), among them Big Transfer (BiT).

    stem -> max pool -> stages of blocks -> norm, ReLU -> global average pool -> 1x1 convolution as classifier

    Bottleneck   conv3 1x1 (norm3 (conv2 3x3 (norm2 (conv1 1x1 (p)))))  + shortcut        p = norm1(x)
    BasicBlock   conv2 3x3 (norm2 (conv1 3x3 (p)))                      + shortcut        shortcut = x or project(p)

Every norm is followed by a ReLU or contains its activation. (He et al. 2016, Identity Mappings in Deep Residual
Networks, with the stride on the 3x3; Kolesnikov et al. 2020, Big Transfer.) The final `norm` tells these networks from
others with `stages.I.blocks.J`. Names are timm's, where a norm is one module with its activation.

What tensors do not tell: with GroupNorm after a 7x7 stem the filters are standardised and zeros surround the stem's max
pool (BiT); a deep stem goes with an average pool before the projections. All of timm's networks follow this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.named_head import Names, pool_and_classify, read_classes
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole, one_of
from npresnet.arch.residual_options import is_eps
from npresnet.arch.source import CONV_AXES, ones, zeros
from npresnet.arch.stages import read_depths, read_groups, read_width
from npresnet.arch.standardised import standardised_conv
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "resnetv2"
ANY = "resnetv2"
FIRST = "stages.0.blocks.0.conv1.weight"
HEAD = Names("head.global_pool", "head.pooled", "head.fc")
BIT_EPS = 1e-8  # of the standard deviation of a filter
NORMS = ("batch_norm", "group_norm", "evo_norm_s0", "filter_response_norm")  # operations

OPTIONS: Mapping[str, Option] = {
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "norm": one_of(*NORMS, role="topology"),
    "stem_type": one_of("7x7", "deep", "tiered", role="topology"),
    "width_factor": count("size"),
    "weight_standardisation": flag("free"),
    "pool_border": one_of("zeros", "none", role="free"),
    "avg_down": flag("free"),
    "norm_groups": count("free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def _net(layers: list[int], stem_type: str = "7x7", *, block: str = "Bottleneck", norm: str = "batch_norm") -> Options:
    deep = stem_type != "7x7"
    return {"block": block, "layers": layers, "norm": norm, "stem_type": stem_type, "avg_down": deep, "width_factor": 1}


def _bit(layers: list[int], width_factor: int) -> Options:
    own = {"width_factor": width_factor, "weight_standardisation": True, "pool_border": "zeros"}
    return {**_net(layers, norm="group_norm"), **own}


ARCHS: Mapping[str, Options] = {
    "resnetv2_18": _net([2, 2, 2, 2], block="BasicBlock"),
    "resnetv2_18d": _net([2, 2, 2, 2], "deep", block="BasicBlock"),
    "resnetv2_34": _net([3, 4, 6, 3], block="BasicBlock"),
    "resnetv2_34d": _net([3, 4, 6, 3], "deep", block="BasicBlock"),
    "resnetv2_50": _net([3, 4, 6, 3]),
    "resnetv2_50d": _net([3, 4, 6, 3], "deep"),
    "resnetv2_50t": _net([3, 4, 6, 3], "tiered"),
    "resnetv2_101": _net([3, 4, 23, 3]),
    "resnetv2_101d": _net([3, 4, 23, 3], "deep"),
    "resnetv2_152": _net([3, 8, 36, 3]),
    "resnetv2_152d": _net([3, 8, 36, 3], "deep"),
    "resnetv2_50d_gn": _net([3, 4, 6, 3], "deep", norm="group_norm"),
    "resnetv2_50d_evos": _net([3, 4, 6, 3], "deep", norm="evo_norm_s0"),
    "resnetv2_50d_frn": _net([3, 4, 6, 3], "deep", norm="filter_response_norm"),
    "resnetv2_50x1_bit": _bit([3, 4, 6, 3], 1),
    "resnetv2_50x3_bit": _bit([3, 4, 6, 3], 3),
    "resnetv2_101x1_bit": _bit([3, 4, 23, 3], 1),
    "resnetv2_101x3_bit": _bit([3, 4, 23, 3], 3),
    "resnetv2_152x2_bit": _bit([3, 8, 36, 3], 2),
    "resnetv2_152x4_bit": _bit([3, 8, 36, 3], 4),
}

HALF = [0.5, 0.5, 0.5]
BIT_PREPROCESS = {"resize": 448, "crop": 448, "mean": HALF, "std": HALF, "interpolation": "bilinear"}
PREPROCESS = {"resize": 236, "crop": 224, "mean": HALF, "std": HALF, "interpolation": "bicubic"}
BIT_SIZE = "BiT fine-tuned on ImageNet at 448x448; its distilled nets use 224x224 and bicubic"
TIMM_SIZE = "timm's custom for ResNet v2: mean and standard deviation 0.5; crops differ from file to file"


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
    num_classes: int | None = 1000
    groups: int = 1
    width_factor: int = 1
    weight_standardisation: bool = False
    pool_border: str = "none"
    avg_down: bool = False
    norm_groups: int = 32
    bn_eps: float = 1e-5
    stem_widths: Sequence[int] = ()
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> _Net:
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


def named(name: str) -> Options | None:
    """The listed names, and "resnetv2" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    has_stem = "stem.conv.weight" in tensors or "stem.conv1.weight" in tensors
    return has_stem and FIRST in tensors and "norm.weight" in tensors


def read(tensors: Tensors) -> Reading:
    depths = read_depths(tensors, "stages.", "blocks.")
    basic = not tensors.has(r"^stages\.[0-9]+\.blocks\.[0-9]+\.conv3\.weight$")
    stem_widths = _read_stem(tensors)
    names = [f"stages.{i}.blocks.{j}" for i, depth in enumerate(depths) for j in range(depth)]
    widths = {name: _read_widths(tensors, name, 2 if basic else 3) for name in names}
    groups = read_groups(tensors, ((f"{name}.conv2", widths[name][0]) for name in names))
    norm, stem_type = _norm_of(tensors), _stem_type(stem_widths)
    is_bit = norm == "group_norm" and stem_type == "7x7"
    classes = read_classes(tensors, HEAD.linear)
    stem = "stem.conv.weight" if "stem.conv.weight" in tensors else "stem.conv1.weight"
    in_channels = tensors.peek(stem, CONV_AXES).shape[1]
    decisions = {
        "family": Decision(NAME, "inferred"),
        "block": Decision("BasicBlock" if basic else "Bottleneck", "inferred"),
        "layers": Decision(depths, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "norm": Decision(norm, "inferred"),
        "stem_type": Decision(stem_type, "inferred"),
        "width_factor": Decision(max(1, round(stem_widths[-1] / 64)), "inferred"),
        **_assumed(norm, is_bit, stem_type),
        "bn_eps": Decision(1e-5, "default"),
        **_suggested(is_bit, classes, in_channels),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, {"stem_widths": stem_widths, "widths": widths, "groups": groups})


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = _stem(builder, net)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    x = _norm_act(builder, net, "norm", x)
    return pool_and_classify(builder, x, net.num_classes, HEAD, pointwise=True)


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
        return standardised_conv(builder, name, x, width, window, eps=BIT_EPS, groups=groups)
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


def _read_stem(tensors: Tensors) -> list[int]:
    if "stem.conv.weight" in tensors:
        return [read_width(tensors, "stem.conv")]
    norms = {1: ["stem.norm1"], 2: ["stem.norm2"], 3: []}
    return [read_width(tensors, f"stem.conv{k}", norms[k]) for k in (1, 2, 3)]


def _read_widths(tensors: Tensors, name: str, convs: int) -> tuple[int, ...]:
    inner = [read_width(tensors, f"{name}.conv{k}", [f"{name}.norm{k + 1}"]) for k in range(1, convs)]
    return (*inner, read_width(tensors, f"{name}.conv{convs}"))


def _norm_of(tensors: Tensors) -> str:
    signs = {"norm.running_mean": NORMS[0], "norm.v": NORMS[2], "norm.tau": NORMS[3]}
    return next((norm for sign, norm in signs.items() if sign in tensors), NORMS[1])


def _stem_type(widths: list[int]) -> str:
    if len(widths) == 1:
        return "7x7"
    return "deep" if widths[0] == widths[1] else "tiered"


def _assumed(norm: str, is_bit: bool, stem_type: str) -> dict[str, Decision]:
    """What tensors do not tell."""
    why = "GroupNorm after a 7x7 stem: BiT" if is_bit else "timm's custom for this norm and stem"
    with_groups = {"norm_groups": Decision(32, "default")} if norm in ("group_norm", "evo_norm_s0") else {}
    return {
        "weight_standardisation": Decision(is_bit, "default", why),
        "pool_border": Decision("zeros" if is_bit else "none", "default", why),
        "avg_down": Decision(stem_type != "7x7", "default", "timm's custom: an average pool goes with a deep stem"),
        **with_groups,
    }


def _suggested(is_bit: bool, classes: int | None, in_channels: int) -> dict[str, Decision]:
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", note), "labels": Decision(None, "default")}
    preset: dict[str, Any] = BIT_PREPROCESS if is_bit else PREPROCESS
    return {
        "preprocess": Decision(preset, "default", BIT_SIZE if is_bit else TIMM_SIZE),
        "labels": Decision("imagenet" if classes == 1000 else None, "default"),
    }
