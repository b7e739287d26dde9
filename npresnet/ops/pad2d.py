"""Padding as a step of its own: zeros or the reflected image around a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, image_shape
from npresnet.ops.windows import check_image
from npresnet.window import Window

MODES = ("zeros", "reflect")


def pad2d(x: Array, padding: Sequence[int], *, mode: str = "zeros") -> Array:
    """The map with a border of zeros, or of its own rows and columns in reverse.

    out[n,c,i,j] = x[n, c, i - top, j - left], and outside the map 0 or, for "reflect", the value at the mirrored
    position: -1 is 1, -2 is 2, H is H - 2. Rows and columns are mirrored independently; the edge is not repeated.

    x        (N, C, H, W)                  any float dtype, also that of the result
    padding  (left, right, top, bottom)    numbers >= 0; for "reflect" less than the map's size along that axis
    returns  (N, C, top + H + bottom, left + W + right)

    Cost: one copy. Raises ShapeError for other axes or a border that cannot be made. Source: torch.nn.functional.pad.
    """
    x = np.asarray(x)
    check_image(x)
    _check(padding, mode, x.shape[1:])
    left, right, top, bottom = padding
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(x, widths) if mode == "zeros" else np.pad(x, widths, mode="reflect")


def _check(padding: Sequence[int], mode: str, shape: Shape) -> None:
    """Raise ShapeError unless a map of `shape` (C, H, W) can have this border."""
    if mode not in MODES:
        raise ShapeError(f"expects the mode {' or '.join(MODES)}, got {mode!r}")
    if len(padding) != 4 or min(padding) < 0:
        raise ShapeError(f"expects padding (left, right, top, bottom), numbers >= 0, got {tuple(padding)}")
    _, height, width = shape
    left, right, top, bottom = padding
    if mode == "reflect" and (max(left, right) >= width or max(top, bottom) >= height):
        raise ShapeError(
            f"needs a larger image: {shape} (C, H, W) cannot be reflected by {tuple(padding)} "
            "(left, right, top, bottom), which must be less than its size"
        )


def border_of(attrs: Mapping[str, Any], size: Sequence[int]) -> tuple[int, ...]:
    """(left, right, top, bottom) of a node with these attributes, for a map of `size` (H, W).

    padding  gives it, or
    same     (kernel_size, stride) of the window that follows, each (height, width): TensorFlow's SAME, the least border
             with which that window has ceil(size / stride) positions; an odd one is larger at the end
    """
    if "same" not in attrs:
        return tuple(attrs["padding"])
    axes = zip(size, *attrs["same"], strict=True)
    height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n, kernel, stride in axes)
    return width // 2, width - width // 2, height // 2, height - height // 2


def _compute(node: Node, x: Array) -> Array:
    x = np.asarray(x)
    check_image(x)
    return pad2d(x, border_of(node.attrs, x.shape[2:]), mode=node.attrs.get("mode", "zeros"))


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    channels, height, width = image_shape(inputs[0])
    padding = border_of(node.attrs, (height, width))
    _check(padding, node.attrs.get("mode", "zeros"), inputs[0])
    left, right, top, bottom = padding
    return channels, top + height + bottom, left + width + right


def _sees(node: Node, index: int, shape: Shape) -> Window | None:
    """The same place of the image. Positions in the border are outside of it, also where they are reflected."""
    left, _, top, _ = border_of(node.attrs, shape[1:])
    return Window.of(1, padding=(top, left))


PAD2D = Operation(
    name="pad2d",
    label="pad",
    title="",
    compute=_compute,
    infer_shape=_infer_shape,
    sees=_sees,
)
