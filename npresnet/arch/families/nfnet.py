"""Networks without normalisation of timm: NF-ResNet, NF-RegNet, NFNet.

    stem -> stages of blocks -> (final_conv) -> activation -> global average pool -> linear

    block   a = beta * act(x)
            x' = (pool and project a, or x) + alpha * skipinit_gain * branch(a)
            branch: conv1 1x1, act, conv2 3x3 in groups, act, (conv2b 3x3, act), conv3 1x1; a gate before its last act
            (`attn`, NF-RegNet) or after conv3 (`attn_last`), times 2

Filters are standardised and scaled by a gain, see `arch.standardised`. beta = 1 / sqrt(expected variance of x), which
is 1 before the first block, and grows by alpha^2 with each block after it is set to 1 by the first one of a stage. An
activation is multiplied by gamma, which makes its variance 1 for a normal input. beta and gamma are multiplied into the
filters that read the activation, so that nodes of activations hold the plain function's values.

(Brock et al. 2021, Characterizing signal propagation to close the performance gap in unnormalized ResNets, section 3;
High-Performance Large-Scale Image Recognition Without Normalization, section 4 and appendix. Names are timm's.)

What tensors do not tell: the activation, alpha 0.2, the gate's factor 2, the padding. A `skipinit_gain` is found in
DeepMind's networks only: GELU, TensorFlow's SAME padding. Otherwise see `_activation`.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families.nfnet_archs import ARCHS, GAMMA
from npresnet.arch.family import Options, Reading
from npresnet.arch.head import build as heads
from npresnet.arch.head.named import Names
from npresnet.arch.options import Option, flag, is_list_of, is_positive, is_whole, one_of
from npresnet.arch.tensors import Tensors

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "named", "read", "signature"]

NAME = "nfnet"
ANY = "nfnet"
HEAD = Names("head.global_pool", "head.global_pool.flatten", "head.fc")
EPS = 1e-5  # of a filter's standard deviation

_WHOLE_NUMBERS = Option(is_list_of(is_whole), "a list of whole numbers, one for each stage", "topology")
OPTIONS: Mapping[str, Option] = {
    "layers": _WHOLE_NUMBERS,
    "channels": _WHOLE_NUMBERS,
    "stem_type": one_of("3x3", "7x7", "deep", role="topology"),
    "attention": one_of("none", "se", "eca", role="topology"),
    "skipinit": flag("topology"),
    "activation": one_of(*GAMMA, role="free"),  # of which gamma is known
    "gamma_in_activation": flag("free"),
    "same_padding": flag("free"),
    "alpha": Option(is_positive, "a positive number", "free"),
    **heads.OPTIONS,
    "gate_gain": Option(is_positive, "a positive number", "free"),
}


def named(name: str) -> Options | None:
    """The listed names, and "nfnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return "stages.0.0.conv1.gain" in tensors


DEEPMIND = "a skipinit_gain is found in DeepMind's networks only"


def read(tensors: Tensors) -> Reading:
    from npresnet.arch.families import nfnet_reading  # imported on access: other networks load without it

    return nfnet_reading.read(tensors)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    from npresnet.arch.families import nfnet_network

    return nfnet_network.build(builder, options)
