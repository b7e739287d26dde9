"""Shared by the families of networks for clips: windows, what is read from tensors, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.head.build import OPTIONS as HEAD_OPTIONS
from npresnet.arch.head.build import Head, one_linear, pool_and_classify
from npresnet.arch.head.reading import BODY, read_head
from npresnet.arch.options import Option, count, is_positive
from npresnet.arch.source import CONV3D_AXES
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.window import Window

FRAMES = 16  # what these networks are usually trained with
NO_LABELS = "the names of Kinetics' classes are not part of npresnet"

# Options of every network for clips.
CLIP_OPTIONS: Mapping[str, Option] = {
    "frames": count("free"),
    "bn_eps": Option(is_positive, "a positive number", "free"),
    **{name: option for name, option in HEAD_OPTIONS.items() if name != "global_pool"},
}


def same(kernel_size: Sequence[int], stride: int | Sequence[int] = 1, dilation: int = 1) -> Window:
    """A window over time, height and width with "same" padding; only axes of more than one tap are dilated."""
    dilations = tuple(dilation if k > 1 else 1 for k in kernel_size)
    padding = tuple(d * (k // 2) for k, d in zip(kernel_size, dilations, strict=True))
    return Window.of(tuple(kernel_size), stride, padding, dilations, axes=3)


def kernel_size(tensors: Tensors, name: str) -> tuple[int, int, int]:
    """(KT, KH, KW) of a convolution's weight; every side must be odd."""
    shape = tensors.peek(name, CONV3D_AXES).shape
    if any(side % 2 == 0 for side in shape[2:]):
        raise ArchitectureError(
            f"{name} has shape {shape} ({', '.join(CONV3D_AXES)}), but every window of a network for clips that "
            f"npresnet knows has odd sides"
        )
    return shape[2], shape[3], shape[4]


def is_conv3d(tensors: Tensors, name: str) -> bool:
    """Whether this tensor is the weight of a convolution over clips."""
    return len(tensors.shape_of(name) or ()) == 5


def depths(tensors: Tensors, prefix: str = "layer", first: int = 1) -> list[int]:
    """The number of blocks of each stage `<prefix><i>.<j>.`, which must be numbered without gaps."""
    stages = tensors.numbers_after(prefix)
    blocks = [tensors.numbers_after(f"{prefix}{stage}.") for stage in stages]
    expected = list(range(first, first + len(stages)))
    if not stages or stages != expected or any(found != list(range(len(found))) for found in blocks):
        there = shorten(f"{prefix}{stage}.{j}" for stage, found in zip(stages, blocks, strict=True) for j in found)
        raise ArchitectureError(
            f"the stages and their blocks must be numbered without gaps, but these are there: {there or 'none'}. Was "
            f"the file saved in part?"
        )
    return [len(found) for found in blocks]


def width(tensors: Tensors, conv: str, norm: str) -> int:
    """A convolution's output channels, from its filters and its norm's vectors: the majority counts."""
    roles = ("weight", "bias", "running_mean", "running_var")
    vectors = [tensors.length(f"{norm}.{role}", 0, ndim=1) for role in roles]
    filters = tensors.length(f"{conv}.weight", 0, ndim=5)
    return agreed([filters, *vectors]) or tensors.peek(f"{conv}.weight", CONV3D_AXES).shape[0]


def classifier_of(tensors: Tensors, features: int) -> Head:
    """The classifier on the average of the last map; other pools are not supported for clips."""
    found = read_head(tensors, features, body=(*BODY, "stem."))
    return found._replace(decisions={name: d for name, d in found.decisions.items() if name != "global_pool"})


def head_decisions(head: Head) -> dict[str, Decision]:
    """num_classes, and what the classifier leaves open."""
    count = Decision(head.num_classes, "inferred", "" if head.modules else "no classifier in the file")
    return {"num_classes": count, **head.decisions}


def pooled_and_classified(builder: Builder, x: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The average over time, height and width, and the classifier: that of a file, or one called fc."""
    head = options.get("file_head") or one_linear("fc", options.get("num_classes"))
    return pool_and_classify(builder, x, head, global_pool="avg", head_activation=options.get("head_activation"))


def last_decisions(in_channels: int, preset: str, note: str = "") -> dict[str, Decision]:
    """frames, preprocess and labels, which no file of these homes tells."""
    decided = {"frames": Decision(FRAMES, "default", "where no clip says it; a clip may have any number")}
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        decided["preprocess"] = Decision(None, "default", note)
    else:
        decided["preprocess"] = Decision(preset, "default", note)
    return {**decided, "labels": Decision(None, "default", NO_LABELS)}
