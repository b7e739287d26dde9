"""Shared by families with names of their own: counting stages and blocks, and reading widths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

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


def read_width(tensors: Tensors, conv: str, norms: Iterable[str] = (), others: Iterable[str] = ()) -> int:
    """A convolution's output channels, from its filters, bias and gain, and the vectors of the norms that read them.

    others  convolutions whose results are added to it, and so have as many channels
    """
    convs = (conv, *others)
    lengths = [tensors.length(f"{name}.{role}", 0, ndim=4) for name in convs for role in ("weight", "gain")]
    lengths += [tensors.length(f"{name}.bias", 0, ndim=1) for name in convs]
    lengths += [tensors.length(f"{norm}.{role}", 0, ndim=1) for norm in norms for role in VECTORS]
    return agreed(lengths) or tensors.peek(f"{conv}.weight", CONV_AXES).shape[0]


def read_outputs(
    tensors: Tensors, blocks: Sequence[Sequence[str]], conv: str, projections: Sequence[str], norm: str, final: str
) -> dict[str, int]:
    """{block: its output channels}, the same for all blocks of a stage: each adds its branch to what comes before.

    blocks       the names of each stage's blocks
    conv         the last convolution in a block; projections: the possible convolutions of its shortcut
    norm, final  the first norm in a block, which reads the block before; the norm after the last block, "" for none
    """
    order = [name for stage in blocks for name in stage]
    readers = {name: f"{after}.{norm}" for name, after in pairwise(order)} | {order[-1]: final}
    widths = {}
    for stage in blocks:
        convs = [f"{name}.{part}" for name in stage for part in (conv, *projections)]
        width = read_width(tensors, convs[0], [readers[name] for name in stage if readers[name]], convs[1:])
        widths.update(dict.fromkeys(stage, width))
    return widths


def read_groups(tensors: Tensors, convs: Iterable[tuple[str, int]]) -> int:
    """The groups of convolutions, given with their input channels; the majority counts."""
    seen = ((channels, tensors.length(f"{conv}.weight", 1, ndim=4)) for conv, channels in convs)
    return agreed(channels // n for channels, n in seen if n and channels % n == 0) or 1


def is_preactivated(tensors: Tensors) -> bool:
    """Whether a norm `bn1` stands before the `conv1` of a block of layerI: it has as many channels as conv1 reads.

    Told by the majority of the first blocks in which conv1 does not have as many filters as channels, where no norm
    `bn1` follows the stem.
    """
    stem_norm = agreed(tensors.length(f"bn1.{role}", 0, ndim=1) for role in VECTORS)
    if stem_norm and stem_norm == (tensors.length("conv1.weight", 0, ndim=4) or stem_norm):
        return False
    votes = []
    for name in ("layer1.0", "layer1.1", "layer2.0", "layer3.0"):
        filters, channels = (tensors.length(f"{name}.conv1.weight", axis, ndim=4) for axis in (0, 1))
        norm = agreed(tensors.length(f"{name}.bn1.{role}", 0, ndim=1) for role in VECTORS)
        votes.append((norm == channels) - (norm == filters) if norm else 0)
    return any(votes) and sum(votes) >= (1 if stem_norm else 0)


def _refuse_gaps(what: str, numbers: list[int], first: int) -> None:
    if not numbers or numbers != list(range(first, first + len(numbers))):
        there = shorten(map(str, numbers)) or "none"
        raise ArchitectureError(
            f"the {what} must be numbered without gaps, but these are there: {there}. Was the file saved in part?"
        )
