"""timm's ResNets with parts that torchvision's lack: deep stems, average-pooled shortcuts, attention, GroupNorm, ...

Recognised by torchvision's names of stages and blocks, and by any of these in the tensors: several convolutions in the
stem, a projection whose convolution is its second module, attention in a block, norms without running statistics. The
networks of other homes with these parts (GluonCV's ResNet-B, C, D; PaddleClas's vd) are built in the same way.

    c  deep stem of 32, 32, 64 channels       d  the same, and shortcuts with an average pool (ResNet-D)
    t  deep stem of 24, 32, 64 channels, d    s  deep stem of 64, 64, 128 channels
    aa, blur  strides after an average pool or a blur: not in the tensors, so told by the name or by `antialias`
    rs        d, SE with a quarter of the channels, and a convolution instead of the max pool (ResNet-RS)

(He et al., Bag of Tricks; Hu et al., SE; Wang et al., ECA; Zhang 2019; Bello et al., Revisiting ResNets.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, one_of
from npresnet.arch.residual.attention import find_attention
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import OPTIONS as RESIDUAL
from npresnet.arch.residual.layout import Layout
from npresnet.arch.residual.reading import Layers, has_projections, read_residual
from npresnet.arch.residual.stem import is_deep, stem_side
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.system.later import Later, Table

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "timm"
ANY = "timm_resnet"  # the name of networks without a specific one
SMALL_STEM = "usual after a 3x3 stem"
NO_AVD = "the original ResNeSt of radix 0 has the same tensors, and an average pool after each strided 3x3"
ALIASED = "nets with a blur or an average pool before strides have the same tensors (timm's resnetblur, resnetaa)"

AVD = one_of("none", "first", "last", role="free")
OPTIONS: Mapping[str, Option] = {**RESIDUAL, "avd": AVD}

DEPTHS: Mapping[int, list[int]] = {
    10: [1, 1, 1, 1],
    14: [1, 1, 1, 1],
    18: [2, 2, 2, 2],
    26: [2, 2, 2, 2],
    34: [3, 4, 6, 3],
    50: [3, 4, 6, 3],
    101: [3, 4, 23, 3],
    152: [3, 8, 36, 3],
    200: [3, 24, 36, 3],
    201: [3, 24, 36, 4],
    269: [3, 30, 48, 8],
    270: [4, 29, 53, 4],
    350: [4, 36, 72, 4],
    420: [4, 44, 87, 4],
}
BASIC = (10, 18, 34)
STEMS: Mapping[str, list[int]] = {
    "": [],
    "c": [32, 32, 64],
    "d": [32, 32, 64],
    "t": [24, 32, 64],
    "s": [64, 64, 128],
}
AVERAGED = ("d", "t")
ANTIALIAS = {"": "none", "rs": "none", "aa": "avg", "blur": "blur"}
GRAMMAR = (
    r"(?P<gate>se|eca|cbam_)?res(?P<next>net|next)(?P<kind>aa|blur|rs)?(?P<depth>[0-9]+)(?P<stem>[cdts]?)"
    r"(_(?P<groups>[0-9]+)x(?P<width>[0-9]+)d)?(?P<norm>_gn)?"
)


def options_of(name: str) -> Options | None:
    """The options that a name of this grammar fixes; None for any other name.

    (se|eca|cbam_) resnet|resnext (aa|blur|rs) <depth> (c|d|t|s) (_<groups>x<width>d) (_gn)
    """
    found = re.fullmatch(GRAMMAR, name)
    if found is None or int(found["depth"]) not in DEPTHS or (found["next"] == "next") != bool(found["groups"]):
        return None
    depth, kind, stem = int(found["depth"]), found["kind"] or "", "d" if found["kind"] == "rs" else found["stem"]
    widths = [64, 64, 128] if depth == 201 else STEMS[stem]
    options: dict[str, Any] = {
        "block": "BasicBlock" if depth in BASIC else "Bottleneck",
        "layers": DEPTHS[depth],
        "groups": int(found["groups"] or 1),
        "width_per_group": int(found["width"] or 64),
        "stem_kernel": 3 if widths else 7,
        "stem_widths": widths,
        "downsample": "avg" if stem in AVERAGED else "conv",
        "attention": "se" if kind == "rs" else (found["gate"] or "none").rstrip("_"),
        "antialias": ANTIALIAS[kind],
        "norm": "group_norm" if found["norm"] else "batch_norm",
        "pool_conv": kind == "rs",
    }
    return {**options, "extra": {"planes": 64}, **({"reduction": 0.25} if kind == "rs" else {})}


def is_plain(options: Options) -> bool:
    """Whether these are the options of a network with torchvision's tensors."""
    usual = {"stem_widths": [], "downsample": "conv", "attention": "none", "norm": "batch_norm"}
    return all(options[name] == value for name, value in usual.items())


def _listed(name: str, **others: Any) -> Later[Options]:
    """The options of a name in ARCHS, worked out when they are asked for; `others` replace some of them."""
    return Later(lambda: {**(options_of(name) or {}), **others})


