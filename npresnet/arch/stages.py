"""Shared by families with names of their own: counting stages and blocks, and reading widths."""

from __future__ import annotations

from collections.abc import Iterable

from npresnet.arch.source import CONV_AXES
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.errors import ArchitectureError

VECTORS = ("weight", "bias", "running_mean", "running_var")


def read_depths(tensors: Tensors, stages: str, blocks: str = "", first: int = 0) -> list[int]:
    """The number of blocks in each stage, from the names `<stages>I.<blocks>J.`, both numbered without gaps.

    first  the number of the first stage; lower ones are no stages
    """
    found = [number for number in tensors.numbers_after(stages) if number >= first]
    _refuse_gaps(f"stages {stages}{first}, {stages}{first + 1}, ...", found, first)
    depths = []
    for stage in found:
        prefix = f"{stages}{stage}.{blocks}"
        numbers = tensors.numbers_after(prefix)
        _refuse_gaps(f"blocks {prefix}0, {prefix}1, ...", numbers, 0)
        depths.append(len(numbers))
    return depths


def read_width(tensors: Tensors, conv: str, norms: Iterable[str] = ()) -> int:
    """A convolution's output channels, from its filters, its bias and the vectors of the norms that read it."""
    lengths = [tensors.length(f"{conv}.weight", 0, ndim=4), tensors.length(f"{conv}.bias", 0, ndim=1)]
    lengths += [tensors.length(f"{norm}.{role}", 0, ndim=1) for norm in norms for role in VECTORS]
    return agreed(lengths) or tensors.peek(f"{conv}.weight", CONV_AXES).shape[0]


def read_groups(tensors: Tensors, convs: Iterable[tuple[str, int]]) -> int:
    """The groups of convolutions, given with their input channels; the majority counts."""
    seen = ((channels, tensors.length(f"{conv}.weight", 1, ndim=4)) for conv, channels in convs)
    return agreed(channels // n for channels, n in seen if n and channels % n == 0) or 1


def is_preactivated(tensors: Tensors) -> bool:
    """Whether a norm `bn1` stands before the `conv1` of a block of layerI: it has as many channels as conv1 reads.

    Told by the first block in which conv1 does not have as many filters as channels, where no norm `bn1` follows the
    stem.
    """
    stem_norm = agreed(tensors.length(f"bn1.{role}", 0, ndim=1) for role in VECTORS)
    if stem_norm and stem_norm == (tensors.length("conv1.weight", 0, ndim=4) or stem_norm):
        return False
    for name in ("layer1.0", "layer1.1", "layer2.0", "layer3.0"):
        filters, channels = (tensors.length(f"{name}.conv1.weight", axis, ndim=4) for axis in (0, 1))
        norm = agreed(tensors.length(f"{name}.bn1.{role}", 0, ndim=1) for role in VECTORS)
        if filters != channels and norm:
            return norm == channels
    return False


def _refuse_gaps(what: str, numbers: list[int], first: int) -> None:
    if not numbers or numbers != list(range(first, first + len(numbers))):
        there = shorten(map(str, numbers)) or "none"
        raise ArchitectureError(
            f"the {what} must be numbered without gaps, but these are there: {there}. Was the file saved in part?"
        )
