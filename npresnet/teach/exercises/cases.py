"""The inputs that exercises are checked on: small whole numbers, so that a right answer is right to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from npresnet.network import INPUT, Array, Node
from npresnet.teach import simt
from npresnet.teach.exercises.exercise import Case, Function, Index
from npresnet.teach.exercises.pictures import patch_picture
from npresnet.window import Window


def whole(shape: tuple[int, ...], seed: int) -> Array:
    """Whole numbers from -4 to 4, as float32."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def unequal(kernel_size: tuple[int, int], stride: int, padding: int, dilation: int) -> Window:
    """A window of other numbers along its width than along its height: who takes one for the other is found out."""
    return Window.of(kernel_size, (stride, 3 - stride), (padding, 1 - padding), (dilation, 3 - dilation))


def by_hand_conv() -> Iterator[Case]:
    """conv(x, weight, stride, padding)."""
    for stride, padding, (KH, KW) in product((1, 2, 3), (0, 1, 2), ((3, 3), (1, 1), (2, 3))):
        x, weight = whole((2, 3, 7, 6), 1), whole((4, 3, KH, KW), 2)
        window = Window.of((KH, KW), stride, padding)
        title = f"{KH}x{KW} filters, stride {stride}, padding {padding}, on 7x6 images"
        yield Case(title, _caller(x, weight, stride, padding), _conv_picture(x, weight, window))


