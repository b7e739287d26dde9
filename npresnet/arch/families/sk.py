"""SK-ResNets: selective kernels in place of a block's first 3x3 convolution, in timm's names.

Recognised by `layer1.0.conv1.paths.0.conv` (BasicBlocks) or `layer1.0.conv2.paths.0.conv` (Bottlenecks). Whether the
paths share the channels follows from their number; stems and shortcuts are those of timm's other networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.families import timm
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, flag
from npresnet.arch.residual.blocks import SELECTIVE, selective
from npresnet.arch.residual.build import build_residual
from npresnet.arch.residual.layout import Layout
from npresnet.arch.residual.options import without
from npresnet.arch.residual.reading import is_bottleneck
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "sk"
ANY = "skresnet"  # the name of networks without a specific one
OPTIONS: Mapping[str, Option] = {**without("stride_on"), "split_input": flag("topology")}


def options_of(name: str) -> Options | None:
    """sk, then a name of timm's grammar: skresnet50d, skresnext50_32x4d."""
    options = timm.options_of(name.removeprefix("sk")) if name.startswith("sk") else None
    if options is None:
        return None
    basic, grouped = options["block"] == "BasicBlock", options["groups"] > 1
    squeeze: dict[str, Any] = {"reduction": 1 / 8 if basic else 1 / 16}
    extra = {"planes": 64, "divisor": 16 if basic else 32 if grouped else 8}
    return {**options, "split_input": not grouped, **squeeze, "extra": extra}


_NAMES = "skresnet18 skresnet34 skresnet50 skresnet50d skresnext50_32x4d"
ARCHS: Mapping[str, Options] = {name: options for name in _NAMES.split() if (options := options_of(name)) is not None}


def named(name: str) -> Options | None:
    """The listed names, others of the same grammar, and "skresnet" for any network."""
    return {} if name == ANY else options_of(name)


def signature(tensors: Tensors) -> bool:
    return any(name in tensors for name in SELECTIVE)


def read(tensors: Tensors) -> Reading:
    bottleneck = is_bottleneck(tensors)
    groups, splits = selective.read_selection(tensors, bottleneck)
    names = selective.BOTTLENECK if bottleneck else selective.BASIC
    decisions, sizes = timm.read_own_blocks(tensors, NAME, names, groups, split_input=Decision(splits, "inferred"))
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, sizes)


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    extra = {**options.get("extra", {}), "split_input": options["split_input"]}
    return build_residual(builder, Layout.of({**options, "extra": extra}), selective.BRANCHES)