_NAMES = (
    "resnet10t resnet14t resnet18d resnet26d resnet26t resnet34d "
    "resnet50c resnet50d resnet50s resnet50t resnet50_gn resnet101c resnet101d resnet101s "
    "resnet152c resnet152d resnet152s resnet200d resnext50d_32x4d "
    "seresnet18 seresnet34 seresnet50 seresnet50t seresnet101 seresnet152 seresnet152d seresnet200d seresnet269d "
    "seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d seresnext101_32x4d seresnext101_32x8d "
    "seresnext101_64x4d seresnext101d_32x8d "
    "ecaresnet26t ecaresnet50d ecaresnet50t ecaresnet101d ecaresnet200d ecaresnet269d "
    "ecaresnext26t_32x4d ecaresnext50t_32x4d "
    "resnetaa34d resnetaa50d resnetaa101d resnetblur50d resnetblur101d "
    "seresnetaa50d seresnextaa101d_32x8d seresnextaa201d_32x8d "
    "resnetrs50 resnetrs101 resnetrs152 resnetrs200 resnetrs270 resnetrs350 resnetrs420"
)
ARCHS: Mapping[str, Options] = Table(
    {
        **{name: _listed(name) for name in _NAMES.split()},
        "senet154": _listed(
            "seresnext152_64x4d",
            stem_kernel=3,
            stem_widths=[64, 64, 128],
            extra={"planes": 64, "reduce_first": 2},
            projection_kernel=3,
        ),
        "ecaresnetlight": _listed("ecaresnet50", layers=[1, 1, 11, 3], downsample="avg"),
    }
)


def named(name: str) -> Options | None:
    """The listed names, any other of the grammar that is not torchvision's, and "timm_resnet" for any network."""
    if name == ANY:
        return {}
    options = ARCHS.get(name) or options_of(name.removesuffix("_pruned"))
    if options is None or (is_plain(options) and name not in ARCHS):
        return None
    if name.endswith("_pruned"):  # its widths are irregular
        return {key: value for key, value in options.items() if key != "width_per_group"}
    return options


def signature(tensors: Tensors) -> bool:
    side = stem_side(tensors)
    if side is None or has_projections(tensors, "shortcut"):
        return False
    if is_deep(tensors):
        return True
    if side == 3:  # a network for small images, which may have any of the other parts
        return False
    gated = find_attention(tensors) is not None
    averaged = any(
        len(tensors.shape(name)) == 4 for name in tensors.matching(r"^layer[0-9]+\.[0-9]+\.downsample\.1\.weight$")
    )
    return gated or averaged or _lacks_statistics(tensors)


def read(tensors: Tensors) -> Reading:
    decisions, sizes = read_parts(tensors, NAME, antialias=Decision("none", "default", ALIASED))
    if decisions["block"].value != "BasicBlock":
        decisions["avd"] = Decision("none", "default", NO_AVD)
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def read_parts(
    tensors: Tensors, name: str, names: Layers = (), groups: int | None = None, /, **known: Decision
) -> Reading:
    """The reading of a family with these stems; arguments as for `read_residual`, no decision for "arch"."""
    side = max(tensors.length("conv1.weight", axis, ndim=4) or 0 for axis in (2, 3))
    stem = {} if is_deep(tensors) or side == 7 else unusual_stem(side)
    family = Decision(name, "inferred")
    decisions, sizes = read_residual(tensors, family, names, groups, labels=(1000, "imagenet"), **{**stem, **known})
    parts = {part: Decision(sizes[part], "inferred") for part in ("stem_widths", "pool_conv")}
    return Reading({"family": family, **parts, **decisions}, sizes)


def read_own_blocks(tensors: Tensors, name: str, names: Layers, groups: int, /, **known: Decision) -> Reading:
    """`read_parts` for blocks with another module in place of the 3x3, which has the stride."""
    decisions, sizes = read_parts(tensors, name, names, groups, **known)
    return Reading({name: decision for name, decision in decisions.items() if name != "stride_on"}, sizes)


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    avd = options.get("avd", "none")
    if avd == "none" or options["block"] == "BasicBlock":
        return build_residual(builder, Layout.of(options))
    from npresnet.arch.residual.blocks import split_attention  # seldom needed

    layout = Layout.of({**options, "extra": {**options.get("extra", {}), "avd": avd}})
    return build_residual(builder, layout, split_attention.BRANCHES)


def unusual_stem(side: int) -> dict[str, Decision]:
    """What the keys do not determine for a stem that is neither 7x7 nor deep."""
    if side == 3:  # usual for small images, but these are made with a stride and a pool, too
        return {
            "stem_stride": Decision(1, "default", SMALL_STEM, ("stem_stride=2",)),
            "max_pool": Decision(False, "default", SMALL_STEM, ("max_pool=True",)),
        }
    unknown = Decision(None, "default", f"a {side}x{side} stem is unusual")
    return {"stem_stride": unknown, "max_pool": unknown}


def _lacks_statistics(tensors: Tensors) -> bool:
    """GroupNorm; not a network without any norm, whose BatchNorms are folded."""
    return "bn1.weight" in tensors and not tensors.has(r"\.running_(mean|var)$")
