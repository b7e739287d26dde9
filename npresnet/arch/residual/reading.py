"""What the names and shapes of a residual network's tensors determine: Decisions, and the sizes that `build` needs.

Several tensors determine a width, and the majority counts (`tensors.agreed`), so that the builder refuses the one that
differs by its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from npresnet.arch.family import Reading
from npresnet.arch.head.reading import BODY, read_head
from npresnet.arch.residual.attention import find_attention
from npresnet.arch.residual.layout import EXPANSION, OUTPUT_STRIDES, Layout, bottleneck_width
from npresnet.arch.residual.stem import StemConv, read_convs, usual_windows
from npresnet.arch.source import CONV_AXES
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

NORM_ROLES = ("weight", "bias", "running_mean", "running_var")
USUAL: dict[str, Any] = Layout._field_defaults

Widths = dict[str, tuple[int, ...]]
Layers = tuple[tuple[str, str], ...]  # the names of a block's convolutions and of their norms, in order

OTHER_GROUPS = (16, 8, 2)  # of GroupNorm, where it has not the usual 32
WITH_GROUPS = ("Bottleneck", [3, 4, 6, 3], 1000)  # the published network with GroupNorm, timm's resnet50_gn
NO_STATISTICS = "norms without running statistics, as those of a BatchNorm are if it was saved without its buffers"

BASIC: Layers = (("conv1", "bn1"), ("conv2", "bn2"))
BOTTLENECK: Layers = (*BASIC, ("conv3", "bn3"))


def has_projections(tensors: Tensors, name: str) -> bool:
    """Whether any block has a projection called `name`."""
    return tensors.has(rf"^layer[0-9]+\.[0-9]+\.{name}\.")


def is_bottleneck(tensors: Tensors) -> bool:
    """Whether any block has a conv3."""
    return tensors.has(r"^layer[0-9]+\.[0-9]+\.conv3\.(conv\.)?weight$")


def read_residual(
    tensors: Tensors,
    family: Decision,
    names: Layers = (),
    groups: int | None = None,
    /,
    *,
    labels: tuple[int, str],
    **known: Decision,
) -> Reading:
    """The reading of any residual network.

    family  the first decision
    names   of the layers whose out_channels are a block's widths, where they are not torchvision's
    groups  of the Bottlenecks' 3x3, where it is not the one that conv2 has
    labels  (number of classes, labels to suggest for it)
    known   decisions made by the family; their value is None where they cannot be made
    """
    convs, layers = read_convs(tensors), read_layers(tensors)
    block = "Bottleneck" if is_bottleneck(tensors) else "BasicBlock"
    names = names or (BOTTLENECK if block == "Bottleneck" else BASIC)
    widths = read_widths(tensors, names, layers)
    head = read_head(tensors, widths[f"layer{len(layers)}.{layers[-1] - 1}"][-1], body=_body(convs))
    groups = groups or _read_groups(tensors, block, widths)
    in_channels = tensors.peek(f"{convs[0].conv}.weight", CONV_AXES).shape[1]
    convs = tuple(conv._replace(channels=_width(tensors, conv.conv, conv.norm)) for conv in convs)
    gate = find_attention(tensors)
    width_per_group = _read_width_per_group(block, layers, groups, widths)
    is_plain = (groups, width_per_group, len(convs), gate, _averages(tensors)) == (1, 64, 1, None, False)
    decisions = {
        "family": family,
        "block": _inferred(block),
        "layers": _inferred(layers),
        "num_classes": _inferred(head.num_classes, "" if head.modules else "no classifier in the file"),
        "in_channels": _inferred(in_channels),
        "groups": _inferred(groups),
        "width_per_group": _inferred(width_per_group),
        "stride_on": _usual("stride_on", "of a Bottleneck: torchvision's place, also called v1.5"),
        "replace_stride_with_dilation": Decision([False] * (len(layers) - 1), "default"),
        **({"output_stride": Decision(32, "default")} if len(layers) == 4 else {}),
        "last_stride": _usual("last_stride"),
        "shortcut": _inferred("B", "1x1 convolution where shapes change"),
        "downsample": _inferred("avg" if _averages(tensors) else "conv"),
        "stem": Decision(usual_windows(convs), "default"),
        "stem_stride": _usual("stem_stride"),
        "max_pool": _usual("max_pool"),
        "antialias": _usual("antialias"),
        "attention": _inferred("none" if gate is None else gate.kind),
        "activation": _usual("activation"),
        **_read_norm(tensors, convs[-1], is_plain and (block, layers, head.num_classes) == WITH_GROUPS),
        "bn_eps": _usual("bn_eps"),
        **head.decisions,
        "preprocess": Decision("V1", "default"),
        "labels": Decision(labels[1] if head.num_classes == labels[0] else None, "default"),
    }
    decisions.update(known)
    if block == "BasicBlock":
        del decisions["stride_on"]
    if in_channels != USUAL["in_channels"]:
        note = f"no preset has {in_channels} channels: give mean and std"
        decisions.update(preprocess=Decision(None, "default", note), labels=Decision(None, "default"))
    sizes = {
        "convs": convs,
        "stem_kernel": convs[0].kernel_size,
        "stem_channels": convs[0].channels,
        "stem_widths": [conv.channels for conv in convs] if len(convs) > 1 else [],
        "pool_conv": tensors.length("maxpool.0.weight", 0, ndim=4) is not None,
        "gate": gate,
        "projection_kernel": _read_projection_kernel(tensors),
        "widths": widths,
        "file_head": head,
    }
    return Reading(decisions, sizes)


def reconciled(decisions: dict[str, Decision], given: Mapping[str, Any]) -> dict[str, Decision]:
    """The decisions, each consistent with those that state the same in another way: stems, and dilated stages."""
    windows, first = decisions["stem"].value, decisions["stem_stride"]
    if "stem" in given:
        decisions = {**decisions, "stem_stride": decisions["stem"]._replace(value=windows[0][1])}
    elif first.value is not None:
        changed = [[windows[0][0], first.value, windows[0][2]], *windows[1:]]
        said = decisions["stem"] if decisions["stem"].alternatives else first._replace(alternatives=())
        decisions = {**decisions, "stem": said._replace(value=changed)}
    whole, stages = decisions.get("output_stride"), decisions["replace_stride_with_dilation"]
    if (
        whole is None
        or len(decisions["layers"].value) != 4
        or {"output_stride", "replace_stride_with_dilation"} <= set(given)
    ):
        return decisions
    if "output_stride" in given:
        dilates = list(OUTPUT_STRIDES.get(whole.value, ()))
        return {**decisions, "replace_stride_with_dilation": whole._replace(value=dilates, alternatives=())}
    stride = next((stride for stride, dilates in OUTPUT_STRIDES.items() if list(dilates) == stages.value), None)
    return {**decisions, "output_stride": stages._replace(value=stride)}


def _inferred(value: Any, note: str = "") -> Decision:
    return Decision(value, "inferred", note)


def _usual(option: str, note: str = "") -> Decision:
    return Decision(USUAL[option], "default", note)


def _averages(tensors: Tensors) -> bool:
    """Whether a projection's convolution is its second module: then an average pool is its first."""
    names = tensors.matching(r"^layer[0-9]+\.[0-9]+\.(downsample|shortcut)\.1\.weight$")
    return any(len(tensors.shape(name)) == 4 for name in names)


