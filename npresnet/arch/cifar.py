"""ResNets for small images (CIFAR): a 3x3 stem of stride 1 and no max pool.

Three customs, told apart by what a block's projection is called:

    none        option A of He et al., section 4.2: strided identity between zero channels (depth 6n+2, `linear`)
    downsample  option B with torchvision's names, also torchvision's own nets with another conv1
    shortcut    option B, 64 channels, four stages, `linear`; its 4x4 average pool is a global one on 32x32 images
"""

from __future__ import annotations

from npresnet.arch.layout import read_block
from npresnet.arch.outline import Outline, has_projections, labels_for, read_outline, stem_kernel
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

FAMILY = "cifar"
SMALL_STEM = "usual after a 3x3 stem"
OTHER_MEANS = "some nets for CIFAR were trained with another mean and std"
OPTION_A = "no projections: strided identity, channels of zeros on either side"


def matches(tensors: Tensors) -> bool:
    return stem_kernel(tensors) == 3


def outline(tensors: Tensors) -> Outline:
    has_shortcut, has_downsample = has_projections(tensors, "shortcut"), has_projections(tensors, "downsample")
    option_a = not has_shortcut and not has_downsample and read_block(tensors) == "BasicBlock"
    return read_outline(
        tensors,
        projection="shortcut" if has_shortcut else "downsample",
        family=Decision(FAMILY, "inferred"),
        **({"shortcut": Decision("A", "inferred", OPTION_A)} if option_a else {}),
        stem_stride=Decision(1, "default", SMALL_STEM),
        max_pool=Decision(False, "default", SMALL_STEM),
        preprocess=Decision("cifar10", "default", OTHER_MEANS),
        labels=labels_for(tensors, 10, "cifar10"),
    )
