"""torchvision's ResNets, ResNeXts and Wide ResNets, timm's plain ones, and any network with their keys.

Recognised by a `conv1` that is not 3x3 and blocks `layerI.J` whose projection is called `downsample`. Depth, type of
block, groups and widths are read from keys and shapes, so any of them may differ from the ten published networks.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.layout import OPTIONS, Layout
from npresnet.arch.reading import has_projections, read_residual, stem_side
from npresnet.arch.residual import build_residual
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ANY", "ARCHS", "NAME", "OPTIONS", "build", "large_stem", "named", "read", "signature"]

NAME = "torchvision"
ANY = "resnet"  # the name of networks without a specific one
PLAIN = "timm's blur-pool and anti-aliased variants have the same keys; this is the plain net"


def _net(block: str, layers: list[int], groups: int = 1, width_per_group: int = 64) -> Options:
    sizes = {"groups": groups, "width_per_group": width_per_group}
    return {"block": block, "layers": layers, **sizes, "stem_kernel": 7}


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
}


def named(name: str) -> Options | None:
    """The listed names, and "resnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return stem_side(tensors) not in (None, 3) and not has_projections(tensors, "shortcut")


def read(tensors: Tensors) -> Reading:
    family = Decision(NAME, "inferred", PLAIN)
    decisions, sizes = read_residual(tensors, family, labels=(1000, "imagenet"), **large_stem(tensors))
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, sizes)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    return build_residual(builder, Layout.of(options))


def large_stem(tensors: Tensors) -> dict[str, Decision]:
    """A 7x7 stem has stride 2 and is followed by a max pool; for other sizes the keys do not determine it."""
    side = stem_side(tensors)
    if side == 7:
        return {}
    unknown = Decision(None, "default", f"a {side}x{side} stem is unusual")
    return {"stem_stride": unknown, "max_pool": unknown}
