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

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading
from npresnet.arch.head import build as heads
from npresnet.arch.head.named import Names
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole, one_of
from npresnet.arch.residual.options import is_eps
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

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
    "weight_eps": Option(is_eps, "a number from 0 on", "free", always=True),
    "pool_border": one_of("zeros", "none", role="free"),
    "avg_down": flag("free"),
    "norm_groups": count("free"),
    **heads.OPTIONS,
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


def named(name: str) -> Options | None:
    """The listed names, and "resnetv2" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    has_stem = "stem.conv.weight" in tensors or "stem.conv1.weight" in tensors
    return has_stem and FIRST in tensors and "norm.weight" in tensors


def read(tensors: Tensors) -> Reading:
    from npresnet.arch.families import resnetv2_reading  # imported on access: other networks load without it

    return resnetv2_reading.read(tensors)


def adjusted(decisions: dict[str, Decision], given: Mapping[str, Any]) -> dict[str, Decision]:
    """Without weight standardisation, no eps of it. Raises ArchitectureError where one was given."""
    if decisions["weight_standardisation"].value:
        return decisions
    if "weight_eps" in given:
        raise ArchitectureError("weight_eps is about weight standardisation, which this network does not have")
    return {name: decision for name, decision in decisions.items() if name != "weight_eps"}


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    from npresnet.arch.families import resnetv2_network

    return resnetv2_network.build(builder, options)
