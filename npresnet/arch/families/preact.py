"""Pre-activation and Wide ResNets for small images: in each block a norm and an activation precede each convolution.

    stem 3x3 -> stages of blocks -> (norm, activation) -> global average pool -> linear

    block   x' = branch(a) + shortcut       a = act(norm1(x)),  branch: conv1, norm2, act, conv2, (norm3, act, conv3)

(He et al. 2016, Identity Mappings in Deep Residual Networks; Zagoruyko and Komodakis 2016, Wide Residual Networks.)
Conventions of names, which also tell what a projection reads, and conv1 of a block that has one (`preactivation`):

    layer      layerI.J.{bn1,conv1,bn2,conv2,..}   shortcut.0: a for both (pytorch-cifar), or x for the projection
                                                   (RobustBench); downsample.0: x for the projection (bearpaw);
                                                   biases and a final bn1: x, and the stride is on conv2 (meliketoy)
    block      blockI.layer.J.{.., convShortcut}   a for both (xternalz, TRADES); in nets for semi-supervised learning
                                                   from the second stage on x for both (kekmodel's FixMatch)
    deepmind   layer.I.block.J.{batchnorm_0, ..}   a for both; zeros only at the right and bottom where strided; mean
                                                   and std are part of the network
    residual   stageI.J.{residual.0, .., shortcut} x for the projection; a norm after the stem (weiaicunzai)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from npresnet.arch.builder import Builder
from npresnet.arch.families.preact_names import ARCHS, CONVENTIONS, Convention, convention_of
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.named_head import Names, pool_and_classify, read_classes
from npresnet.arch.options import Option, count, is_list_of, is_whole, one_of
from npresnet.arch.residual_options import ACTIVATIONS, is_activation, is_eps
from npresnet.arch.source import CONV_AXES, Wanted, he_fan_in, ones
from npresnet.arch.stages import read_depths, read_width
from npresnet.arch.stem import is_pool, pool_of
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import INPUT
from npresnet.window import Window

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "preact"
ANY = "preact_resnet"
LEAKY = ["leaky_relu", 0.1]
FIXMATCH = "activation=['leaky_relu', 0.1] and preactivation='first'"

OPTIONS: Mapping[str, Option] = {
    "names": one_of(*CONVENTIONS, role="topology"),
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "width_factor": count("size"),
    "preactivation": one_of("shared", "branch", "first", role="free"),
    "stride_on": one_of("conv1", "conv2", role="free"),
    "activation": Option(is_activation, f"one of {', '.join(ACTIVATIONS)}, or ['leaky_relu', slope]", "free"),
    "stem_stride": Option(lambda value: is_whole(value) and value in (1, 2), "1 or 2", "free"),
    "max_pool": Option(is_pool, "True, False, or [kernel_size, stride, padding, ceil_mode]", "free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int
    stage: int


class _Net(NamedTuple):
    """A network without its weights; widths and what follows are read from a file.

    preactivation  "shared": conv1 and the projection read a; "branch": conv1 reads a, the projection x; "first": as
                   "shared" in the first stage, in the others both read x where there is a projection
    inside         (mean, std): tensors by which the network normalises its input itself
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
    num_classes: int | None = 10
    stem_kernel: int = 3
    stem_channels: int = 16
    final_norm: str = ""
    projection: str = ""
    classifier: str = "linear"
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    inside: Sequence[str] = ()
    unused: Sequence[str] = ()

    @classmethod
    def of(cls, options: Options) -> _Net:
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


