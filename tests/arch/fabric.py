"""Small ResNets as {name: array}, made from their definition, for tests to modify."""

from __future__ import annotations

import numpy as np

Tensors = dict[str, np.ndarray]


def conv(name: str, *shape: int) -> Tensors:
    return {f"{name}.weight": np.ones(shape, np.float32)}


def norm(name: str, channels: int) -> Tensors:
    values = {role: np.ones(channels, np.float32) for role in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.{role}": value for role, value in values.items()} | {
        f"{name}.num_batches_tracked": np.array(7, np.int64)
    }


def basic_net(
    layers: tuple[int, ...] = (1, 1, 1, 1),
    *,
    channels: int = 8,
    stem: int = 7,
    in_channels: int = 3,
    projection: str | None = "downsample",
    head: str | None = "fc",
    classes: int = 5,
) -> Tensors:
    """A ResNet of BasicBlocks with `channels` channels in the first stage."""
    tensors = conv("conv1", channels, in_channels, stem, stem) | norm("bn1", channels)
    before = channels
    for i, depth in enumerate(layers):
        planes = channels * 2**i
        for j in range(depth):
            block = f"layer{i + 1}.{j}"
            tensors |= conv(f"{block}.conv1", planes, before, 3, 3) | norm(f"{block}.bn1", planes)
            tensors |= conv(f"{block}.conv2", planes, planes, 3, 3) | norm(f"{block}.bn2", planes)
            if projection and before != planes:
                tensors |= project(f"{block}.{projection}", planes, before)
            before = planes
    return tensors | (linear(head, classes, before) if head else {})


def bottleneck_net(
    layers: tuple[int, ...] = (1, 1, 1, 1),
    *,
    planes: int = 8,
    groups: int = 1,
    width: int = 8,
    projection: str = "downsample",
    head: str | None = "fc",
) -> Tensors:
    """A ResNet of Bottlenecks; `width` is the inner width of the first stage."""
    tensors = conv("conv1", planes, 3, 7, 7) | norm("bn1", planes)
    before = planes
    for i, depth in enumerate(layers):
        w, out = width * 2**i, 4 * planes * 2**i
        for j in range(depth):
            block = f"layer{i + 1}.{j}"
            tensors |= conv(f"{block}.conv1", w, before, 1, 1) | norm(f"{block}.bn1", w)
            tensors |= conv(f"{block}.conv2", w, w // groups, 3, 3) | norm(f"{block}.bn2", w)
            tensors |= conv(f"{block}.conv3", out, w, 1, 1) | norm(f"{block}.bn3", out)
            if j == 0:
                tensors |= project(f"{block}.{projection}", out, before)
            before = out
    return tensors | (linear(head, 5, before) if head else {})


def project(name: str, out_channels: int, in_channels: int) -> Tensors:
    return conv(f"{name}.0", out_channels, in_channels, 1, 1) | norm(f"{name}.1", out_channels)


def linear(name: str, out_features: int, in_features: int) -> Tensors:
    return {
        f"{name}.weight": np.ones((out_features, in_features), np.float32),
        f"{name}.bias": np.ones(out_features, np.float32),
    }


def without(tensors: Tensors, start: str) -> Tensors:
    """The tensors without those whose names start with `start`."""
    kept = {name: array for name, array in tensors.items() if not name.startswith(start)}
    assert len(kept) < len(tensors), f"nothing starts with {start}"
    return kept


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {prefix + name: array for name, array in tensors.items()}
