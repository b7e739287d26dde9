"""Convolution and pooling as nested loops over integers: slow, but obviously correct."""

from __future__ import annotations

import numpy as np


def conv2d(x, weight, bias, *, stride, padding, dilation, groups):
    """Seven nested loops over Python's integers; (N, O, OH, OW) int64."""
    N, C, H, W = x.shape
    O, group_channels, KH, KW = weight.shape  # noqa: E741
    OH, OW = (_count(x.shape[2 + a], weight.shape[2 + a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    image, filters = x.astype(np.int64).tolist(), weight.astype(np.int64).tolist()
    out = np.zeros((N, O, OH, OW), np.int64)
    for n in range(N):
        for o in range(O):
            first_channel = o // (O // groups) * group_channels
            for i in range(OH):
                for j in range(OW):
                    total = int(bias[o])
                    for c in range(group_channels):
                        for u in range(KH):
                            for v in range(KW):
                                row = i * stride[0] + u * dilation[0] - padding[0]
                                column = j * stride[1] + v * dilation[1] - padding[1]
                                if 0 <= row < H and 0 <= column < W:
                                    total += filters[o][c][u][v] * image[n][first_channel + c][row][column]
                    out[n, o, i, j] = total
    return out


def max_pool2d(x, kernel_size, *, stride, padding, dilation):
    """The largest pixel of each window; sizes are rounded down, because ceil_mode has its own oracle in PyTorch."""
    N, C, H, W = x.shape
    OH, OW = (_count(x.shape[2 + a], kernel_size[a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    out = np.zeros((N, C, OH, OW), x.dtype)
    for n, c, i, j in np.ndindex(out.shape):
        rows = [i * stride[0] + u * dilation[0] - padding[0] for u in range(kernel_size[0])]
        columns = [j * stride[1] + v * dilation[1] - padding[1] for v in range(kernel_size[1])]
        inside = [x[n, c, row, column] for row in rows for column in columns if 0 <= row < H and 0 <= column < W]
        out[n, c, i, j] = max(inside, default=-np.inf)
    return out


def _count(size, kernel_size, stride, padding, dilation):
    """How often a window fits: counted step by step, without the formula."""
    position, count = -padding, 0
    while position + dilation * (kernel_size - 1) <= size - 1 + padding:
        position, count = position + stride, count + 1
    return count
