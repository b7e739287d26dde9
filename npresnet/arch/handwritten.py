"""The hand-written ResNets of many tutorials: torchvision's shapes, but the projections are called `shortcut`.

Recognised by a 7x7 `conv1` and `layerI.J.shortcut.0/1`. Their Bottlenecks follow the paper's first version and stride
on the first 1x1 convolution, where torchvision's stride on the 3x3; the parameters are the same, so this is a
convention that `stride_on="3x3"` overrules. What their blocks are made of is the same otherwise.
"""

from __future__ import annotations

from npresnet.arch.outline import Outline, has_projections, labels_for, read_outline, stem_kernel
from npresnet.arch.tensors import Tensors
from npresnet.arch.torchvision import large_stem
from npresnet.config import Decision

FAMILY = "handwritten"
ON_FIRST = "nets that call their projections shortcut stride on the first 1x1; stride_on='3x3' says otherwise"


def matches(tensors: Tensors) -> bool:
    return stem_kernel(tensors) > 3 and has_projections(tensors, "shortcut")


def outline(tensors: Tensors) -> Outline:
    return read_outline(
        tensors,
        projection="shortcut",
        family=Decision(FAMILY, "inferred"),
        stride_on=Decision("1x1", "inferred", ON_FIRST),
        labels=labels_for(tensors, 1000, "imagenet"),
        **large_stem(tensors),
    )
