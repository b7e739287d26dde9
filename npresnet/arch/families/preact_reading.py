"""What the tensors of a pre-activation ResNet tell: see `preact`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.arch.families.preact import ANY, FIXMATCH, LEAKY, NAME, SUB_BLOCK
from npresnet.arch.families.preact_names import ARCHS, Convention, convention_of
from npresnet.arch.family import Reading, name_in
from npresnet.arch.head.reading import read_head
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_outputs, read_width
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision


def read(tensors: Tensors) -> Reading:
    convention = convention_of(tensors)
    assert convention is not None
    layers = read_depths(tensors, convention.stages, convention.blocks, convention.first)
    stages = [[convention.block(i, j) for j in range(depth)] for i, depth in enumerate(layers)]
    blocks = [name for stage in stages for name in stage]
    convs = sum(f"{blocks[0]}.{conv}.weight" in tensors for conv in convention.convs)
    final_norm = next((name for name in convention.finals if f"{name}.weight" in tensors), "")
    widths = _read_widths(tensors, convention, stages, convs, final_norm)
    first_norm = f"{blocks[0]}.{convention.norms[0]}"
    stem = tensors.peek(f"{convention.stem}.weight", CONV_AXES)
    sizes = {
        "base": 1,
        "stem_kernel": stem.shape[2],
        "stem_channels": read_width(tensors, convention.stem, [convention.stem_norm, first_norm]),
        "final_norm": final_norm,
        "projection": next((one for one in convention.projections if tensors.has(rf"\.{re.escape(one)}\.weight$")), ""),
        "widths": widths,
        "unused": _unused(tensors),
    }
    head = read_head(tensors, widths[blocks[-1]][-1], body=_body(convention))
    sizes["file_head"], classes = head, head.num_classes
    decisions = {
        "family": Decision(NAME, "inferred"),
        "names": Decision(convention.name, "inferred"),
        "block": Decision("Bottleneck" if convs == 3 else "BasicBlock", "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(stem.shape[1], "inferred"),
        "width_factor": Decision(max(1, widths[blocks[0]][0] // (64 if len(layers) > 3 else 16)), "inferred"),
        **_assumed(tensors, convention, sizes, blocks, convs),
        **_assumed_stem(int(stem.shape[2])),
        **head.decisions,
        **({"ignored": Decision("sub_block1", "inferred", SUB_BLOCK)} if sizes["unused"] else {}),
    }
    decisions.update(_suggested(decisions))
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, sizes)


def _body(convention: Convention) -> tuple[str, ...]:
    """How the names of all tensors but the classifier's start."""
    modules = (convention.stem, convention.stem_norm, *convention.finals)
    stages = (convention.stages, f"sub_{convention.stages}")
    return (*(f"{name}." for name in modules if name), *stages)


def _read_widths(
    tensors: Tensors, convention: Convention, stages: Sequence[Sequence[str]], convs: int, final_norm: str
) -> dict[str, tuple[int, ...]]:
    """{block: the output channels of its convolutions}."""
    names, norms = convention.convs[:convs], convention.norms
    outputs = read_outputs(tensors, stages, names[-1], convention.projections, norms[0], final_norm)
    inner = {
        name: [
            read_width(tensors, f"{name}.{conv}", [f"{name}.{norm}"])
            for conv, norm in zip(names[:-1], norms[1:], strict=False)
        ]
        for name in outputs
    }
    return {name: (*inner[name], output) for name, output in outputs.items()}


def _unused(tensors: Tensors) -> list[str]:
    """The tensors of `sub_block1` where they are a whole second block1."""
    extra = tensors.matching(r"^sub_block1\.")
    twins = tensors.matching(r"^block1\.")
    same = {name.removeprefix("sub_"): tensors.shape(name) for name in extra} == {n: tensors.shape(n) for n in twins}
    return extra if extra and same else []


def _assumed(
    tensors: Tensors, convention: Convention, sizes: Mapping[str, Any], blocks: Sequence[str], convs: int
) -> dict[str, Decision]:
    """What tensors do not tell: what a projection reads, the strided convolution, activation, eps."""
    biases = f"{blocks[0]}.{convention.convs[0]}.bias" in tensors
    wide = convention.name == "layer" and sizes["final_norm"] == "bn1"
    usual = {
        "preactivation": Decision("shared", "default"),
        "stride_on": Decision("conv2" if convs == 3 or wide else "conv1", "default"),
        "activation": Decision("relu", "default"),
        "bn_eps": Decision(1e-5, "default"),
    }
    if convention.name == "layer":
        usual["preactivation"] = _projection_reads(sizes["projection"], wide, convs)
        if wide and not biases:
            usual["stride_on"] = Decision("conv2", "default", "as in wide-resnet.pytorch", ("stride_on='conv1'",))
    if convention.name == "residual":
        usual["preactivation"] = Decision("branch", "default", "as in pytorch-cifar100")
        usual["stride_on"] = Decision("conv1", "default", "as in pytorch-cifar100")
    if convention.name == "deepmind":
        note = "as in all published weights with these names"
        usual["activation"] = Decision("silu", "default", note, ("activation='relu'",))
    if convention.name == "block":
        usual.update(_semi_supervised(tensors, blocks, biases))
    return usual


def _projection_reads(projection: str, wide: bool, convs: int) -> Decision:
    if not projection:
        return Decision("shared", "default")
    if wide:
        return Decision("branch", "default", "as in wide-resnet.pytorch")
    if projection.startswith("downsample"):
        return Decision("branch", "default", "as in pytorch-classification", ("preactivation='shared'",))
    others = ("preactivation='branch'",) if convs == 2 else ()
    return Decision("shared", "default", "as in pytorch-cifar; RobustBench's nets differ" if others else "", others)


def _semi_supervised(tensors: Tensors, blocks: Sequence[str], biases: bool) -> dict[str, Decision]:
    """Nets for semi-supervised learning have these names, too: with biases (USB), or without (FixMatch)."""
    if biases:
        note = "biases in convolutions: a net for semi-supervised learning (USB)"
        return {"activation": Decision(LEAKY, "default", note), "bn_eps": Decision(1e-3, "default", note)}
    factor = (tensors.length(f"{blocks[0]}.conv1.weight", 0, ndim=4) or 0) // 16
    if len(blocks) == 12 and factor in (2, 8):
        note = "nets for semi-supervised learning have this size"
        return {"activation": Decision("relu", "default", note, (FIXMATCH,))}
    return {}


def _assumed_stem(side: int) -> dict[str, Decision]:
    large = side == 7
    note = "usual after a 7x7 stem" if large else "usual after a 3x3 stem"
    others = () if side in (3, 7) else ("stem_stride=2",)
    return {
        "stem_stride": Decision(2 if large else 1, "default", note, others),
        "max_pool": Decision(large, "default", note, () if side in (3, 7) else ("max_pool=True",)),
    }


def _suggested(decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    classes, in_channels = decisions["num_classes"].value, decisions["in_channels"].value
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", note), "labels": Decision(None, "default")}
    labels = Decision("cifar10" if classes == 10 else "imagenet" if classes == 1000 else None, "default")
    if decisions["max_pool"].value:
        return {"preprocess": Decision("V1", "default"), "labels": labels}
    small = {"resize": 64, "crop": 64}
    if classes == 200:
        return {"preprocess": Decision(small, "default", "200 classes: Tiny ImageNet"), "labels": labels}
    others = () if classes in (10, 100) else (f"preprocess={small}",)
    note = "some nets for CIFAR were trained with another mean and std, or none"
    return {"preprocess": Decision("cifar10", "default", note, others), "labels": labels}
