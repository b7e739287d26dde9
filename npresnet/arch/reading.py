"""What the names and shapes of a residual network's tensors determine: Decisions, and the sizes that `build` needs.

Several tensors determine a width, and the majority counts (`tensors.agreed`), so that the builder refuses the one that
differs by its own name.
"""

from __future__ import annotations

from typing import Any

from npresnet.arch.family import Reading
from npresnet.arch.head_reading import read_head
from npresnet.arch.layout import EXPANSION, Layout, bottleneck_width
from npresnet.arch.source import CONV_AXES
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

NORM_ROLES = ("weight", "bias", "running_mean", "running_var")
USUAL: dict[str, Any] = Layout._field_defaults

Widths = dict[str, tuple[int, ...]]


def stem_side(tensors: Tensors) -> int | None:
    """The kernel_size of the first convolution in a network that has stages of blocks; None in any other.

    0 where conv1.weight is not a convolution's: `read_residual` reports that.
    """
    if not tensors.has(r"^layer1\.[0-9]+\.conv1\.weight$"):
        return None
    return max(tensors.length("conv1.weight", axis, ndim=4) or 0 for axis in (2, 3))


def has_projections(tensors: Tensors, name: str) -> bool:
    """Whether any block has a projection called `name`."""
    return tensors.has(rf"^layer[0-9]+\.[0-9]+\.{name}\.")


def is_bottleneck(tensors: Tensors) -> bool:
    """Whether any block has a conv3."""
    return tensors.has(r"^layer[0-9]+\.[0-9]+\.conv3\.weight$")


def read_residual(tensors: Tensors, family: Decision, *, labels: tuple[int, str], **known: Decision) -> Reading:
    """The reading of any residual network.

    family  the first decision
    labels  (number of classes, labels to suggest for it)
    known   decisions made by the family; their value is None where they cannot be made
    """
    stem_kernel, layers = _read_stem_kernel(tensors), _read_layers(tensors)
    block = "Bottleneck" if is_bottleneck(tensors) else "BasicBlock"
    widths = _read_widths(tensors, block, layers)
    head = read_head(tensors, widths[f"layer{len(layers)}.{layers[-1] - 1}"][-1])
    groups = _read_groups(tensors, block, widths)
    in_channels = tensors.peek("conv1.weight", CONV_AXES).shape[1]
    decisions = {
        "family": family,
        "block": _inferred(block),
        "layers": _inferred(layers),
        "num_classes": _inferred(head.num_classes, "" if head.modules else "no classifier in the file"),
        "in_channels": _inferred(in_channels),
        "groups": _inferred(groups),
        "width_per_group": _inferred(_read_width_per_group(block, layers, groups, widths)),
        "stride_on": _usual("stride_on", "of a Bottleneck: torchvision's place, also called v1.5"),
        "replace_stride_with_dilation": Decision([False] * (len(layers) - 1), "default"),
        "shortcut": _inferred("B", "1x1 convolution where shapes change"),
        "stem_stride": _usual("stem_stride"),
        "max_pool": _usual("max_pool"),
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
    stem_channels = _width(tensors, "conv1", "bn1")
    sizes = {"stem_kernel": stem_kernel, "stem_channels": stem_channels, "widths": widths, "file_head": head}
    return Reading(decisions, sizes)


def _inferred(value: Any, note: str = "") -> Decision:
    return Decision(value, "inferred", note)


def _usual(option: str, note: str = "") -> Decision:
    return Decision(USUAL[option], "default", note)


def _read_stem_kernel(tensors: Tensors) -> int:
    """The kernel_size of the first convolution, which must be square."""
    weight = tensors.peek("conv1.weight", CONV_AXES)
    height, width = map(int, weight.shape[2:])
    if height != width or height % 2 == 0 or height == 1:
        raise ArchitectureError(
            f"conv1.weight has shape {weight.shape} ({', '.join(CONV_AXES)}), but the first convolution of every "
            f"ResNet that npresnet knows is 7x7 or 3x3, or at least square with an odd side"
        )
    return height


def _read_layers(tensors: Tensors) -> list[int]:
    """The number of blocks in each stage, from the names `layerI.J.`; both must be numbered without gaps."""
    stages = tensors.numbers_after("layer")
    _refuse_gaps("stages layer1, layer2, ...", stages, 1)
    depths = []
    for stage in stages:
        blocks = tensors.numbers_after(f"layer{stage}.")
        _refuse_gaps(f"blocks layer{stage}.0, layer{stage}.1, ...", blocks, 0)
        depths.append(len(blocks))
    return depths


def _refuse_gaps(what: str, numbers: list[int], first: int) -> None:
    expected = list(range(first, first + len(numbers)))
    if not numbers or numbers != expected:
        there = shorten(map(str, numbers)) or "none"
        raise ArchitectureError(
            f"the {what} must be numbered without gaps, but these are there: {there}. Was the file saved in part?"
        )


def _read_widths(tensors: Tensors, block: str, layers: list[int]) -> Widths:
    """The out_channels of every block's convolutions."""
    convs = (1, 2, 3) if block == "Bottleneck" else (1, 2)
    names = (f"layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth))
    return {name: tuple(_width(tensors, f"{name}.conv{k}", f"{name}.bn{k}") for k in convs) for name in names}


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
    base = round(firsts[0][0] * 64 / (max(planes[0], 1) * groups))
    fits = all(bottleneck_width(p, base, groups) == width for p, (width, *_) in zip(planes, firsts, strict=True))
    return base if fits else None
