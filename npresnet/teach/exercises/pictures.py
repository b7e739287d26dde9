"""What one output of a window sees, drawn with characters: `.` is outside the image."""

from __future__ import annotations

from npresnet.network import Array
from npresnet.window import Window

MOST_CHANNELS = 4


def patch_picture(
    x: Array, window: Window, position: tuple[int, int, int], channels: range, weight: Array | None
) -> str:
    """The patch under the window, channel by channel, and the filter beside it.

    x         (N, C, H, W)
    position  image, output row, output column
    channels  those of x that are seen
    weight    (len(channels), KH, KW) or None for a pool
    """
    n, i, j = position
    rows, columns = (
        [at * window.stride[axis] + tap * window.dilation[axis] - window.padding[axis] for tap in range(taps)]
        for axis, (at, taps) in enumerate(zip((i, j), window.kernel_size, strict=True))
    )
    parts = [f"It looks at rows {rows} and columns {columns} of image {n}; `.` is outside the image:"]
    for place, channel in enumerate(channels[:MOST_CHANNELS]):
        patch = [[_cell(x, n, channel, row, column) for column in columns] for row in rows]
        taps = [
            ["" if weight is None else f"{weight[place, u, v]:g}" for v in range(len(columns))]
            for u in range(len(rows))
        ]
        heading = f"  x[{n}, {channel}]".ljust(7 * len(columns) + 4)
        parts.append(heading + ("" if weight is None else "   its filter"))
        for seen, filter_row in zip(patch, taps, strict=True):
            left = "".join(text.rjust(7) for text in seen)
            parts.append(
                "  " + left + ("" if weight is None else "  x " + "".join(text.rjust(5) for text in filter_row))
            )
    if len(channels) > MOST_CHANNELS:
        parts.append(f"  ... and {len(channels) - MOST_CHANNELS} channels more")
    return "\n".join(parts)


def _cell(x: Array, n: int, channel: int, row: int, column: int) -> str:
    height, width = x.shape[2:]
    return f"{x[n, channel, row, column]:g}" if 0 <= row < height and 0 <= column < width else "."
