"""What the tensors of a ResNet v2 tell: see `resnetv2`."""

from __future__ import annotations

from npresnet.arch.families.resnetv2 import (
    ANY,
    ARCHS,
    BIT_EPS,
    BIT_PREPROCESS,
    BIT_SIZE,
    NAME,
    NORMS,
    PREPROCESS,
    TIMM_SIZE,
)
from npresnet.arch.family import Reading, name_in
from npresnet.arch.head.reading import read_head
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_groups, read_outputs, read_width
from npresnet.arch.suggestions import suggested
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

BODY = ("stem.", "stages.", "norm.")


def read(tensors: Tensors) -> Reading:
    depths = read_depths(tensors, "stages.", "blocks.")
    basic = not tensors.has(r"^stages\.[0-9]+\.blocks\.[0-9]+\.conv3\.weight$")
    stem_widths = _read_stem(tensors)
    stages = [[f"stages.{i}.blocks.{j}" for j in range(depth)] for i, depth in enumerate(depths)]
    names = [name for stage in stages for name in stage]
    last = 2 if basic else 3
    outputs = read_outputs(tensors, stages, f"conv{last}", ["downsample.conv"], "norm1", "norm")
    widths = {name: (*_inner_widths(tensors, name, last), outputs[name]) for name in names}
    groups = read_groups(tensors, ((f"{name}.conv2", widths[name][0]) for name in names))
    norm, stem_type = _norm_of(tensors), _stem_type(stem_widths)
    is_bit = norm == "group_norm" and stem_type == "7x7"
    head = read_head(tensors, widths[names[-1]][-1], body=BODY)
    classes = head.num_classes
    stem = "stem.conv.weight" if "stem.conv.weight" in tensors else "stem.conv1.weight"
    in_channels = tensors.peek(stem, CONV_AXES).shape[1]
    preset = (BIT_PREPROCESS, BIT_SIZE) if is_bit else (PREPROCESS, TIMM_SIZE)
    decisions = {
        "family": Decision(NAME, "inferred"),
        "block": Decision("BasicBlock" if basic else "Bottleneck", "inferred"),
        "layers": Decision(depths, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "norm": Decision(norm, "inferred"),
        "stem_type": Decision(stem_type, "inferred"),
        "width_factor": Decision(max(1, round(stem_widths[-1] / 64)), "inferred"),
        **_assumed(norm, is_bit, stem_type),
        "bn_eps": Decision(1e-5, "default"),
        **head.decisions,
        **suggested(*preset, classes, in_channels),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    sizes = {"stem_widths": stem_widths, "widths": widths, "groups": groups, "file_head": head}
    return Reading({"arch": name, **decisions}, sizes)


def _read_stem(tensors: Tensors) -> list[int]:
    if "stem.conv.weight" in tensors:
        return [read_width(tensors, "stem.conv", ["stages.0.blocks.0.norm1"])]
    norms = {1: ["stem.norm1"], 2: ["stem.norm2"], 3: ["stages.0.blocks.0.norm1"]}
    return [read_width(tensors, f"stem.conv{k}", norms[k]) for k in (1, 2, 3)]


def _inner_widths(tensors: Tensors, name: str, last: int) -> list[int]:
    return [read_width(tensors, f"{name}.conv{k}", [f"{name}.norm{k + 1}"]) for k in range(1, last)]


def _norm_of(tensors: Tensors) -> str:
    signs = {"norm.running_mean": NORMS[0], "norm.v": NORMS[2], "norm.tau": NORMS[3]}
    return next((norm for sign, norm in signs.items() if sign in tensors), NORMS[1])


def _stem_type(widths: list[int]) -> str:
    if len(widths) == 1:
        return "7x7"
    return "deep" if widths[0] == widths[1] else "tiered"


def _assumed(norm: str, is_bit: bool, stem_type: str) -> dict[str, Decision]:
    """What tensors do not tell."""
    why = "GroupNorm after a 7x7 stem: BiT" if is_bit else "timm's custom for this norm and stem"
    with_groups = {"norm_groups": Decision(32, "default")} if norm in ("group_norm", "evo_norm_s0") else {}
    return {
        "weight_standardisation": Decision(is_bit, "default", why),
        **({"weight_eps": Decision(BIT_EPS, "default", "timm's, of a filter's standard deviation")} if is_bit else {}),
        "pool_border": Decision("zeros" if is_bit else "none", "default", why),
        "avg_down": Decision(stem_type != "7x7", "default", "timm's custom: an average pool goes with a deep stem"),
        **with_groups,
    }
