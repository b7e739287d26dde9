"""Shared by the families of networks for clips: windows, what is read from tensors, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from npresnet.arch.head import read_head
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


class Facts(NamedTuple):
    """Decisions and sizes of every network for clips that ends in a classifier."""

    decisions: dict[str, Decision]
    sizes: dict[str, Any]


def read_classifier(tensors: Tensors) -> Facts:
    """num_classes, a note about the classifier, and the arguments of `build` for it."""
    head = read_head(tensors)
    decisions = {"num_classes": Decision(head.num_classes, "inferred", "" if head.modules else "no classifier in it")}
    if head.note:
        decisions["head"] = Decision([name for name, _ in head.modules], "default", head.note)
    return Facts(decisions, {"modules": head.modules})


def last_decisions(in_channels: int, preset: str, note: str = "") -> dict[str, Decision]:
    """frames, preprocess and labels, which no file of these homes tells."""
    decided = {"frames": Decision(FRAMES, "default", "where no clip says it; a clip may have any number")}
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        decided["preprocess"] = Decision(None, "default", note)
    else:
        decided["preprocess"] = Decision(preset, "default", note)
    return {**decided, "labels": Decision(None, "default", NO_LABELS)}