def named(name: str) -> Options | None:
    """The listed names, and "preact_resnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return convention_of(tensors) is not None


def read(tensors: Tensors) -> Reading:
    convention = convention_of(tensors)
    assert convention is not None
    layers = read_depths(tensors, convention.stages, convention.blocks, convention.first)
    blocks = [convention.block(i, j) for i, depth in enumerate(layers) for j in range(depth)]
    convs = sum(f"{blocks[0]}.{conv}.weight" in tensors for conv in convention.convs)
    widths = {name: _read_widths(tensors, convention, name, convs) for name in blocks}
    stem = tensors.peek(f"{convention.stem}.weight", CONV_AXES)
    classifier = next((name for name in convention.classifiers if f"{name}.weight" in tensors), "")
    classes = read_classes(tensors, classifier)
    sizes = {
        "base": 1,
        "stem_kernel": stem.shape[2],
        "stem_channels": read_width(tensors, convention.stem, [convention.stem_norm] if convention.stem_norm else []),
        "final_norm": _final_norm(tensors, convention, widths[blocks[-1]][-1]),
        "projection": next((one for one in convention.projections if tensors.has(rf"\.{re.escape(one)}\.weight$")), ""),
        "classifier": classifier,
        "widths": widths,
        "inside": next((pair for pair in (("mean", "std"), ("mu", "sigma")) if set(pair) <= set(tensors)), ()),
        "unused": _unused(tensors),
    }
    decisions = {
        "family": Decision(NAME, "inferred"),
        "names": Decision(convention.name, "inferred"),
        "block": Decision("Bottleneck" if convs == 3 else "BasicBlock", "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(stem.shape[1], "inferred"),
        "width_factor": Decision(max(1, widths[blocks[0]][0] // (64 if len(layers) > 3 else 16)), "inferred"),
        **_assumed(tensors, convention, sizes, blocks, convs),
        **_assumed_stem(int(stem.shape[2])),
        **({"ignored": Decision("sub_block1", "inferred", SUB_BLOCK)} if sizes["unused"] else {}),
    }
    decisions.update(_suggested(decisions, tensors, sizes))
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, sizes)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    for name in net.unused:
        builder.source.skip(name)
    x = _normalised(builder, net) if net.inside else INPUT
    convention, side = net.convention, net.stem_kernel
    window = Window.of(side, stride=net.stem_stride, padding=side // 2)
    x = builder.conv(convention.stem, x, net.stem_channels, window, start=he_fan_in)
    if convention.stem_norm:
        x = _norm_act(builder, net, convention.stem_norm, "stem.relu", x)
    pool = pool_of(net.max_pool)
    if pool is not None:
        x = builder.max_pool("maxpool", x, pool.window, ceil_mode=pool.ceil_mode)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    if net.final_norm:
        x = _norm_act(builder, net, net.final_norm, "relu", x)
    return pool_and_classify(builder, x, net.num_classes, Names("avgpool", "flatten", net.classifier))


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


def _normalised(builder: Builder, net: _Net) -> str:
    """(image - mean) / std, a BatchNorm with these numbers: zeros around the image are put there afterwards."""
    mean, std = (_constant(builder, name) for name in net.inside)
    params = {"weight": 1 / std, "bias": np.zeros_like(std), "running_mean": mean, "running_var": np.ones_like(std)}
    return builder.operation("normalize", "batch_norm", (INPUT,), params=params, attrs={"eps": 0.0})


def _constant(builder: Builder, name: str) -> Any:
    channels = builder.channels[INPUT]
    shape = builder.source.shape_of(name) or (channels,)
    long = (1,) * (len(shape) - 3) + (channels, 1, 1) if len(shape) > 1 else (channels,)
    wanted = Wanted(name, long, ("channels", "1", "1"), ones, lambda: "  One number for each channel of the image.")
    return builder.source.take(wanted).reshape(-1)


def _read_widths(tensors: Tensors, convention: Convention, name: str, convs: int) -> tuple[int, ...]:
    following = [[f"{name}.{norm}"] for norm in convention.norms[1:convs]] + [[]]
    names = (f"{name}.{conv}" for conv in convention.convs[:convs])
    return tuple(read_width(tensors, conv, norms) for conv, norms in zip(names, following, strict=True))


def _final_norm(tensors: Tensors, convention: Convention, channels: int) -> str:
    return next((name for name in convention.finals if f"{name}.weight" in tensors), "")


SUB_BLOCK = "a second block1, which the network of TRADES has and does not run"


def _unused(tensors: Tensors) -> list[str]:
    """The tensors of `sub_block1` where they are a whole second block1."""
    extra = tensors.matching(r"^sub_block1\.")
    twins = tensors.matching(r"^block1\.")
    same = {name.removeprefix("sub_"): tensors.shape(name) for name in extra} == {n: tensors.shape(n) for n in twins}
    return extra if extra and same else []


def _assumed(
    tensors: Tensors, convention: Convention, sizes: Mapping[str, Any], blocks: Sequence[str], convs: int
) -> dict[str, Decision]:
    """What tensors do not tell: what a projection reads, the strided convolution, activation, eps."""
    biases = f"{blocks[0]}.{convention.convs[0]}.bias" in tensors
    wide = convention.name == "layer" and sizes["final_norm"] == "bn1"
    usual = {
        "preactivation": Decision("shared", "default"),
        "stride_on": Decision("conv2" if convs == 3 or wide else "conv1", "default"),
        "activation": Decision("relu", "default"),
        "bn_eps": Decision(1e-5, "default"),
    }
    if convention.name == "layer":
        usual["preactivation"] = _projection_reads(sizes["projection"], wide, convs)
        if wide and not biases:
            usual["stride_on"] = Decision("conv2", "default", "as in wide-resnet.pytorch", ("stride_on='conv1'",))
    if convention.name == "residual":
        usual["preactivation"] = Decision("branch", "default", "as in pytorch-cifar100")
        usual["stride_on"] = Decision("conv1", "default", "as in pytorch-cifar100")
    if convention.name == "deepmind":
        note = "as in all published weights with these names"
        usual["activation"] = Decision("silu", "default", note, ("activation='relu'",))
    if convention.name == "block":
        usual.update(_semi_supervised(tensors, blocks, biases))
    return usual


def _projection_reads(projection: str, wide: bool, convs: int) -> Decision:
    if not projection:
        return Decision("shared", "default")
    if wide:
        return Decision("branch", "default", "as in wide-resnet.pytorch")
    if projection.startswith("downsample"):
        return Decision("branch", "default", "as in pytorch-classification", ("preactivation='shared'",))
    others = ("preactivation='branch'",) if convs == 2 else ()
    return Decision("shared", "default", "as in pytorch-cifar; RobustBench's nets differ" if others else "", others)


def _semi_supervised(tensors: Tensors, blocks: Sequence[str], biases: bool) -> dict[str, Decision]:
    """Nets for semi-supervised learning have these names, too: with biases (USB), or without (FixMatch)."""
    if biases:
        note = "biases in convolutions: a net for semi-supervised learning (USB)"
        return {"activation": Decision(LEAKY, "default", note), "bn_eps": Decision(1e-3, "default", note)}
    factor = (tensors.length(f"{blocks[0]}.conv1.weight", 0, ndim=4) or 0) // 16
    if len(blocks) == 12 and factor in (2, 8):
        note = "nets for semi-supervised learning have this size"
        return {"activation": Decision("relu", "default", note, (FIXMATCH,))}
    return {}


def _assumed_stem(side: int) -> dict[str, Decision]:
    large = side == 7
    note = "usual after a 7x7 stem" if large else "usual after a 3x3 stem"
    others = () if side in (3, 7) else ("stem_stride=2",)
    return {
        "stem_stride": Decision(2 if large else 1, "default", note, others),
        "max_pool": Decision(large, "default", note, () if side in (3, 7) else ("max_pool=True",)),
    }


def _suggested(decisions: Mapping[str, Decision], tensors: Tensors, sizes: Mapping[str, Any]) -> dict[str, Decision]:
    classes, in_channels = decisions["num_classes"].value, decisions["in_channels"].value
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", note), "labels": Decision(None, "default")}
    labels = Decision("cifar10" if classes == 10 else "imagenet" if classes == 1000 else None, "default")
    if sizes["inside"]:
        preset: Any = {"resize": 32, "crop": 32, "mean": [0.0] * 3, "std": [1.0] * 3}
        return {"preprocess": Decision(preset, "inferred", "the network normalises by itself"), "labels": labels}
    if decisions["max_pool"].value:
        return {"preprocess": Decision("V1", "default"), "labels": labels}
    small = {"resize": 64, "crop": 64}
    if classes == 200:
        return {"preprocess": Decision(small, "default", "200 classes: Tiny ImageNet"), "labels": labels}
    others = () if classes in (10, 100) else (f"preprocess={small}",)
    note = "some nets for CIFAR were trained with another mean and std, or none"
    return {"preprocess": Decision("cifar10", "default", note, others), "labels": labels}