def grouped_conv() -> Iterator[Case]:
    """rung(x, weight, window, groups)."""
    for stride, padding, dilation, groups in product((1, 2), (0, 1), (1, 2), (1, 2, 4)):
        x, weight = whole((1, 4, 7, 6), 3), whole((8, 4 // groups, 3, 2), 4)
        window = unequal((3, 2), stride, padding, dilation)
        how = f"stride {window.stride}, padding {window.padding}, dilation {window.dilation}"
        title = f"3x2 filters, {how}, {groups} groups"
        yield Case(title, _caller(x, weight, window, groups), _conv_picture(x, weight, window, groups))


def tiled_conv() -> Iterator[Case]:
    """tiled_and_fused(x, weight, window, band=..., bias=...)."""
    for case, (stride, band) in enumerate(product((1, 2), (1, 2, 3, 5, 50))):
        x, weight, bias = whole((2, 3, 9, 6), 5), whole((4, 3, 3, 3), 6), whole((4,), 7)
        window = Window.of(3, stride, 1)
        title = f"bands of {band} rows, stride {stride}, on 9x6 images"
        call = _caller(x, weight, window, 1, bias=bias, relu=case % 2 == 0, band=band)
        yield Case(title, call, _conv_picture(x, weight, window))


def im2col_matrices() -> Iterator[Case]:
    """im2col(x, window)."""
    for stride, padding, dilation in product((1, 2), (0, 1), (1, 2)):
        x, window = whole((2, 2, 5, 6), 8), unequal((2, 3), stride, padding, dilation)

        def picture(index: Index, x: Array = x, window: Window = window) -> str:
            n, row, column = index
            channel, tap = divmod(row, 6)
            i, j = divmod(column, window.output_size(x.shape[2:])[1])
            seen = patch_picture(x, window, (n, i, j), range(channel, channel + 1), None)
            return (
                f"Row {row} is channel {channel}, tap {divmod(tap, 3)}; column {column} is position {(i, j)}.\n{seen}"
            )

        how = f"stride {window.stride}, padding {window.padding}, dilation {window.dilation}"
        title = f"2x3 windows, {how}, on 5x6 images"
        yield Case(title, _caller(x, window), picture)


def max_pools() -> Iterator[Case]:
    """max_pool(x, kernel_size, stride, padding), all numbers negative."""
    for kernel_size, stride, padding, scale in ((3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (2, 1, 1, 1e30)):
        x, window = (whole((2, 2, 6, 5), 9) - 5) * np.float32(scale), Window.of(kernel_size, stride, padding)

        def picture(index: Index, x: Array = x, window: Window = window) -> str:
            n, channel, i, j = index
            return patch_picture(x, window, (n, i, j), range(channel, channel + 1), None)

        title = f"{kernel_size}x{kernel_size} windows, stride {stride}, padding {padding}, all numbers negative"
        yield Case(title, _caller(x, kernel_size, stride, padding), picture)


def batch_norms() -> Iterator[Case]:
    """batch_norm(x, weights, name)."""
    rng = np.random.default_rng(10)
    for channels in (1, 3):
        norm = _norm_numbers(rng, channels)
        yield Case(f"{channels} channels", _caller(whole((2, channels, 3, 3), 11), _prefixed(norm, "bn1"), "bn1"))


def folds() -> Iterator[Case]:
    """fold(conv, norm): the result is the filters, scaled, and the bias."""
    rng = np.random.default_rng(12)
    for has_bias in (False, True):
        params = {"weight": whole((4, 3, 3, 3), 13), **({"bias": whole((4,), 14)} if has_bias else {})}
        conv = Node("conv1", "conv2d", (INPUT,), window=Window.of(3, 1, 1), params=params)
        norm = Node("bn1", "batch_norm", ("conv1",), attrs={"eps": 1e-5}, params=_norm_numbers(rng, 4))

        def call(function: Function, conv: Node = conv, norm: Node = norm) -> Array:
            folded = function(conv, norm).params
            filters = folded["weight"] * np.asarray(folded["scale"])[:, None, None, None]
            return np.concatenate([filters.ravel(), np.asarray(folded["bias"]).ravel()])

        yield Case(f"a convolution {'with' if has_bias else 'without'} a bias of its own", call)


def blocks() -> Iterator[Case]:
    """block(x, weights, name, stride)."""
    rng = np.random.default_rng(15)
    for stride, out_channels in ((1, 4), (2, 6)):
        weights = {
            "b.conv1.weight": whole((out_channels, 4, 3, 3), 16),
            **_prefixed(_norm_numbers(rng, out_channels), "b.bn1"),
        }
        weights |= {"b.conv2.weight": whole((out_channels, out_channels, 3, 3), 17)}
        weights |= _prefixed(_norm_numbers(rng, out_channels), "b.bn2")
        if stride > 1:
            weights |= {"b.downsample.0.weight": whole((out_channels, 4, 1, 1), 18)}
            weights |= _prefixed(_norm_numbers(rng, out_channels), "b.downsample.1")
        title = f"stride {stride}, 4 to {out_channels} channels"
        yield Case(title, _caller(whole((2, 4, 6, 6), 19), weights, "b", stride))


def softmaxes() -> Iterator[Case]:
    """softmax(logits)."""
    yield Case("small logits", _caller(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], np.float32)))
    yield Case(
        "logits whose exponentials do not fit a float32",
        _caller(np.array([[1000.0, 1001.0, 0.0], [0.0, 1.0, 2.0]], np.float32)),
    )


def kernels_1d() -> Iterator[Case]:
    """A simt kernel(cuda, x, weight, y)."""
    for length, taps, block in ((36, 5, 32), (70, 3, 32), (20, 1, 8), (65, 9, 64)):
        x, weight = whole((length,), 20), whole((taps,), 21)

        def call(function: Function, x: Array = x, weight: Array = weight, block: int = block) -> Array:
            y = np.full(len(x) - len(weight) + 1, np.nan, np.float32)
            simt.launch(function, x.copy(), weight.copy(), y, grid=-(-len(y) // block), block=block)
            return y

        def picture(index: Index, x: Array = x, weight: Array = weight, block: int = block) -> str:
            (i,), t = index, len(weight)
            seen = "  ".join(f"{value:g}*{tap:g}" for value, tap in zip(x[i : i + t], weight, strict=True))
            return f"Thread {i % block} of block {i // block} should add x[{i}] to x[{i + t - 1}], times weight: {seen}"

        yield Case(f"{length} numbers, {taps} taps, blocks of {block} threads", call, picture)


def _caller(*args: Any, **options: Any) -> Any:
    """A call on copies, so that no answer can change the question."""

    def call(function: Function) -> Array:
        copies = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
        return np.asarray(function(*copies, **options))

    return call


def _conv_picture(x: Array, weight: Array, window: Window, groups: int = 1) -> Any:
    def picture(index: Index) -> str:
        n, o, i, j = index
        first = o // (len(weight) // groups) * weight.shape[1]
        return patch_picture(x, window, (n, i, j), range(first, first + weight.shape[1]), weight[o])

    return picture


def _norm_numbers(rng: np.random.Generator, channels: int) -> dict[str, Array]:
    names = ("running_mean", "running_var", "weight", "bias")
    numbers = {name: rng.uniform(-2, 2, channels).astype(np.float32) for name in names}
    return {**numbers, "running_var": np.abs(numbers["running_var"])}


def _prefixed(numbers: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in numbers.items()}
