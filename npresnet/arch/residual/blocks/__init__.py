"""Kinds of blocks beside BasicBlock and Bottleneck: one file each, with the branch that a block adds to its shortcut.

selective         selective kernels (SK): paths of several dilations, and a softmax over them
split_attention   ResNeSt: channels in `radix` splits, and a softmax over them; an average pool that strides
res2              Res2Net: a 3x3 convolution for each part of the channels, each reads the part before it as well
mixed_norm        IBN: InstanceNorm on half of the channels, or after the addition
configured        timm's blocks made from a configuration (byobnet)

A family gives the branches of its blocks to `build.build_residual`.
"""

from __future__ import annotations

from npresnet.arch.tensors import Tensors

# A network of torchvision's names with one of these has blocks or an end of its own kind, and a family of its own.
SELECTIVE = ("layer1.0.conv1.paths.0.conv.weight", "layer1.0.conv2.paths.0.conv.weight")
SPLIT_ATTENTION = "layer1.0.conv2.fc1.weight"
RES2 = "layer1.0.convs.0.weight"
IBN_A = "layer1.0.bn1.IN.weight"
FACE = "layer1.0.prelu.weight"
CLIP = "attnpool.positional_embedding"
MARKS = (*SELECTIVE, SPLIT_ATTENTION, RES2, IBN_A, FACE, CLIP)


# Networks in names of their own
CONFIGURED = ("stages.0.0.conv1_1x1.conv.weight", "stages.0.0.conv1_kxk.conv.weight")
CSP = "stages.0.conv_exp.conv.weight"


def are_special(tensors: Tensors) -> bool:
    """Whether a network in torchvision's names has blocks or an end of its own kind."""
    return any(mark in tensors for mark in MARKS) or are_ibn(tensors)


def are_ibn(tensors: Tensors) -> bool:
    """IBN-a; or IBN-b: InstanceNorm after some blocks' addition, and in the stem, whose norm has no statistics."""
    if IBN_A in tensors:
        return True
    alone = "bn1.weight" in tensors and "bn1.running_mean" not in tensors
    return alone and tensors.has(r"^layer[0-9]+\.[0-9]+\.IN\.weight$")
