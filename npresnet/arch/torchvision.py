"""torchvision's ResNets, ResNeXts and Wide ResNets, timm's plain ones, and any net with their keys.

Recognised by a `conv1` wider than 3x3 and blocks `layerI.J` whose projection is called `downsample`. Depth, kind of
block, groups and widths come from keys and shapes, so any of them may differ from the ten published nets.
"""

from __future__ import annotations

from npresnet.arch.outline import Outline, labels_for, read_outline, stem_kernel
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

FAMILY = "torchvision"
PLAIN = "timm's blur-pool and anti-aliased variants have the same keys; this is the plain net"


def matches(tensors: Tensors) -> bool:
    return stem_kernel(tensors) > 3


def outline(tensors: Tensors) -> Outline:
    return read_outline(
        tensors,
        projection="downsample",
        family=Decision(FAMILY, "inferred", PLAIN),
        labels=labels_for(tensors, 1000, "imagenet"),
        **large_stem(tensors),
    )


def large_stem(tensors: Tensors) -> dict[str, Decision]:
    """A 7x7 stem strides and is followed by a max pool; about any other size the keys say nothing."""
    side = stem_kernel(tensors)
    if side == 7:
        return {}
    unknown = Decision(None, "default", f"a {side}x{side} stem is unusual")
    return {"stem_stride": unknown, "max_pool": unknown}
