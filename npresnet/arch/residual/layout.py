"""Layout: the complete description of a residual network without its weights."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.head.build import Head, one_linear
from npresnet.arch.options import short
from npresnet.arch.residual.attention import Attention
from npresnet.arch.residual.options import OPTIONS
from npresnet.arch.residual.stem import Pool, StemConv, deep, pool_of, single, usual_windows
from npresnet.arch.source import Start, he_fan_out
from npresnet.errors import ArchitectureError

__all__ = ["EXPANSION", "OPTIONS", "OUTPUT_STRIDES", "Block", "Layout", "bottleneck_width"]

EXPANSION = {"BasicBlock": 1, "Bottleneck": 4}  # a block's output channels over its planes
OUTPUT_STRIDES = {32: (False, False, False), 16: (False, False, True), 8: (False, True, True)}


class Block(NamedTuple):
    """One block: its name, the out_channels of its convolutions in order, stride and dilation.

    In a stage's first block the dilation of the first 3x3 convolution is that of the stage before.
    """

    name: str
    widths: tuple[int, ...]
    stride: int
    first_dilation: int
    dilation: int


class Layout(NamedTuple):
    """A residual network without its weights. The defaults are torchvision's.

    block         the kind of block, a key of `residual.BRANCHES`: BasicBlock (3x3, 3x3), Bottleneck (1x1, 3x3, 1x1)
    layers        blocks in each stage; stage i is called layer<i+1>
    groups        of the Bottleneck's 3x3
    stride_on     the Bottleneck's convolution with the stride: "3x3" ("v1.5", torchvision) or "1x1" (the first; He et
                  al.)
    shortcut      "B": a projection where input and output differ; "A": instead of it every stride-th pixel, and zero
                  channels on both sides; "A-end": all of them at the end; "A-pool": at the end, after an average pool;
                  "none": nothing is added in any block
    downsample    a projection is "conv", a strided 1x1 convolution, or "avg", an average pool before it (ResNet-D)
    replace_stride_with_dilation   for each stage but the first: dilate instead of striding
    output_stride  the same for networks of four stages by the stride of the whole: 32, 16 or 8
    last_stride   of the last stage
    stem          [kernel_size, stride, padding] of each convolution; None: "same" padding, stem_stride on the first
    stem_widths   out_channels of a deep stem; else stem_kernel and stem_channels are those of conv1
    convs         the stem's convolutions as read from a file
    max_pool      the pool after the stem: True for 3x3 of stride 2, False, or [kernel_size, stride, padding, ceil_mode]
    pool_conv     a 3x3 convolution of stride 2 called maxpool.0 takes its place
    antialias     "blur" or "avg": what strides instead of the convolutions and the max pool; "none"
    attention     a key of `attention.KINDS`, or "none"; gate: where it is found in a file; reduction: of random weights
    norm          "batch_norm" or "group_norm" of norm_groups groups
    activation    its name, or ["leaky_relu", slope]
    projection    the name of a block's projection: "downsample" or "shortcut"; projection_kernel: its kernel_size where
                  it strides
    widths        {block's name: the out_channels of its convolutions}, read from a file; other blocks follow
                  torchvision's rule (`_usual_widths`)
    classifier    name of the only linear layer, where there is no file
    file_head     the classifier read from a file
    global_pool, head_activation   see `head.build.pool_and_classify`
    start         how random convolutions are initialised
    extra         further facts that a kind of block needs: see there; "norm", "after_add": functions that stand for
                  a norm, and between a block's addition and its activation
    """

    block: str
    layers: Sequence[int]
    num_classes: int | None = 1000
    in_channels: int = 3
    groups: int = 1
    width_per_group: int | None = 64
    stride_on: str = "3x3"
    replace_stride_with_dilation: Sequence[bool] | None = None
    output_stride: int | None = None
    last_stride: int = 2
    shortcut: str = "B"
    downsample: str = "conv"
    stem: Sequence[Sequence[int]] | None = None
    stem_kernel: int = 7
    stem_channels: int = 64
    stem_widths: Sequence[int] = ()
    stem_stride: int = 2
    convs: tuple[StemConv, ...] = ()
    max_pool: Any = True
    pool_conv: bool = False
    antialias: str = "none"
    attention: str = "none"
    gate: Attention | None = None
    reduction: float = 1 / 16
    norm: str = "batch_norm"
    norm_groups: int = 32
    activation: Any = "relu"
    bn_eps: float = 1e-5
    zero_init_residual: bool = False
    projection: str = "downsample"
    projection_kernel: int = 1
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    classifier: str = "fc"
    file_head: Head | None = None
    global_pool: str | None = None
    head_activation: Any = None
    start: Start = he_fan_out
    extra: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Layout":
        """The layout with these options. Raises ArchitectureError where they contradict each other."""
        layout = cls(**{name: value for name, value in options.items() if name in cls._fields})
        _check_stem(layout)
        layout = layout._replace(convs=layout.convs or _usual_convs(layout))
        if layout.block == "BasicBlock":
            _check_basic_blocks(layout, options)
        _check_dilation(layout)
        if "norm_groups" in options and layout.norm != "group_norm":
            raise ArchitectureError("norm_groups is about GroupNorm; the norms of this net have running statistics")
        return layout

    @property
    def head(self) -> Head:
        return one_linear(self.classifier, self.num_classes) if self.file_head is None else self.file_head

    @property
    def stem_windows(self) -> Sequence[Sequence[int]]:
        """[kernel_size, stride, padding] of each of the stem's convolutions."""
        return usual_windows(self.convs, self.stem_stride) if self.stem is None else self.stem

    @property
    def pool(self) -> Pool | None:
        return pool_of(self.max_pool)

    @property
    def dilates(self) -> Sequence[bool]:
        """For each stage but the first, whether it dilates instead of striding."""
        told = self.replace_stride_with_dilation
        if told is None and self.output_stride is not None:
            return OUTPUT_STRIDES[self.output_stride]
        return told or [False] * (len(self.layers) - 1)

    def blocks(self) -> Iterator[Block]:
        """Every block, by torchvision's rule.

        A stage that dilates keeps its size: its first block has the previous stage's dilation, the others twice it.
        """
        dilation, last = 1, len(self.layers) - 1
        for i, depth in enumerate(self.layers):
            stride = 1 if i == 0 else self.last_stride if i == last else 2
            first_dilation = dilation
            if i and self.dilates[i - 1]:
                dilation, stride = dilation * stride, 1
            for j in range(depth):
                name = f"layer{i + 1}.{j}"
                widths = self.widths.get(name) or self._usual_widths(self.convs[-1].channels, i)
                yield Block(name, widths, *((stride, first_dilation) if j == 0 else (1, dilation)), dilation)

    def _usual_widths(self, stem_channels: int, stage: int) -> tuple[int, ...]:
        planes = self.extra.get("planes", stem_channels) * 2**stage
        if self.block == "BasicBlock":
            return planes, planes
        width = bottleneck_width(planes, self.width_per_group or 64, self.groups)
        return width // self.extra.get("reduce_first", 1), width, planes * EXPANSION.get(self.block, 4)


def bottleneck_width(planes: int, width_per_group: int, groups: int) -> int:
    """Inner channels of a Bottleneck, with torchvision's rounding."""
    return int(planes * (width_per_group / 64.0)) * groups


def _usual_convs(layout: Layout) -> tuple[StemConv, ...]:
    return deep(layout.stem_widths) if layout.stem_widths else single(layout.stem_kernel, layout.stem_channels)


def _check_basic_blocks(layout: Layout, options: Mapping[str, Any]) -> None:
    if (layout.groups, layout.width_per_group) != (1, 64):
        raise ArchitectureError(
            f"this net has BasicBlocks, which have groups=1 and width_per_group=64, got groups={layout.groups} and "
            f"width_per_group={layout.width_per_group}"
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
    if layout.output_stride is None:
        return
    if len(layout.layers) != 4:
        raise ArchitectureError(
            f"output_stride={layout.output_stride} is about networks of four stages, and this one has "
            f"{len(layout.layers)}; say replace_stride_with_dilation, one value for each stage but the first"
        )
    if dilate is not None and tuple(dilate) != OUTPUT_STRIDES[layout.output_stride]:
        raise ArchitectureError(
            f"output_stride={layout.output_stride} contradicts replace_stride_with_dilation={short(dilate)}; say one"
        )


def _check_stem(layout: Layout) -> None:
    if layout.stem is not None:
        kernels = [conv.kernel_size for conv in layout.convs or _usual_convs(layout)]
        if [window[0] for window in layout.stem] != kernels:
            raise ArchitectureError(
                f"stem={short(layout.stem)} does not fit the tensors, whose stem has convolutions of kernel_size "
                f"{', '.join(map(str, kernels))}: say [kernel_size, stride, padding] for each"
            )
    for name in ("stem_stride", "max_pool"):
        if getattr(layout, name) is None and (name == "max_pool" or layout.stem is None):
            side = layout.convs[0].kernel_size if layout.convs else layout.stem_kernel
            raise ArchitectureError(
                f"the tensors cannot tell {name}: a {side}x{side} stem is unusual (7x7 means stride 2 and a max pool, "
                f"3x3 means stride 1 and none). Say stem_stride=1 or 2 and max_pool=True or False"
            )
