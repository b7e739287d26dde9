"""IBN-Nets: ResNets with InstanceNorm beside BatchNorm, in the names of XingangPan/IBN-Net.

Recognised by `layer1.0.bn1.IN` (a), or by a stem's norm without statistics and blocks with `IN` (b).
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.families import timm
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, one_of
from npresnet.arch.residual.blocks import IBN_A, are_ibn, mixed_norm
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import OPTIONS as RESIDUAL
from npresnet.arch.residual.layout import Layout
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "ibn"
ANY = "ibn_resnet"  # the name of networks without a specific one
OPTIONS: Mapping[str, Option] = {**RESIDUAL, "ibn": one_of("a", "b", role="topology")}


def options_of(name: str) -> Options | None:
    """(se_)(resnet|resnext)<depth>_ibn_(a|b); the ResNeXts are 32x4d."""
    plain, dash, variant = name.rpartition("_ibn_")
    if not dash or variant not in ("a", "b"):
        return None
    plain = f"se{plain[3:]}" if plain.startswith("se_") else plain
    options = timm.options_of(f"{plain}_32x4d" if "resnext" in plain and "x4d" not in plain else plain)
    return None if options is None else {**options, "ibn": variant}


_NAMES = (
    "resnet18_ibn_a resnet34_ibn_a resnet50_ibn_a resnet101_ibn_a resnet152_ibn_a "
    "resnet18_ibn_b resnet34_ibn_b resnet50_ibn_b resnet101_ibn_b resnet152_ibn_b "
    "resnext50_ibn_a resnext101_ibn_a se_resnet50_ibn_a se_resnet101_ibn_a se_resnet152_ibn_a"
)
ARCHS: Mapping[str, Options] = {name: options for name in _NAMES.split() if (options := options_of(name)) is not None}


def named(name: str) -> Options | None:
    """The listed names, others of the same grammar, and "ibn_resnet" for any network."""
    return {} if name == ANY else options_of(name)


def signature(tensors: Tensors) -> bool:
    return are_ibn(tensors)


def read(tensors: Tensors) -> Reading:
    variant = "a" if IBN_A in tensors else "b"
    decisions, sizes = timm.read_parts(tensors, NAME, ibn=Decision(variant, "inferred"))
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    norms = {"ibn": options["ibn"], "norm": mixed_norm.mixed_norm, "after_add": mixed_norm.after_add}
    return build_residual(builder, Layout.of({**options, "extra": {**options.get("extra", {}), **norms}}))
