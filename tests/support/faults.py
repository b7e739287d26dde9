"""Faults to plant. Most are wrappers: given the working function they return the faulty one."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from npresnet import ops

# --- Windows: for `ops.windows.sliding_windows`, which returns (N, C, OH, OW, KH, KW).


def swapped_taps(working):
    """The filter's rows for its columns."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill)
        return windows.swapaxes(4, 5).reshape(windows.shape)

    return faulty


def flipped_filter(working):
    """Mathematical convolution instead of cross-correlation."""
    return lambda x, window, out_size, fill: working(x, window, out_size, fill)[..., ::-1, ::-1]


def zero_under_the_maximum(working):
    return lambda x, window, out_size, fill: working(x, window, out_size, 0)


def dilation_ignored(working):
    """Adjacent taps, in an output of the right size."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill).copy()
        plain = working(x, replace(window, dilation=(1, 1)), out_size, fill)
        rows, columns = min(windows.shape[2], plain.shape[2]), min(windows.shape[3], plain.shape[3])
        windows[:, :, :rows, :columns] = plain[:, :, :rows, :columns]
        return windows

    return faulty


def stride_before_dilation(working):
    """Position (i*s + u)*d - p instead of i*s + u*d - p: right wherever one of s and d is 1."""

    def faulty(x, window, out_size, fill):
        stride = tuple(s * d for s, d in zip(window.stride, window.dilation, strict=True))
        room = [(0, 0), (0, 0), (0, 200), (0, 200)]
        padded = np.pad(x, room, constant_values=fill)
        return working(padded, replace(window, stride=stride), out_size, fill)[:, :, : out_size[0], : out_size[1]]

    return faulty


def one_row_off(working):
    """Each output row reads the input of the row before it."""
    return lambda *args, **options: np.roll(working(*args, **options), 1, axis=2)


def truncated_edge(working):
    """The number of tiles rounded down: the last rows, fewer than a tile of four, are missing."""

    def faulty(x, window, out_size, fill):
        windows = working(x, window, out_size, fill).copy()
        whole = out_size[0] // 4 * 4
        if whole:
            windows[:, :, whole:] = 0
        return windows

    return faulty


# --- Whole convolutions, with the arguments of `ops.conv2d`.


def stride_on_the_wrong_axis(x, weight, bias=None, *, stride, padding, dilation, groups):
    return ops.conv2d(x, weight, bias, stride=stride[::-1], padding=padding, dilation=dilation, groups=groups)


def groups_out_of_order(x, weight, bias=None, *, stride, padding, dilation, groups):
    """Every groups-th channel in a group, instead of neighbouring ones."""
    N, C, H, W = x.shape
    mixed = x.reshape(N, C // groups, groups, H, W).swapaxes(1, 2).reshape(x.shape)
    return ops.conv2d(mixed, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def filters_out_of_order(x, weight, bias=None, *, stride, padding, dilation, groups):
    """The groups' filters interleaved in the output."""
    out = ops.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    N, O, OH, OW = out.shape  # noqa: E741
    return out.reshape(N, groups, O // groups, OH, OW).swapaxes(1, 2).reshape(out.shape)


def bias_forgotten(x, weight, bias=None, **window):
    return ops.conv2d(x, weight, None, **window)


def first_image_only(x, weight, bias=None, **window):
    return ops.conv2d(np.broadcast_to(x[:1], x.shape), weight, bias, **window)


# --- The interpreter: for `ops.run.compute(node, inputs)`.


def relu_before_residual(working):
    """relu(conv(x)) + residual instead of relu(conv(x) + residual)."""

    def faulty(node, inputs):
        if node.op == "conv2d" and len(inputs) > 1:
            return ops.add(working(node.evolve(inputs=node.inputs[:1]), inputs[:1]), inputs[1])
        return working(node, inputs)

    return faulty


def relu_forgotten(working):
    return lambda node, inputs: working(node.evolve(activation=None), inputs)


# --- Passes, plan and CPU backend.


def without_eps(working):
    return lambda norm: working(norm.evolve(attrs={"eps": 0.0}))


def swapped_columns(working):
    """The taps (n, h, OW, KH, KW, C) with rows for columns."""

    def faulty(*args):
        view = working(*args)
        return view.swapaxes(3, 4).reshape(view.shape)

    return faulty


def undilated(working):
    def faulty(memory, conv, area):
        filters = copy(conv.filters)
        filters.window = replace(filters.window, dilation=(1, 1))
        return working(memory, conv._replace(filters=filters), area)

    return faulty


def no_minus_infinity(working):
    return lambda source, out: working(0.0 if np.isscalar(source) else source, out)


def scrambled_blocks(working):
    return lambda weights, groups, blocks: working(weights[..., ::-1], groups, blocks)


def relu_before_residual_in_a_tile(working):
    def faulty(conv, memory, area, product, target, *, bias):
        early = working(_changed(conv, inputs=conv.node.inputs[:1]), memory, area, product, product, bias=bias)
        return [*early, *working(_changed(conv, activation=None), memory, area, product, target, bias=False)]

    return faulty


def residual_forgotten(working):
    def faulty(conv, *args, **options):
        return working(_changed(conv, inputs=conv.node.inputs[:1]), *args, **options)

    return faulty


def _changed(conv, **changes):
    return conv._replace(node=conv.node.evolve(**changes))


def short_last_band(working):
    """Bands of floor(length / parts) rows: the remaining rows are never written."""

    def faulty(length, parts):
        pieces = working(length, parts)
        size = max(1, length // len(pieces))
        return [(i * size, (i + 1) * size) for i in range(len(pieces))]

    return faulty


def released_too_early(working):
    """Every value's memory is reused as soon as the value is computed."""
    return lambda network: {name: life._replace(last=life.first) for name, life in working(network).items()}


# --- Threads.


def no_waits(working):
    """No worker waits for another."""
    return lambda *args: {}


def last_worker_first(team, jobs, abort) -> None:
    """One of the orders that missing gates allow: the last worker ends its last step before the first begins."""
    for job in reversed(jobs):
        job()
