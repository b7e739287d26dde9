"""Pre-activation ResNets of Keras: ResNet50V2, ResNet101V2 and ResNet152V2 of keras.applications.

    conv1_conv 7x7 of stride 2 -> max pool with a border of zeros -> stages of blocks -> post_bn, ReLU -> average pool

    p = relu(preact_bn(x));   3_conv 1x1 (relu (2_bn (2_conv 3x3 (relu (1_bn (1_conv 1x1 (p)))))))  + shortcut

The shortcut is 0_conv(p) in a stage's first block, x in the others. The last block of every stage but the last has the
stride: on 2_conv, and on the shortcut, which takes every second pixel. (He et al. 2016, Identity Mappings in Deep
Residual Networks, with the strides of the authors' release.) Names are Keras's, `conv<stage + 2>_block<number>_...`;
its home renames the roles of tensors only. The stem has no norm, so the zeros around the max pool matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.head import build as heads
from npresnet.arch.head.build import one_linear, pool_and_classify
from npresnet.arch.head.reading import read_head
from npresnet.arch.homes.keras import EPS
from npresnet.arch.options import Option, is_list_of, is_whole
from npresnet.arch.residual.options import is_eps
from npresnet.arch.source import CONV_AXES, zeros
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "keras_v2"
ANY = "keras_resnetv2"
FIRST = "conv2_block1_preact_bn.weight"
BODY = ("conv1_conv.", *(f"conv{number}_block" for number in range(2, 10)), "post_bn.")
HALF = [0.5, 0.5, 0.5]
POINT, SECOND = Window.of(1), Window.of(1, stride=2)

OPTIONS: Mapping[str, Option] = {
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    **heads.OPTIONS,
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}
ARCHS: Mapping[str, Options] = {
    "keras_resnet50v2": {"layers": [3, 4, 6, 3]},
    "keras_resnet101v2": {"layers": [3, 4, 23, 3]},
    "keras_resnet152v2": {"layers": [3, 8, 36, 3]},
}


def named(name: str) -> Options | None:
    """The listed names, and "keras_resnetv2" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return FIRST in tensors and "conv1_conv.weight" in tensors


def read(tensors: Tensors) -> Reading:
    layers = _read_layers(tensors)
    names = [name for stage in block_names(layers) for name in stage]
    widths = {name: tuple(_width(tensors, name, k) for k in (1, 2, 3)) for name in names}
    head = read_head(tensors, widths[names[-1]][-1], body=BODY)
    stem = tensors.peek("conv1_conv.weight", CONV_AXES)
    classes, in_channels = head.num_classes, stem.shape[1]
    halves = {"preset": "V1", "mean": HALF, "std": HALF}
    fits = in_channels == 3
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "bn_eps": Decision(EPS, "default", "of keras.applications"),
        **head.decisions,
        "preprocess": Decision(halves if fits else None, "default", "pixels in -1..1, of keras.applications"),
        "labels": Decision("imagenet" if fits and classes == 1000 else None, "default"),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    sizes = {"stem_channels": stem.shape[0], "widths": widths, "file_head": head}
    return Reading({"arch": name, **decisions}, sizes)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    layers, eps = options["layers"], options.get("bn_eps", EPS)
    channels, widths = options.get("stem_channels", 64), options.get("widths", {})
    x = builder.conv("conv1_conv", INPUT, channels, Window.of(7, stride=2, padding=3), bias=zeros)
    x = builder.max_pool("pool1_pool", builder.pad("pool1_pad", x, (1, 1, 1, 1)), Window.of(3, stride=2))
    for i, stage in enumerate(block_names(layers)):
        planes = channels * 2**i
        for name in stage:
            strides = name == stage[-1] and i + 1 < len(layers)
            x = _block(builder, name, x, widths.get(name, (planes, planes, 4 * planes)), eps, strides=strides)
    x = builder.relu("post_relu", builder.batch_norm("post_bn", x, eps=eps))
    head = options.get("file_head") or one_linear("predictions", options.get("num_classes", 1000))
    return pool_and_classify(
        builder, x, head, global_pool=options.get("global_pool"), head_activation=options.get("head_activation")
    )


def block_names(layers: list[int]) -> list[list[str]]:
    """The names of each stage's blocks."""
    return [[f"conv{i + 2}_block{j + 1}" for j in range(depth)] for i, depth in enumerate(layers)]


def _block(builder: Builder, name: str, x: str, widths: tuple[int, ...], eps: float, *, strides: bool) -> str:
    y = builder.relu(f"{name}_preact_relu", builder.batch_norm(f"{name}_preact_bn", x, eps=eps))
    if name.endswith("_block1"):
        shortcut = builder.conv(f"{name}_0_conv", y, widths[2], SECOND if strides else POINT, bias=zeros)
    else:
        shortcut = builder.max_pool(f"{name}_pool", x, SECOND) if strides else x
    y = builder.conv(f"{name}_1_conv", y, widths[0], POINT)
    y = builder.relu(f"{name}_1_relu", builder.batch_norm(f"{name}_1_bn", y, eps=eps))
    y = builder.conv(f"{name}_2_conv", y, widths[1], Window.of(3, stride=2 if strides else 1, padding=1))
    y = builder.relu(f"{name}_2_relu", builder.batch_norm(f"{name}_2_bn", y, eps=eps))
    y = builder.conv(f"{name}_3_conv", y, widths[2], POINT, bias=zeros)
    return builder.add(f"{name}_out", y, shortcut)


def _read_layers(tensors: Tensors) -> list[int]:
    """The number of blocks in each stage, both numbered without gaps."""
    layers = []
    for number in range(2, 10):
        prefix, end = f"conv{number}_block", "_1_conv.weight"
        found = {name[len(prefix) : -len(end)] for name in tensors if name.startswith(prefix) and name.endswith(end)}
        if not found:
            break
        missing = [f"{prefix}{j}" for j in range(1, len(found) + 1) if str(j) not in found]
        if missing:
            raise ArchitectureError(
                f"blocks {prefix}1, {prefix}2, ... must be numbered without gaps, but {shorten(missing)} is missing. "
                f"Was the file saved in part?"
            )
        layers.append(len(found))
    return layers


def _width(tensors: Tensors, block: str, number: int) -> int:
    """The out_channels of a convolution, from its filters, and its norm's vectors or its bias."""
    conv = f"{block}_{number}_conv"
    lengths: list[Any] = [tensors.length(f"{conv}.weight", 0, ndim=4), tensors.length(f"{conv}.bias", 0, ndim=1)]
    roles = ("weight", "bias", "running_mean", "running_var")
    lengths += [tensors.length(f"{block}_{number}_bn.{role}", 0, ndim=1) for role in roles]
    return agreed(lengths) or tensors.peek(f"{conv}.weight", CONV_AXES).shape[0]
