"""torchvision's ResNets, ResNeXts and Wide ResNets, timm's plain ones, and any network with their keys.

Recognised by a `conv1` that is not 3x3 and blocks `layerI.J` whose projection is called `downsample`, without any of
the parts by which `timm` is recognised. Depth, type of block, groups and widths are read from keys and shapes, so any
of them may differ from the ten published networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.families import timm
from npresnet.arch.families.timm import is_plain, options_of, unusual_stem
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import OPTIONS, Layout
from npresnet.arch.residual.reading import has_projections, read_residual
from npresnet.arch.residual.stem import stem_side
from npresnet.arch.source import COUNTER
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = [
    "ANY",
    "ARCHS",
    "NAME",
    "OPTIONS",
    "adjusted",
    "build",
    "large_stem",
    "name_of",
    "named",
    "read",
    "signature",
]

NAME = "torchvision"
ANY = "resnet"  # the name of networks without a specific one
PLAIN = "nets with a blur or an average pool before strides have the same tensors (timm's resnetblur, resnetaa)"
SMALL_DATA = "with 10 or 100 classes also nets for small images have this stem"
FROM_CAFFE = "tensors without num_batches_tracked: torchvision's first files, and nets converted from Caffe"
CAFFE_POOL = "max_pool=[3, 2, 0, true]"


def _net(block: str, layers: list[int], groups: int = 1, width_per_group: int = 64) -> Options:
    sizes = {"groups": groups, "width_per_group": width_per_group}
    return {"block": block, "layers": layers, **sizes, "stem_kernel": 7, "antialias": "none"}


ARCHS: Mapping[str, Options] = {
    "resnet18": _net("BasicBlock", [2, 2, 2, 2]),
    "resnet34": _net("BasicBlock", [3, 4, 6, 3]),
    "resnet50": _net("Bottleneck", [3, 4, 6, 3]),
    "resnet101": _net("Bottleneck", [3, 4, 23, 3]),
    "resnet152": _net("Bottleneck", [3, 8, 36, 3]),
    "resnext50_32x4d": _net("Bottleneck", [3, 4, 6, 3], 32, 4),
    "resnext101_32x8d": _net("Bottleneck", [3, 4, 23, 3], 32, 8),
    "resnext101_64x4d": _net("Bottleneck", [3, 4, 23, 3], 64, 4),
    "wide_resnet50_2": _net("Bottleneck", [3, 4, 6, 3], 1, 128),
    "wide_resnet101_2": _net("Bottleneck", [3, 4, 23, 3], 1, 128),
    # other depths, which torchvision does not publish
    "resnet10": _net("BasicBlock", [1, 1, 1, 1]),
    "resnet14": _net("Bottleneck", [1, 1, 1, 1]),
    "resnet26": _net("Bottleneck", [2, 2, 2, 2]),
    "resnet200": _net("Bottleneck", [3, 24, 36, 3]),
    # timm's with the same tensors; the last ones are told by their names alone
    "resnext101_32x4d": _net("Bottleneck", [3, 4, 23, 3], 32, 4),
    "resnext101_32x16d": _net("Bottleneck", [3, 4, 23, 3], 32, 16),
    "resnext101_32x32d": _net("Bottleneck", [3, 4, 23, 3], 32, 32),
    "resnetaa50": {**_net("Bottleneck", [3, 4, 6, 3]), "antialias": "avg"},
    "resnetblur18": {**_net("BasicBlock", [2, 2, 2, 2]), "antialias": "blur"},
    "resnetblur50": {**_net("Bottleneck", [3, 4, 6, 3]), "antialias": "blur"},
}


def named(name: str) -> Options | None:
    """The listed names, others of timm's grammar with these tensors, and "resnet" for any network."""
    if name == ANY:
        return {}
    options = ARCHS.get(name) or options_of(name)
    return options if options is None or name in ARCHS or is_plain(options) else None


def signature(tensors: Tensors) -> bool:
    large = stem_side(tensors) not in (None, 3)
    return large and not has_projections(tensors, "shortcut") and not timm.signature(tensors)


def read(tensors: Tensors) -> Reading:
    family, antialias = Decision(NAME, "inferred"), Decision("none", "default", PLAIN)
    usual = {"antialias": antialias, **large_stem(tensors)}
    decisions, sizes = read_residual(tensors, family, labels=(1000, "imagenet"), **usual)
    if stem_side(tensors) == 7:
        decisions.update(_doubts(tensors, decisions))
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def _doubts(tensors: Tensors, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """What is not torchvision's in some networks with exactly its tensors, and with a sign that it may be so here.

    Networks for small images have their number of classes. Those converted from Caffe stride on the first convolution
    of a Bottleneck and have a max pool without padding that rounds up; nothing counted their batches.
    """
    if decisions["num_classes"].value in (10, 100):
        return {
            "stem_stride": Decision(2, "default", SMALL_DATA, ("stem_stride=1",)),
            "max_pool": Decision(True, "default", SMALL_DATA, ("max_pool=False",)),
        }
    if decisions["block"].value == "Bottleneck" and not tensors.has(rf"\.{COUNTER}$"):
        return {
            "stride_on": decisions["stride_on"]._replace(note=FROM_CAFFE, alternatives=("stride_on='1x1'",)),
            "max_pool": Decision(True, "default", FROM_CAFFE, (CAFFE_POOL,)),
        }
    return {}


def adjusted(decisions: dict[str, Decision], given: Mapping[str, Any]) -> dict[str, Decision]:
    """With the stride on the first convolution, these are a network from Caffe, whose max pools are of two kinds."""
    undecided = "max_pool" not in given and decisions["max_pool"].origin == "default"
    if given.get("stride_on") == "1x1" and undecided and decisions["stem_stride"].value == 2:
        return {**decisions, "max_pool": Decision(True, "default", FROM_CAFFE, (CAFFE_POOL,))}
    return decisions


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    return build_residual(builder, Layout.of(options))


def large_stem(tensors: Tensors) -> dict[str, Decision]:
    """A 7x7 stem has stride 2 and is followed by a max pool; for other sizes the keys do not determine it."""
    side = stem_side(tensors)
    return {} if side == 7 else unusual_stem(side or 0)