def _read_projection_kernel(tensors: Tensors) -> int:
    """The kernel_size of the strided projections, in the first blocks of all stages but the first."""
    names = tensors.matching(r"^layer([2-9]|[1-9][0-9]+)\.0\.(downsample|shortcut)\.[01]\.weight$")
    return agreed(tensors.length(name, 3, ndim=4) for name in names) or 1


def _read_norm(tensors: Tensors, last: StemConv, is_published: bool) -> dict[str, Decision]:
    """The kind of norm: GroupNorm has no running statistics, and its number of groups is not in a file.

    The published network for ImageNet has 32. Others are often made with fewer; an InstanceNorm, a BatchNorm that keeps
    no statistics, and one that was saved without its buffers (`named_parameters`), have the same tensors.
    """
    if f"{last.norm}.weight" not in tensors or tensors.has(r"\.running_(mean|var)$"):
        return {"norm": _inferred("batch_norm")}
    groups = _usual("norm_groups", NO_STATISTICS)
    if not is_published:
        fitting = [n for n in OTHER_GROUPS if last.channels % n == 0]
        groups = groups._replace(alternatives=tuple(f"norm_groups={n}" for n in fitting))
    return {"norm": _inferred("group_norm", "norms without running statistics"), "norm_groups": groups}


def _body(convs: Iterable[StemConv]) -> tuple[str, ...]:
    """How the names of all tensors but the head's start."""
    return (*BODY, *(f"{name}." for conv in convs for name in (conv.conv, conv.norm)))


