"""An option that a network takes has an effect on it: whatever has none is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import FAMILIES
from npresnet.arch.family import Family, assemble
from npresnet.arch.initialiser import Initialiser
from npresnet.errors import ArchitectureError
from npresnet.network import Network

OUTSIDE = {"bgr", "scores", "frames", "head"}  # about images, probabilities, and which tensors are taken
VALUES: dict[str, list[Any]] = {  # of each, at least one that is nobody's default
    "activation": ["silu", "relu", "gelu"],
    "alpha": [0.5],
    "antialias": ["blur", "avg", "none"],
    "avd": ["first", "last", "none"],
    "avg_down": [True, False],
    "bn_eps": [0.25],
    "body": ["conv4", "conv5"],
    "conv1_t_stride": [1, 2],
    "cross_linear": [True, False],
    "gamma_in_activation": [True, False],
    "gate_gain": [0.5],
    "global_pool": ["max", "avgmax"],
    "head_activation": ["silu"],
    "last_stride": [1, 2],
    "max_pool": [True, False, [3, 2, 0, True]],
    "norm_groups": [4],
    "output_stride": [8, 16],
    "pool_border": ["zeros", "none"],
    "preactivation": ["shared", "branch", "first"],
    "replace_stride_with_dilation": [[False, False, True], [True, True]],
    "same_padding": [True, False],
    "shortcut": ["A", "A-end", "A-pool", "none"],
    "stage_strides": [[1, 1, 1, 1], [2, 2, 2, 2]],
    "stem": [[[7, 1, 3]], [[3, 2, 1]], [[3, 1, 1], [3, 1, 1], [3, 1, 1]]],
    "stem_pool": ["none", "max", "avg2"],
    "stem_stride": [1, 2],
    "stride_on": ["1x1", "3x3", "conv1", "conv2"],
    "time_stride_on": [True, False],
    "weight_eps": [0.25],
    "weight_standardisation": [True, False],
}


class Ones(Initialiser):
    """Every filter is one number, repeated."""

    def _random(self, kind, scale, shape):
        return np.broadcast_to(np.float32(1), shape)


def names() -> list[tuple[Family, str]]:
    """A family's first name, and those of 18 and 50 layers."""
    found = []
    for family in FAMILIES:
        listed = list(family.ARCHS)
        chosen = [listed[:1], *([name for name in listed if depth in name][:1] for depth in ("18", "50"))]
        found += [(family, name) for name in dict.fromkeys(name for some in chosen for name in some)]
    return found


def shape_of(network: Network) -> list[Any]:
    """All that options change; of weights, only vectors and the first filter: the others are alike."""
    return [
        (
            node.name,
            node.op,
            node.inputs,
            node.window,
            node.groups,
            node.activation,
            repr(sorted(node.attrs.items(), key=str)),
            [(role, array.shape, array.flat[0] if array.size else 0) for role, array in node.params.items()],
        )
        for node in network
    ]


@pytest.mark.parametrize(("family", "name"), names(), ids=lambda value: value if isinstance(value, str) else "")
def test_no_option_is_taken_without_effect(family, name):
    source = Ones(seed=0)
    assemble(family, source, {"in_channels": 3, "num_classes": 8, **(family.named(name) or {})})
    network, config = arch.build(source.tensors, arch=name)
    usual, idle, tried = shape_of(network), [], 0
    for option in family.OPTIONS.keys() - OUTSIDE:
        if family.OPTIONS[option].role != "free":
            continue
        for value in VALUES[option]:
            if option in config and config.value(option) == value:
                continue
            tried += 1
            try:
                other, _ = arch.build(source.tensors, arch=name, options={option: value})
            except ArchitectureError:
                continue
            if shape_of(other) == usual:
                idle.append((option, value))
    assert tried or not family.OPTIONS
    assert idle == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("resnest50d", {"stride_on": "1x1"}, "not supported for networks of the family resnest"),
        ("clip_rn50", {"global_pool": "max"}, "not supported for networks of the family clip"),
        ("resnet18d", {"avd": "first"}, "option avd='first', given by the caller, would change nothing"),
        ("resnetv2_50", {"norm_groups": 8}, "option norm_groups=8, given by the caller, would change nothing"),
        ("legacy_seresnet18", {"stride_on": "1x1"}, "would change nothing in this network; leave it out"),
    ],
)
def test_the_words_of_a_refusal(name, options, words):
    family = next(family for family in FAMILIES if name in family.ARCHS)
    source = Ones(seed=0)
    assemble(family, source, {"in_channels": 3, "num_classes": 8, **(family.named(name) or {})})
    with pytest.raises(ArchitectureError, match=words.replace("(", r"\(")):
        arch.build(source.tensors, arch=name, options=options)
