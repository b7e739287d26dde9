"""Layout: the complete description of a residual network without its weights; and the options that set it."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.head import OPTIONS as HEAD_OPTIONS
from npresnet.arch.head import Head, one_linear
from npresnet.arch.options import Option, count, flag, is_bool, is_list_of, is_positive, is_whole, one_of, short
from npresnet.arch.source import Start, he_fan_out
from npresnet.errors import ArchitectureError

EXPANSION = {"BasicBlock": 1, "Bottleneck": 4}  # a block's output channels over its planes

# The options of a residual network, with the names of torchvision's ResNet constructor where it has them.
OPTIONS: Mapping[str, Option] = {
    "stride_on": one_of("1x1", "3x3", role="free"),
    "replace_stride_with_dilation": Option(
        is_list_of(is_bool), "a list of True or False for each stage but the first", "free"
    ),
    "stem_stride": Option(lambda value: is_whole(value) and value in (1, 2), "1 or 2", "free"),
    "max_pool": flag("free"),
    "bn_eps": Option(is_positive, "a positive number", "free"),
    **HEAD_OPTIONS,
    "zero_init_residual": flag("start"),
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "groups": count("size"),
    "width_per_group": count("size"),
    "shortcut": one_of("A", "B", role="topology"),
}


class Block(NamedTuple):
    """One block of a stage: its name, the out_channels of its convolutions in order, stride and dilation."""

    name: str
    widths: tuple[int, ...]
    stride: int
    dilation: int


class Layout(NamedTuple):
    """A residual network without its weights. The defaults are torchvision's.

    block         "BasicBlock" (3x3, 3x3) or "Bottleneck" (1x1, 3x3, 1x1)
    layers        blocks in each stage; stage i is called layer<i+1>
    groups        of the Bottleneck's 3x3
    stride_on     the Bottleneck's convolution with the stride: "3x3" ("v1.5", torchvision) or "1x1" (the first; He et
                  al.)
    shortcut      "B": a projection where input and output differ; "A": in that case a block without projection
                  subsamples and pads with zero channels
    replace_stride_with_dilation   for each stage but the first: dilate instead of striding
    stem_kernel, stem_channels, stem_stride   of conv1
    max_pool      a 3x3 max pool of stride 2 follows the stem
    projection    the name of a block's projection: "downsample" or "shortcut" (then .0 convolution, .1 BatchNorm)
    widths        {block's name: the out_channels of its convolutions}, read from a file; other blocks follow
                  torchvision's rule (`_usual_widths`)
    classifier    name of the only linear layer, where there is no file
    file_head     the classifier read from a file
    global_pool, head_activation   see `head.pool_and_classify`
    start         how random convolutions are initialised
    """

    block: str
    layers: Sequence[int]
    num_classes: int | None = 1000
    in_channels: int = 3
    groups: int = 1
    width_per_group: int | None = 64
    stride_on: str = "3x3"
    replace_stride_with_dilation: Sequence[bool] | None = None
    shortcut: str = "B"
    stem_kernel: int = 7
    stem_channels: int = 64
    stem_stride: int = 2
    max_pool: bool = True
    bn_eps: float = 1e-5
    zero_init_residual: bool = False
    projection: str = "downsample"
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    classifier: str = "fc"
    file_head: Head | None = None
    global_pool: str | None = None
    head_activation: str | Sequence[str] | None = None
    start: Start = he_fan_out

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Layout":
        """The layout with these options. Raises ArchitectureError where they contradict each other."""
        layout = cls(**{name: value for name, value in options.items() if name in cls._fields})
        if layout.block == "BasicBlock":
            _check_basic_blocks(layout, options)
        _check_dilation(layout)
        _check_stem(layout)
        return layout

    @property
    def head(self) -> Head:
        return one_linear(self.classifier, self.num_classes) if self.file_head is None else self.file_head

    def blocks(self) -> Iterator[Block]:
        """Every block, by torchvision's rule.

        A stage that dilates keeps its size: its first block has the previous stage's dilation, the others twice it.
        """
        dilation = 1
        for i, depth in enumerate(self.layers):
            stride = 1 if i == 0 else 2
            first_dilation = dilation
            if i and self.replace_stride_with_dilation and self.replace_stride_with_dilation[i - 1]:
                dilation, stride = dilation * stride, 1
            for j in range(depth):
                name = f"layer{i + 1}.{j}"
                widths = self.widths.get(name) or self._usual_widths(self.stem_channels * 2**i)
                yield Block(name, widths, *((stride, first_dilation) if j == 0 else (1, dilation)))

    def _usual_widths(self, planes: int) -> tuple[int, ...]:
        if self.block == "BasicBlock":
            return planes, planes
        width = bottleneck_width(planes, self.width_per_group or 64, self.groups)
        return width, width, planes * EXPANSION[self.block]


def bottleneck_width(planes: int, width_per_group: int, groups: int) -> int:
    """Inner channels of a Bottleneck, with torchvision's rounding."""
    return int(planes * (width_per_group / 64.0)) * groups


def _check_basic_blocks(layout: Layout, options: Mapping[str, Any]) -> None:
    if (layout.groups, layout.width_per_group) != (1, 64):
        raise ArchitectureError(
            f"this net has BasicBlocks, which have groups=1 and width_per_group=64, got groups={layout.groups} and "
            f"width_per_group={layout.width_per_group}"
        )
    dilate = layout.replace_stride_with_dilation
    if dilate is not None and any(dilate):
        raise ArchitectureError(
            f"replace_stride_with_dilation={short(dilate)} needs Bottlenecks; this net has BasicBlocks, which "
            f"torchvision does not dilate either"
        )
    if "stride_on" in options:
        raise ArchitectureError("stride_on is about Bottlenecks; this net has BasicBlocks, which stride on conv1")


def _check_dilation(layout: Layout) -> None:
    dilate = layout.replace_stride_with_dilation
    if dilate is not None and len(dilate) != len(layout.layers) - 1:
        raise ArchitectureError(
            f"replace_stride_with_dilation={short(dilate)} has {len(dilate)} values, but one is needed for each stage "
            f"but the first, and the stages have {short(list(layout.layers))} blocks"
        )


def _check_stem(layout: Layout) -> None:
    for name in ("stem_stride", "max_pool"):
        if getattr(layout, name) is None:
            size = f"{layout.stem_kernel}x{layout.stem_kernel}"
            raise ArchitectureError(
                f"the tensors cannot tell {name}: a {size} stem is unusual (7x7 means stride 2 and a max pool, 3x3 "
                f"means stride 1 and none). Say stem_stride=1 or 2 and max_pool=True or False"
            )
