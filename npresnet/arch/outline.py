"""Outline: what a family says about a file before the caller is heard: one Decision for each thing that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.arch.head import Head, num_classes, read_head
from npresnet.arch.layout import Layout, read_block, read_groups, read_layers, read_width_per_group
from npresnet.arch.tensors import CONV_AXES, Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError


class Outline(NamedTuple):
    """Decisions in the order in which `model.config` shows them, and how the file calls projections and classifier."""

    decisions: Mapping[str, Decision]
    projection: str
    head: Head

    def layout(self, decisions: Mapping[str, Decision]) -> Layout:
        """The layout, once options have had their say."""
        value = {name: decision.value for name, decision in decisions.items()}
        return Layout(
            block=value["block"],
            layers=tuple(value["layers"]),
            projection=self.projection,
            option_a=value["shortcut"] == "A",
            groups=value["groups"],
            stride_on=value.get("stride_on", "3x3"),
            dilate=tuple(value["replace_stride_with_dilation"]),
            stem_stride=value["stem_stride"],
            max_pool=value["max_pool"],
            bn_eps=value["bn_eps"],
            in_channels=value["in_channels"],
            head=self.head.modules,
        )


def stem_kernel(tensors: Tensors) -> int:
    """The side of the first convolution's window."""
    weight = tensors.peek("conv1.weight", CONV_AXES)
    height, width = weight.shape[2:]
    if height != width or height % 2 == 0 or height == 1:
        raise ArchitectureError(
            f"conv1.weight has shape {weight.shape} ({', '.join(CONV_AXES)}), but the first convolution of every "
            f"ResNet that npresnet knows is 7x7 or 3x3, or at least square with an odd side"
        )
    return int(height)


def has_projections(tensors: Tensors, name: str) -> bool:
    """Whether any block has a projection called `name`."""
    return bool(tensors.matching(rf"^layer[0-9]+\.[0-9]+\.{name}\."))


def read_outline(tensors: Tensors, *, projection: str, family: Decision, **settled: Decision) -> Outline:
    """What any residual net tells by its keys and shapes; `settled` is what the family knows better."""
    layers, block = read_layers(tensors), read_block(tensors)
    groups, head = read_groups(tensors, block), read_head(tensors)
    in_channels = int(tensors.peek("conv1.weight", CONV_AXES).shape[1])
    decisions = {
        "family": family,
        "block": _inferred(block),
        "layers": _inferred(list(layers)),
        "num_classes": _inferred(num_classes(tensors, head), "" if head.modules else "no classifier in the file"),
        "in_channels": _inferred(in_channels),
        "groups": _inferred(groups),
        "width_per_group": _inferred(read_width_per_group(tensors, block, layers, groups)),
        "stride_on": Decision("3x3", "default", "of a Bottleneck: torchvision's place, also called v1.5"),
        "replace_stride_with_dilation": Decision([False] * (len(layers) - 1), "default"),
        "shortcut": _inferred("B", "1x1 convolution where shapes change"),
        "stem_stride": Decision(2, "default"),
        "max_pool": Decision(True, "default"),
        "bn_eps": Decision(1e-5, "default"),
        **({"head": Decision(list(head.modules), "default", head.note)} if head.note else {}),
        "preprocess": Decision("V1", "default"),
        "labels": Decision(None, "default"),
    }
    decisions.update(settled)
    if block == "BasicBlock":
        del decisions["stride_on"]
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        decisions.update(preprocess=Decision(None, "default", note), labels=Decision(None, "default"))
    return Outline(decisions, projection, head)


def labels_for(tensors: Tensors, count: int, name: str) -> Decision:
    """`name` where the number of classes is that of the data set, else None."""
    return Decision(name if num_classes(tensors, read_head(tensors)) == count else None, "default")


def _inferred(value: Any, note: str = "") -> Decision:
    return Decision(value, "inferred", note)
