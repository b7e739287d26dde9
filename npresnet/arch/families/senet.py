"""SENet-154, SE-ResNet and SE-ResNeXt as in their authors' Caffe networks: timm's `legacy_` ones, and Cadene's.

    layer0 -> max pool (3x3, stride 2, no padding, sizes rounded up) -> layer1 .. layer4 -> average pool -> last_linear

    SEResNetBlock         relu(gate(relu(bn2(conv2 3x3 (relu(bn1(conv1 3x3 (x)))))))  + shortcut)
    SEResNetBottleneck    relu(gate(bn3(conv3 1x1 (..conv2 3x3 (..conv1 1x1 (x)))))   + shortcut)    stride on conv1
    SEResNeXtBottleneck   the same with groups                                                       stride on conv2
    SEBottleneck          the same with groups, and twice as many channels out of conv2 as out of conv1

Recognised by `layer0` and `se_module`. The four kinds of blocks differ in their tensors, and so tell where the stride
is: only networks with the stride on the 3x3 have groups. (Hu et al. 2018, Squeeze-and-Excitation Networks.)
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading
from npresnet.arch.head import build as heads
from npresnet.arch.head.named import Names
from npresnet.arch.options import Option, count, is_list_of, is_whole, one_of
from npresnet.arch.residual.attention import Attention
from npresnet.arch.residual.options import is_eps
from npresnet.arch.tensors import Tensors
from npresnet.window import Window

NAME = "senet"
ANY = "senet"
GATE = Attention("se", "se_module")
HEAD = Names("global_pool", "global_pool.flatten", "last_linear")
BLOCKS = ("SEResNetBlock", "SEResNetBottleneck", "SEResNeXtBottleneck", "SEBottleneck")
STRIDE_ON = {"SEResNetBottleneck": "1x1", "SEResNeXtBottleneck": "3x3", "SEBottleneck": "3x3"}
POOL = Window.of(3, stride=2)

OPTIONS: Mapping[str, Option] = {
    "block": one_of(*BLOCKS, role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "groups": count("size"),
    "stride_on": one_of("1x1", "3x3", role="free"),
    **heads.OPTIONS,
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def _net(block: str, layers: list[int], groups: int = 1) -> Options:
    return {"block": block, "layers": layers, "groups": groups}


ARCHS: Mapping[str, Options] = {
    "legacy_senet154": _net("SEBottleneck", [3, 8, 36, 3], 64),
    "legacy_seresnet18": _net("SEResNetBlock", [2, 2, 2, 2]),
    "legacy_seresnet34": _net("SEResNetBlock", [3, 4, 6, 3]),
    "legacy_seresnet50": _net("SEResNetBottleneck", [3, 4, 6, 3]),
    "legacy_seresnet101": _net("SEResNetBottleneck", [3, 4, 23, 3]),
    "legacy_seresnet152": _net("SEResNetBottleneck", [3, 8, 36, 3]),
    "legacy_seresnext26_32x4d": _net("SEResNeXtBottleneck", [2, 2, 2, 2], 32),
    "legacy_seresnext50_32x4d": _net("SEResNeXtBottleneck", [3, 4, 6, 3], 32),
    "legacy_seresnext101_32x4d": _net("SEResNeXtBottleneck", [3, 4, 23, 3], 32),
}
BICUBIC = ("legacy_seresnet18", "legacy_seresnext26_32x4d")


def named(name: str) -> Options | None:
    """The listed names; those of pretrained-models (se_resnet50, ...); and "senet" for any network."""
    if name == ANY:
        return {}
    short = name.replace("se_res", "seres")
    return ARCHS.get(name) or (ARCHS.get(f"legacy_{short}") if short != name else None)


def signature(tensors: Tensors) -> bool:
    return "layer0.conv1.weight" in tensors and tensors.has(r"^layer1\.[0-9]+\.se_module\.fc1\.weight$")


def read(tensors: Tensors) -> Reading:
    from npresnet.arch.families import senet_reading  # imported on access: other networks load without it

    return senet_reading.read(tensors)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    from npresnet.arch.families import senet_network

    return senet_network.build(builder, options)
