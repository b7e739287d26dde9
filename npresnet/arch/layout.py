"""Layout: all that a residual network is, apart from its numbers; and how much of it the tensors tell by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from npresnet.arch.tensors import CONV_AXES, Tensors, shorten
from npresnet.errors import ArchitectureError

EXPANSION = {"BasicBlock": 1, "Bottleneck": 4}  # a block's output channels over its planes


class Layout(NamedTuple):
    """A residual network without its numbers.

    block         "BasicBlock" (3x3, 3x3) or "Bottleneck" (1x1, 3x3, 1x1)
    layers        blocks in each stage; stage i is called layer<i+1>
    projection    what a block's projection is called: "downsample" or "shortcut" (then .0 convolution, .1 BatchNorm)
    option_a      where input and output differ, a block without projection strides and pads with zero channels
    groups        of the Bottleneck's 3x3
    stride_on     which convolution of a Bottleneck strides: "3x3" ("v1.5", torchvision) or "1x1" (the first; He et al.)
    dilate        for each stage but the first: dilate instead of striding
    stem_stride   of conv1
    max_pool      a 3x3 max pool of stride 2 follows the stem
    head          names of the classifier's modules in order, () for none; those without a weight are ReLUs
    """

    block: str
    layers: tuple[int, ...]
    projection: str = "downsample"
    option_a: bool = False
    groups: int = 1
    stride_on: str = "3x3"
    dilate: tuple[bool, ...] = ()
    stem_stride: int = 2
    max_pool: bool = True
    bn_eps: float = 1e-5
    in_channels: int = 3
    head: tuple[str, ...] = ("fc",)

    def steps(self) -> Iterator[tuple[str, int, int]]:
        """(name, stride, dilation) of every block, by torchvision's rule.

        A stage that dilates keeps its size: its first block has the dilation of the stage before, the others twice it.
        """
        dilation = 1
        for i, depth in enumerate(self.layers):
            stride = 1 if i == 0 else 2
            first_dilation = dilation
            if i and self.dilate and self.dilate[i - 1]:
                dilation, stride = dilation * stride, 1
            for j in range(depth):
                yield (f"layer{i + 1}.{j}", *((stride, first_dilation) if j == 0 else (1, dilation)))


def read_layers(tensors: Tensors) -> tuple[int, ...]:
    """How many blocks each stage has, from the names `layerI.J.`; both numberings must be without gaps."""
    stages = tensors.numbers_after("layer")
    _refuse_gaps("stages layer1, layer2, ...", stages, 1)
    depths = []
    for stage in stages:
        blocks = tensors.numbers_after(f"layer{stage}.")
        _refuse_gaps(f"blocks layer{stage}.0, layer{stage}.1, ...", blocks, 0)
        depths.append(len(blocks))
    return tuple(depths)


def read_block(tensors: Tensors) -> str:
    """Bottleneck where any block has a conv3."""
    return "Bottleneck" if tensors.matching(r"^layer[0-9]+\.[0-9]+\.conv3\.weight$") else "BasicBlock"


def read_groups(tensors: Tensors, block: str) -> int:
    """Groups of the first Bottleneck's 3x3: its input channels over the channels that one filter sees."""
    if block == "BasicBlock":
        return 1
    width = tensors.peek("layer1.0.conv1.weight", CONV_AXES).shape[0]
    weight = tensors.peek("layer1.0.conv2.weight", CONV_AXES)
    if width % weight.shape[1]:
        raise ArchitectureError(
            f"layer1.0.conv2 cannot have {width} input channels\n"
            f"  input   (N, {width}, H, W)   from layer1.0.conv1\n"
            f"  weight  {weight.shape}   {', '.join(CONV_AXES)}\n"
            f"  The number of groups, in_channels over in_channels/groups, must be whole. "
            f"Do the file's layers come from different networks?"
        )
    return int(width // weight.shape[1])


def read_width_per_group(tensors: Tensors, block: str, layers: tuple[int, ...], groups: int) -> int | None:
    """The constructor's width_per_group, or None where the widths follow no one such number.

    torchvision: width = int(planes * width_per_group / 64) * groups, planes = a block's output channels / 4.
    """
    if block == "BasicBlock":
        return 64
    firsts = [f"layer{i + 1}.0" for i in range(len(layers))]
    widths = [tensors.peek(f"{first}.conv1.weight", CONV_AXES).shape[0] for first in firsts]
    planes = [tensors.peek(f"{first}.conv3.weight", CONV_AXES).shape[0] // EXPANSION[block] for first in firsts]
    base = round(widths[0] * 64 / (max(planes[0], 1) * groups))
    fits = all(bottleneck_width(p, base, groups) == w for p, w in zip(planes, widths, strict=True))
    return base if fits else None


def bottleneck_width(planes: int, width_per_group: int, groups: int) -> int:
    """Channels inside a Bottleneck, as torchvision rounds them."""
    return int(planes * (width_per_group / 64.0)) * groups


def _refuse_gaps(what: str, numbers: list[int], first: int) -> None:
    expected = list(range(first, first + len(numbers)))
    if not numbers or numbers != expected:
        there = shorten(map(str, numbers)) or "none"
        raise ArchitectureError(
            f"the {what} must be numbered without gaps, but these are there: {there}. Was the file saved in part?"
        )
