"""ResNeSt: split attention in Bottlenecks, deep stems, shortcuts with an average pool; the names are its authors'.

Recognised by `layer1.0.conv2.fc1`. Radix and cardinality follow from shapes. The average pool that strides (`avd`) does
not: it stands after the split attention in the networks of the paper (radix 2, cardinality 1), and before it in all
others, which the authors call fast. has the tensors of resnest50d, and is told by its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families import timm
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count
from npresnet.arch.residual.blocks import SPLIT_ATTENTION, split_attention
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import Layout
from npresnet.arch.residual.options import without
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "resnest"
ANY = "resnest"  # the name of networks without a specific one
OPTIONS: Mapping[str, Option] = {**without("stride_on"), "radix": count("topology"), "avd": timm.AVD}
AFTER = "usual for radix 2 and cardinality 1; has the pool first"
BEFORE = "usual for other radix or cardinality"
GRAMMAR = re.compile(r"resnest(?P<depth>[0-9]+)(?P<stem>[de]?)(_(?P<fast>fast_)?(?P<split>[0-9]s[0-9]x[0-9]+d))?")
WIDE = (101, 200, 269)  # a stem of 64, 64, 128 channels


def options_of(name: str) -> Options | None:
    """resnest<depth>(d|e)(_(fast_)<radix>s<cardinality>x<width>d): timm's names, and without d and e the authors'."""
    found = GRAMMAR.fullmatch(name)
    if found is None or int(found["depth"]) not in timm.DEPTHS or int(found["depth"]) in timm.BASIC:
        return None
    depth = int(found["depth"])
    radix, groups, width = map(int, re.findall("[0-9]+", found["split"] or "2s1x64d"))
    wide = found["stem"] == "e" or (not found["stem"] and depth in WIDE)
    return {
        "block": "Bottleneck",
        "layers": timm.DEPTHS[depth],
        "groups": groups,
        "width_per_group": width,
        "stem_kernel": 3,
        "stem_widths": [64, 64, 128] if wide else [32, 32, 64],
        "downsample": "avg",
        "radix": radix,
        "avd": "first" if found["fast"] else usual_avd(radix, groups),
        "extra": {"planes": 64},
    }


def usual_avd(radix: int, groups: int) -> str:
    return "last" if (radix, groups) == (2, 1) else "first"


_NAMES = (
    "resnest14d resnest26d resnest50d resnest101e resnest200e resnest269e resnest50d_4s2x40d resnest50d_1s4x24d "
    "resnest50_fast_1s1x64d resnest50_fast_4s1x64d resnest50_fast_1s2x40d "
    "resnest50_fast_2s2x40d"
)
ARCHS: Mapping[str, Options] = {name: options for name in _NAMES.split() if (options := options_of(name)) is not None}


def named(name: str) -> Options | None:
    """The listed names, others of the same grammar, and "resnest" for any network."""
    return {} if name == ANY else options_of(name)


def signature(tensors: Tensors) -> bool:
    return SPLIT_ATTENTION in tensors


def read(tensors: Tensors) -> Reading:
    radix, groups = split_attention.read_splits(tensors)
    avd = usual_avd(radix, groups)
    known = {
        "radix": Decision(radix, "inferred"),
        "avd": Decision(avd, "default", AFTER if avd == "last" else BEFORE),
    }
    decisions, sizes = timm.read_own_blocks(tensors, NAME, split_attention.NAMES, groups, **known)
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    extra = {**options.get("extra", {}), "radix": options["radix"], "avd": options["avd"]}
    return build_residual(builder, Layout.of({**options, "extra": extra}), split_attention.BRANCHES)
