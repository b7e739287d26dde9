"""Option A's shortcut: kernels/shortcut_a/shortcut_a.cu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, from_to
from npresnet.cuda.launchers.vectors import ceil_div, form, source_for

FILE = "shortcut_a/shortcut_a.cu"
THREADS = 128


def launches(
    images: int,
    height: int,
    width: int,
    channels: int,
    element: Element,
    *,
    stride: int,
    pad_channels: Sequence[int],
    frames: int = 1,
    x: int,
    y: int,
) -> list[Launch]:
    """Every stride-th pixel, and zeros for the channels that are missing.

    y[n,i,j, before + c] = x[n, i*stride, j*stride, c], and 0 in the channels before and after

    pad_channels   (before, after)
    frames         T of clips (N, T, H, W, C), of which every stride-th is taken
    x              (N, H, W, C)                                                     element's storage
    y              (N, ceil(H/stride), ceil(W/stride), before + C + after)         element's storage
    """
    before, after = pad_channels
    name, vector = form(element, channels, before, after)
    OH, OW, out_channels = ceil_div(height, stride), ceil_div(width, stride), before + channels + after
    OT = ceil_div(frames, stride)
    numbers = map(np.int32, (height, width, channels, OH, OW, out_channels, stride, before, frames, OT))
    grid = (images * OT * OH, ceil_div(OW * out_channels // vector, THREADS), 1)
    args = (np.uint64(x), np.uint64(y), *numbers)
    return [Launch(source_for(FILE, element), f"shortcut_a_{name}", grid, (THREADS, 1, 1), args)]


class ShortcutALowering(Lowering):
    """A shortcut without weights."""

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        value, attrs = bound.layout.values[bound.node.inputs[0]], bound.node.attrs
        frames = value.shape[1] if len(value.shape) == 4 else 1
        return launches(
            value.images,
            value.stored.height // frames,
            value.stored.width,
            value.stored.channels,
            bound.element,
            stride=attrs["stride"],
            pad_channels=attrs["pad_channels"],
            frames=frames,
            **from_to(bound, place),
        )
