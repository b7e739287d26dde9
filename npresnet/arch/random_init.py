"""Random weights as torchvision initialises them, with all of its names, deterministic in the seed.

Convolutions   normal with standard deviation sqrt(2 / (out_channels * kernel_height * kernel_width))   (He, fan_out)
BatchNorm      weight 1, bias 0, running mean 0, running variance 1
classifier     uniform in +-1/sqrt(in_features)

As in torchvision, running statistics that were never trained normalise nothing: in a deep net in inference mode the
values grow from block to block. `zero_init_residual=True` sets each block's last BatchNorm weight to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npresnet.arch.catalogue import Entry, entry_of
from npresnet.arch.layout import EXPANSION, bottleneck_width
from npresnet.arch.options import checked_options, is_whole
from npresnet.errors import ArchitectureError
from npresnet.network import Array

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def random_tensors(name: str, *, num_classes: int = 1000, seed: int = 0, **options: Any) -> dict[str, Array]:
    """Random weights for an architecture of `list_archs`, float32 under torchvision's names (or CIFAR's, option A).

    num_classes  rows of the classifier
    seed         of the random numbers; the same seed gives the same numbers in the same NumPy
    options      groups, width_per_group, in_channels, zero_init_residual; what means nothing for weights
                 (replace_stride_with_dilation, stride_on, ...) is checked and has no effect

    Raises ArchitectureError for unknown names and options, and for groups or widths with BasicBlocks.
    """
    given = checked_options({"num_classes": num_classes, **options})
    if not is_whole(num_classes):
        raise ArchitectureError(f"num_classes must be a whole number from 1 on, got {str(num_classes)[:60]}")
    if not is_whole(seed, least=0):
        raise ArchitectureError(f"seed must be a whole number from 0 on, got {str(seed)[:60]}")
    entry = _entry_with(name, given)
    rng = np.random.default_rng(seed)
    head = "linear" if entry.small else "fc"
    tensors: dict[str, Array] = {}
    for layer, shape in _layers(entry, given.get("in_channels", 3)):
        tensors.update(_conv(rng, layer, shape, fan_out=not entry.small) if len(shape) == 4 else _norm(layer, shape[0]))
    if given.get("zero_init_residual", False):
        _zero_last_norms(tensors, entry)
    tensors.update(_linear(rng, head, (num_classes, _stage_planes(entry)[-1] * EXPANSION[entry.block])))
    return tensors


def _entry_with(name: str, options: dict[str, Any]) -> Entry:
    entry = entry_of(name)
    widths = {key: options[key] for key in ("groups", "width_per_group") if key in options}
    if entry.block == "BasicBlock" and any(widths[key] != getattr(entry, key) for key in widths):
        raise ArchitectureError(f"{name} has BasicBlocks, which have groups=1 and width_per_group=64, got {widths}")
    for key in ("block", "layers", "shortcut", "family"):
        if key in options:
            raise ArchitectureError(f"{name} fixes {key}; leave the option out")
    if any(options.get("replace_stride_with_dilation", ())) and entry.block == "BasicBlock":
        raise ArchitectureError(f"{name} has BasicBlocks, which cannot dilate: leave out replace_stride_with_dilation")
    return entry._replace(**widths)


def _stage_planes(entry: Entry) -> list[int]:
    return [(16 if entry.small else 64) * 2**i for i in range(len(entry.layers))]


def _layers(entry: Entry, in_channels: int) -> Shapes:
    """(layer's name, shape of its weight) in torchvision's order: 4 axes for a convolution, 1 for a BatchNorm."""
    channels = _stage_planes(entry)[0]
    side = 3 if entry.small else 7
    yield "conv1", (channels, in_channels, side, side)
    yield "bn1", (channels,)
    for i, (planes, depth) in enumerate(zip(_stage_planes(entry), entry.layers, strict=True)):
        for j in range(depth):
            yield from _block_layers(entry, f"layer{i + 1}.{j}", channels, planes, strides=i > 0 and j == 0)
            channels = planes * EXPANSION[entry.block]


def _block_layers(entry: Entry, name: str, channels: int, planes: int, *, strides: bool) -> Shapes:
    out_channels = planes * EXPANSION[entry.block]
    if entry.block == "Bottleneck":
        width = bottleneck_width(planes, entry.width_per_group, entry.groups)
        convs = [(width, channels, 1, 1), (width, width // entry.groups, 3, 3), (out_channels, width, 1, 1)]
    else:
        convs = [(planes, channels, 3, 3), (planes, planes, 3, 3)]
    for k, shape in enumerate(convs, start=1):
        yield f"{name}.conv{k}", shape
        yield f"{name}.bn{k}", shape[:1]
    if not entry.small and (strides or channels != out_channels):
        yield f"{name}.downsample.0", (out_channels, channels, 1, 1)
        yield f"{name}.downsample.1", (out_channels,)


def _conv(rng: np.random.Generator, name: str, shape: tuple[int, ...], *, fan_out: bool) -> dict[str, Array]:
    out_channels, group_channels, *kernel = shape
    fan = (out_channels if fan_out else group_channels) * int(np.prod(kernel))
    weight = rng.standard_normal(shape, dtype=np.float32)  # (O, C/G, KH, KW)
    weight *= np.float32(np.sqrt(2 / fan))
    return {f"{name}.weight": weight}


def _norm(name: str, channels: int) -> dict[str, Array]:
    return {
        f"{name}.weight": np.ones(channels, np.float32),
        f"{name}.bias": np.zeros(channels, np.float32),
        f"{name}.running_mean": np.zeros(channels, np.float32),
        f"{name}.running_var": np.ones(channels, np.float32),
        f"{name}.num_batches_tracked": np.array(0, np.int64),
    }


def _linear(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> dict[str, Array]:
    bound = np.float32(1 / np.sqrt(shape[1]))
    weight = (2 * rng.random(shape, dtype=np.float32) - 1) * bound  # (O, C)
    bias = (2 * rng.random(shape[0], dtype=np.float32) - 1) * bound  # (O,)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _zero_last_norms(tensors: dict[str, Array], entry: Entry) -> None:
    last = 3 if entry.block == "Bottleneck" else 2
    for i, depth in enumerate(entry.layers):
        for j in range(depth):
            tensors[f"layer{i + 1}.{j}.bn{last}.weight"][:] = 0
