"""iResNet, the body of insightface's face recognition (arcface_torch): an embedding of an aligned face.

    block    bn3(conv2 3x3 with the stride (prelu(bn2(conv1 3x3 (bn1(x))))))  + shortcut(x), no activation after it
    network  prelu(bn1(conv1 3x3 (x))), four stages that all stride, bn2, flatten, fc, features (BatchNorm of vectors)

Recognised by `layer1.0.prelu`. Source: Duta et al. 2020, Improved Residual Networks, section 3; Deng et al. 2019,
ArcFace, section 3.1; deepinsight/insightface, recognition/arcface_torch/backbones/iresnet.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count, is_list_of, is_whole
from npresnet.arch.residual.blocks import FACE
from npresnet.arch.residual.options import is_eps
from npresnet.arch.residual.reading import has_projections, read_layers, read_widths
from npresnet.arch.source import CONV_AXES, LINEAR_AXES
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "iresnet"
ANY = "iresnet"  # the name of networks without a specific one
NAMES = (("conv1", "bn2"), ("conv2", "bn3"))
CHANNELS = (64, 128, 256, 512)
OTHER_EPS = "copies of the code before 2022 have 2e-5"
FACES = "for faces aligned to 112 x 112, RGB"
OPTIONS: Mapping[str, Option] = {
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "embedding": count("topology"),
    "image_size": count("topology"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def _net(*layers: int) -> Options:
    return {"layers": list(layers), "embedding": 512, "image_size": 112}


ARCHS: Mapping[str, Options] = {
    "iresnet18": _net(2, 2, 2, 2),
    "iresnet34": _net(3, 4, 6, 3),
    "iresnet50": _net(3, 4, 14, 3),
    "iresnet100": _net(3, 13, 30, 3),
    "iresnet200": _net(6, 26, 60, 6),
}


def named(name: str) -> Options | None:
    """The listed names, and "iresnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return FACE in tensors and has_projections(tensors, "downsample")


def read(tensors: Tensors) -> Reading:
    layers = read_layers(tensors)
    stem = tensors.peek("conv1.weight", CONV_AXES).shape
    fc = tensors.peek("fc.weight", LINEAR_AXES).shape
    widths = read_widths(tensors, NAMES, layers)
    size = _image_size(fc[1], widths[f"layer{len(layers)}.0"][-1], 2 ** len(layers))
    face = {"resize": size, "crop": size, "mean": [0.5] * 3, "std": [0.5] * 3}
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(None, "inferred", "no classifier: an embedding"),
        "in_channels": Decision(stem[1], "inferred"),
        "embedding": Decision(fc[0], "inferred", "before normalisation"),
        "image_size": Decision(size, "inferred"),
        "bn_eps": Decision(1e-5, "default", OTHER_EPS),
        "preprocess": Decision(face if stem[1] == 3 else None, "default", FACES),
        "labels": Decision(None, "default"),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, {"widths": widths, "stem_channels": stem[0]})


def _image_size(features: int, channels: int, stride: int) -> int:
    """The side of the images, from the columns of fc: one for each channel and position of a square map."""
    side = math.isqrt(features // max(channels, 1))
    if side < 1 or side * side * channels != features:
        raise ArchitectureError(
            f"fc.weight has {features} columns, but should have one for each of the {channels} channels and the "
            f"positions of a square map, as in iResNets: 512 * 7 * 7 for faces of 112 x 112"
        )
    return side * stride


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    eps = options.get("bn_eps", 1e-5)
    x = builder.conv("conv1", INPUT, options.get("stem_channels", CHANNELS[0]), Window.of(3, padding=1))
    x = builder.prelu("prelu", builder.batch_norm("bn1", x, eps=eps))
    for i, depth in enumerate(options["layers"]):
        for j in range(depth):
            name = f"layer{i + 1}.{j}"
            widths = options.get("widths", {}).get(name) or (CHANNELS[min(i, 3)],) * 2
            x = _block(builder, name, x, widths, 1 if j else 2, eps)
    x = builder.batch_norm("bn2", x, eps=eps)
    side = options["image_size"] // 2 ** len(options["layers"])
    x = builder.operation("flatten", "flatten", [x], builder.channels[x] * side * side)
    x = builder.linear("fc", x, options["embedding"])
    return {"embedding": builder.batch_norm("features", x, eps=eps)}


def _block(builder: Builder, name: str, x: str, widths: tuple[int, ...], stride: int, eps: Any) -> str:
    window, (inside, width) = Window.of(3, padding=1), widths
    y = builder.batch_norm(f"{name}.bn1", x, eps=eps)
    y = builder.conv(f"{name}.conv1", y, inside, window)
    y = builder.prelu(f"{name}.prelu", builder.batch_norm(f"{name}.bn2", y, eps=eps))
    y = builder.conv(f"{name}.conv2", y, width, Window.of(3, stride=stride, padding=1))
    y = builder.batch_norm(f"{name}.bn3", y, eps=eps)
    if stride > 1 or builder.channels[x] != width:
        x = builder.conv(f"{name}.downsample.0", x, width, Window.of(1, stride=stride))
        x = builder.batch_norm(f"{name}.downsample.1", x, eps=eps)
    return builder.add(f"{name}.add", y, x)
