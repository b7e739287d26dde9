"""Pre-activation and Wide ResNets for small images: in each block a norm and an activation precede each convolution.

    stem 3x3 -> stages of blocks -> (norm, activation) -> global average pool -> linear

    block   x' = branch(a) + shortcut       a = act(norm1(x)),  branch: conv1, norm2, act, conv2, (norm3, act, conv3)

(He et al. 2016, Identity Mappings in Deep Residual Networks; Zagoruyko and Komodakis 2016, Wide Residual Networks.)
Conventions of names, which also tell what a projection reads, and conv1 of a block that has one (`preactivation`):

    layer      layerI.J.{bn1,conv1,bn2,conv2,..}   shortcut.0: a for both (pytorch-cifar), or x for the projection
                                                   (RobustBench); downsample.0: x for the projection (bearpaw);
                                                   biases and a final bn1: x, and the stride is on conv2 (meliketoy)
    block      blockI.layer.J.{.., convShortcut}   a for both (xternalz, TRADES); in nets for semi-supervised learning
                                                   from the second stage on x for both (kekmodel's FixMatch)
    deepmind   layer.I.block.J.{batchnorm_0, ..}   a for both; zeros only at the right and bottom where strided
    residual   stageI.J.{residual.0, .., shortcut} x for the projection; a norm after the stem (weiaicunzai)
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families.preact_names import ARCHS, CONVENTIONS, convention_of
from npresnet.arch.family import Options, Reading
from npresnet.arch.head import build as heads
from npresnet.arch.options import Option, count, is_list_of, is_whole, one_of
from npresnet.arch.residual.options import ACTIVATIONS, is_activation, is_eps
from npresnet.arch.residual.stem import is_pool
from npresnet.arch.tensors import Tensors

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "preact"
ANY = "preact_resnet"
LEAKY = ["leaky_relu", 0.1]
FIXMATCH = "activation=['leaky_relu', 0.1] and preactivation='first'"

OPTIONS: Mapping[str, Option] = {
    "names": one_of(*CONVENTIONS, role="topology"),
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "width_factor": count("size"),
    "preactivation": one_of("shared", "branch", "first", role="free"),
    "stride_on": one_of("conv1", "conv2", role="free"),
    "activation": Option(is_activation, f"one of {', '.join(ACTIVATIONS)}, or ['leaky_relu', slope]", "free"),
    "stem_stride": Option(lambda value: is_whole(value) and value in (1, 2), "1 or 2", "free"),
    "max_pool": Option(is_pool, "True, False, or [kernel_size, stride, padding, ceil_mode]", "free"),
    **heads.OPTIONS,
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def named(name: str) -> Options | None:
    """The listed names, and "preact_resnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return convention_of(tensors) is not None


SUB_BLOCK = "a second block1, which the network of TRADES has and does not run"


def read(tensors: Tensors) -> Reading:
    from npresnet.arch.families import preact_reading  # imported on access: other networks load without it

    return preact_reading.read(tensors)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    from npresnet.arch.families import preact_network

    return preact_network.build(builder, options)
