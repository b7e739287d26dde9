"""The hand-written ResNets of many tutorials: torchvision's shapes, but the projections are called `shortcut`.

Recognised by a 7x7 `conv1` and `layerI.J.shortcut.0/1`. Their Bottlenecks follow the paper's first version, with the
stride on the first 1x1 convolution, torchvision's on the 3x3; the parameters are the same, so this is a convention that
`stride_on="3x3"` overrides. Otherwise blocks and names of architectures are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families.torchvision import ANY, ARCHS, large_stem, named
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import OPTIONS, Layout
from npresnet.arch.residual.reading import has_projections, is_bottleneck, read_residual
from npresnet.arch.residual.stem import stem_side
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "handwritten"
PROJECTION = "shortcut"
ON_FIRST = "most nets that call their projections shortcut stride on the first 1x1"


def signature(tensors: Tensors) -> bool:
    return stem_side(tensors) not in (None, 3) and has_projections(tensors, PROJECTION)


def read(tensors: Tensors) -> Reading:
    stride_on = Decision("1x1", "default", ON_FIRST, ("stride_on='3x3'",))
    known = {"stride_on": stride_on, **large_stem(tensors)} if is_bottleneck(tensors) else large_stem(tensors)
    decisions, sizes = read_residual(tensors, Decision(NAME, "inferred"), labels=(1000, "imagenet"), **known)
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, sizes)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    return build_residual(builder, Layout.of({"projection": PROJECTION, **options}))
