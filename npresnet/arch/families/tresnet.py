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

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading
from npresnet.arch.head import build as heads
from npresnet.arch.head.named import Names
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole
from npresnet.arch.residual.options import is_eps
from npresnet.arch.tensors import Tensors

NAME = "tresnet"
ANY = "tresnet"
SIDE = 4  # of the stem's squares of pixels
HEAD = Names("head.global_pool", "head.global_pool.flatten", "head.fc")
PREPROCESS = {"resize": 256, "crop": 224, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}

OPTIONS: Mapping[str, Option] = {
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "v2": flag("topology"),
    "channels": count("size"),
    **heads.OPTIONS,
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


def named(name: str) -> Options | None:
    """The listed names, and "tresnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return "body.conv1.conv.weight" in tensors and "body.layer1.0.conv1.conv.weight" in tensors


def read(tensors: Tensors) -> Reading:
    from npresnet.arch.families import tresnet_reading  # imported on access: other networks load without it

    return tresnet_reading.read(tensors)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    from npresnet.arch.families import tresnet_network

    return tresnet_network.build(builder, options)
