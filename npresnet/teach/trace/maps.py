"""Feature maps of every step as small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npresnet.network import Array
from npresnet.teach.pages import pictures

STRONGEST = 16  # channels that are shown one by one
MEAN_SIDE = 112  # pixels of the longer side of a mean's picture, at most
CHANNEL_SIDE = 56  # of each single channel's


@dataclass(frozen=True)
class Maps:
    """A step's feature map (C, H, W) as pictures.

    mean            the mean over channels; channels: the strongest ones in one picture, `columns` in a row
    strongest       their numbers, by the mean of their absolute values, the strongest first
    low, high       the least and the greatest value of all
    zeros           share of values that are exactly 0
    """

    mean: str
    channels: str
    columns: int
    strongest: list[int]
    low: float
    high: float
    zeros: float


def draw(values: Array) -> Maps:
    """Pictures of one value, (C, H, W) or (C,), which is drawn as one row of pixels."""
    planes = values if values.ndim == 3 else values.reshape(1, 1, -1)
    finite = np.nan_to_num(planes, nan=0.0, posinf=0.0, neginf=0.0)
    strength = np.abs(finite).mean(axis=(1, 2))  # (C,)
    order = np.argsort(-strength, kind="stable")[:STRONGEST]
    columns = min(4, len(order))
    channels = [_scaled(_shrunk(finite[c], CHANNEL_SIDE)) for c in order]
    return Maps(
        mean=pictures.feature_map(_folded(_shrunk(finite.mean(axis=0), MEAN_SIDE))),
        channels="" if len(planes) == 1 else pictures.feature_map(_sheet(channels, columns)),
        columns=columns,
        strongest=[int(c) for c in order],
        low=float(finite.min()),
        high=float(finite.max()),
        zeros=float((planes == 0).mean()),
    )


def _shrunk(plane: Array, side: int) -> Array:
    """Means over squares of pixels, so that no side is longer than `side`. A single row stays as it is."""
    if len(plane) == 1:
        return plane
    factor = -(-max(plane.shape) // side)
    if factor == 1:
        return plane
    height, width = (n // factor * factor for n in plane.shape)
    squares = plane[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return np.asarray(squares.mean(axis=(1, 3)))


def _folded(plane: Array) -> Array:
    """A long row (1, W) as lines of 32 one below the other, the rest filled with zeros; others as they are."""
    if len(plane) > 1 or plane.shape[1] <= 32:
        return plane
    lines = -(-plane.shape[1] // 32)
    folded = np.zeros(lines * 32, plane.dtype)
    folded[: plane.shape[1]] = plane[0]
    return folded.reshape(lines, 32)


def _scaled(plane: Array) -> Array:
    """Each channel with a scale of its own: -1..1, its largest absolute value is 1."""
    return plane / (np.abs(plane).max() or 1.0)


def _sheet(planes: list[Array], columns: int) -> Array:
    """Planes of one size side by side, `columns` in a row; missing ones are zeros."""
    height, width = planes[0].shape
    rows = -(-len(planes) // columns)
    sheet = np.zeros((rows * height, columns * width), np.float32)
    for n, plane in enumerate(planes):
        row, column = divmod(n, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = plane
    return sheet
