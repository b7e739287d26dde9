"""Res2Net and Res2NeXt: a hierarchy of 3x3 convolutions in each Bottleneck, in its authors' names, also timm's.

Recognised by `layer1.0.convs.0`. The number of parts (scale) and the groups follow from shapes. The networks called v1b
or d have deep stems, and shortcuts with an average pool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families import timm
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count
from npresnet.arch.residual.blocks import RES2, res2
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import Layout
from npresnet.arch.residual.options import without
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "res2net"
ANY = "res2net"  # the name of networks without a specific one
OPTIONS: Mapping[str, Option] = {**without("stride_on"), "scale": count("topology")}
GRAMMAR = re.compile(
    r"res2(?P<next>net|next)(?P<depth>[0-9]+)(?P<deep>d|_v1b|)(_(?P<width>[0-9]+)w_(?P<scale>[0-9]+)s)?"
)


def options_of(name: str) -> Options | None:
    """res2(net|next)<depth>(d|_v1b)(_<width>w_<scale>s); by default 26w_4s, of Res2NeXt 4w_4s with 8 groups."""
    found = GRAMMAR.fullmatch(name)
    if found is None or int(found["depth"]) not in timm.DEPTHS or int(found["depth"]) in timm.BASIC:
        return None
    grouped, deep = found["next"] == "next", bool(found["deep"])
    return {
        "block": "Bottleneck",
        "layers": timm.DEPTHS[int(found["depth"])],
        "groups": 8 if grouped else 1,
        "width_per_group": int(found["width"] or (4 if grouped else 26)),
        "scale": int(found["scale"] or 4),
        "stem_kernel": 3 if deep else 7,
        "stem_widths": [32, 32, 64] if deep else [],
        "downsample": "avg" if deep else "conv",
        "extra": {"planes": 64},
    }


_NAMES = (
    "res2net50_26w_4s res2net101_26w_4s res2net50_26w_6s res2net50_26w_8s res2net50_48w_2s res2net50_14w_8s res2next50 "
    "res2net50d res2net101d"
)
ARCHS: Mapping[str, Options] = {name: options for name in _NAMES.split() if (options := options_of(name)) is not None}


def named(name: str) -> Options | None:
    """The listed names, others of the same grammar, and "res2net" for any network."""
    return {} if name == ANY else options_of(name)


def signature(tensors: Tensors) -> bool:
    return RES2 in tensors


def read(tensors: Tensors) -> Reading:
    scale, groups = res2.read_scale(tensors)
    decisions, sizes = timm.read_own_blocks(tensors, NAME, res2.NAMES, groups, scale=Decision(scale, "inferred"))
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    extra = {**options.get("extra", {}), "scale": options["scale"]}
    return build_residual(builder, Layout.of({**options, "extra": extra}), res2.BRANCHES)