def read_layers(tensors: Tensors) -> list[int]:
    """The number of blocks in each stage, from the names `layerI.J.`; both must be numbered without gaps."""
    stages = tensors.numbers_after("layer")
    _refuse_gaps("stages layer1, layer2, ...", stages, 1)
    depths = []
    for stage in stages:
        blocks = tensors.numbers_after(f"layer{stage}.")
        _refuse_gaps(f"blocks layer{stage}.0, layer{stage}.1, ...", blocks, 0)
        depths.append(len(blocks))
    return depths


def _refuse_mixed(tensors: Tensors, blocks: list[str]) -> None:
    third = {".".join(name.split(".", 2)[:2]) for name in tensors if ".conv3." in name or ".bn3." in name}
    basic = [block for block in blocks if block not in third]
    if basic and all(f"{block}.conv1.weight" in tensors for block in basic):
        raise ArchitectureError(
            f"{shorten(basic)} have two convolutions, other blocks three: networks of BasicBlocks and Bottlenecks are "
            "not supported"
        )


def _refuse_gaps(what: str, numbers: list[int], first: int) -> None:
    expected = list(range(first, first + len(numbers)))
    if not numbers or numbers != expected:
        there = shorten(map(str, numbers)) or "none"
        raise ArchitectureError(
            f"the {what} must be numbered without gaps, but these are there: {there}. Was the file saved in part?"
        )


def read_widths(tensors: Tensors, names: Layers, layers: list[int]) -> Widths:
    """The out_channels of every block's convolutions."""
    blocks = [f"layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth)]
    if is_bottleneck(tensors):
        _refuse_mixed(tensors, blocks)
    return {
        block: tuple(_width(tensors, f"{block}.{conv}", f"{block}.{norm}") for conv, norm in names) for block in blocks
    }


def _width(tensors: Tensors, conv: str, norm: str) -> int:
    """A convolution's output channels, from its filters and its norm's vectors."""
    filters = tensors.length(f"{conv}.weight", 0, ndim=4)
    vectors = [tensors.length(f"{norm}.{role}", 0, ndim=1) for role in NORM_ROLES]
    return agreed([filters, *vectors]) or tensors.peek(f"{conv}.weight", CONV_AXES).shape[0]


def _read_groups(tensors: Tensors, block: str, widths: Widths) -> int:
    """Groups of the Bottlenecks' 3x3: their input channels over the channels of one filter."""
    if block == "BasicBlock":
        return 1
    seen = {name: tensors.length(f"{name}.conv2.weight", 1, ndim=4) for name in widths}
    return agreed(widths[name][0] // n for name, n in seen.items() if n and widths[name][0] % n == 0) or 1


def _read_width_per_group(block: str, layers: list[int], groups: int, widths: Widths) -> int | None:
    """The constructor's width_per_group, or None where no single value gives the widths.

    torchvision: width = int(planes * width_per_group / 64) * groups, planes = a block's output channels / 4.
    """
    if block == "BasicBlock":
        return 64
    firsts = [widths[f"layer{i}.0"] for i in range(1, len(layers) + 1)]
    planes = [out_channels // EXPANSION[block] for _, _, out_channels in firsts]
    base = round(firsts[0][1] * 64 / (max(planes[0], 1) * groups))
    fits = all(bottleneck_width(p, base, groups) == width for p, (_, width, _) in zip(planes, firsts, strict=True))
    return base if fits else None
