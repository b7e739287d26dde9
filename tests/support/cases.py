"""The cases of the exact tests: small integers in float32, over the full cross product of window parameters.

With integers from -4 to 4 every product and every sum below 2**24 is exact in float32, whatever the order of summation:
implementations must agree bit for bit, without a tolerance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from npresnet.window import Window

SIZES = (1, 3, 7, 33)  # ragged: no multiple of any tile
KERNEL_SIZES = ((1, 1), (3, 3), (5, 5), (7, 7), (1, 3), (3, 1))
STRIDES = ((1, 1), (2, 2), (3, 3), (2, 1), (1, 3))
DILATIONS = ((1, 1), (2, 2), (1, 2))
PADDINGS = ((0, 0), (1, 1), (2, 2), (3, 0), (0, 1))
CHANNELS = {  # name -> (in_channels, out_channels, groups)
    "dense": (3, 4, 1),
    "two groups": (4, 6, 2),
    "depthwise": (4, 4, 4),
    "depthwise, two filters a channel": (3, 6, 3),
}
POOL_KERNEL_SIZES = ((2, 2), (3, 3), (2, 3), (3, 1))
POOL_PADDINGS = ((0, 0), (1, 1), (1, 0))


@dataclass(frozen=True)
class ConvCase:
    """One convolution, its numbers included: they follow from the seed."""

    batch: int
    in_channels: int
    out_channels: int
    size: tuple[int, int]
    window: Window
    groups: int
    seed: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (N, C, H, W), weight (O, C/G, KH, KW), bias (O,)."""
        rng = np.random.default_rng(self.seed)
        weight_shape = (self.out_channels, self.in_channels // self.groups, *self.window.kernel_size)
        x_shape = (self.batch, self.in_channels, *self.size)
        return integers(rng, x_shape), integers(rng, weight_shape), integers(rng, (self.out_channels,))

    @property
    def macs(self) -> int:
        """Multiply-adds, which determine the time of seven nested loops."""
        taps = int(np.prod(self.window.kernel_size)) * self.in_channels // self.groups
        return self.batch * self.out_channels * int(np.prod(self.window.output_size(self.size))) * taps


@dataclass(frozen=True)
class PoolCase:
    """One pool, its numbers included."""

    batch: int
    channels: int
    size: tuple[int, int]
    window: Window
    ceil_mode: bool
    seed: int

    def array(self) -> np.ndarray:
        """x (N, C, H, W); all of it negative in every second case, so that a border of zeros would win."""
        x = integers(np.random.default_rng(self.seed), (self.batch, self.channels, *self.size))
        return x - 5 if scatter(self.seed) & 1 else x


def integers(rng: np.random.Generator, shape: tuple[int, ...], most: int = 4) -> np.ndarray:
    """float32 integers from -most to most."""
    return rng.integers(-most, most + 1, shape).astype(np.float32)


def conv_cases(
    kernel_sizes: Iterable[tuple[int, int]] = KERNEL_SIZES, channels: Iterable[str] = tuple(CHANNELS)
) -> Iterator[ConvCase]:
    """Stride x dilation x padding x groups x kernel_size, each on a third of the sizes that it fits; N is 1, 2 or 3.

    Each kind of channels has another third: together they meet every window on every size.
    """
    combinations = itertools.product(kernel_sizes, _windows(STRIDES, PADDINGS, DILATIONS), channels)
    for number, (kernel_size, (stride, padding, dilation), name) in enumerate(combinations):
        window = Window(kernel_size, stride, padding, dilation)
        in_channels, out_channels, groups = CHANNELS[name]
        for seed, size in _third_of_sizes(number, window):
            yield ConvCase(1 + scatter(seed) % 3, in_channels, out_channels, size, window, groups, seed)


def wide_conv_cases() -> Iterator[ConvCase]:
    """Channels and images as wide as in real networks: many tiles, and groups in several blocks."""
    layers = [  # (in_channels, out_channels, groups), size, kernel_size, stride
        ((3, 64, 1), (65, 47), 7, 2),
        ((64, 64, 1), (29, 31), 3, 1),
        ((64, 72, 1), (29, 31), 1, 1),
        ((64, 130, 1), (29, 31), 1, 2),
        ((96, 300, 1), (7, 7), 3, 1),
        ((300, 257, 1), (7, 5), 1, 1),
        ((128, 128, 32), (14, 15), 3, 1),  # four channels a group: eight groups fit one block
        ((128, 128, 32), (15, 14), 3, 2),
        ((120, 120, 3), (9, 8), 3, 1),  # forty channels a group: wider than a block
        ((60, 120, 20), (9, 8), 3, 1),
        ((40, 40, 40), (33, 35), 3, 2),
    ]
    for seed, ((in_channels, out_channels, groups), size, kernel_size, stride) in enumerate(layers, 10_000):
        window = Window.of(kernel_size, stride, kernel_size // 2)
        yield ConvCase(1 + scatter(seed) % 3, in_channels, out_channels, size, window, groups, seed)


def pool_cases(dilations: Iterable[tuple[int, int]] = DILATIONS) -> Iterator[PoolCase]:
    """kernel_size x stride x padding x dilation x ceil_mode x image size, wherever the window fits; N is 1, 2 or 3."""
    windows = _windows(STRIDES, POOL_PADDINGS, dilations)
    combinations = itertools.product(POOL_KERNEL_SIZES, windows, (False, True), _sizes())
    for seed, (kernel_size, (stride, padding, dilation), ceil_mode, size) in enumerate(combinations):
        window = Window(kernel_size, stride, padding, dilation)
        at_most_half = all(2 * p <= k for p, k in zip(padding, kernel_size, strict=True))
        if fits(window, size) and at_most_half:
            yield PoolCase(1 + scatter(seed) % 3, 1 + scatter(seed) % 4, size, window, ceil_mode, seed)


def wide_pool_cases() -> Iterator[PoolCase]:
    """Images so wide that a backend cuts them into tiles."""
    layers = [(64, (41, 43), 2, 0), (64, (80, 65), 3, 1), (7, (150, 301), 3, 1)]  # channels, size, kernel_size, padding
    for seed, ((channels, size, kernel_size, padding), stride, ceil_mode) in enumerate(
        itertools.product(layers, (1, 2), (False, True))
    ):
        yield PoolCase(1, channels, size, Window.of(kernel_size, stride, padding), ceil_mode, seed)


def scatter(number: int) -> int:
    """A number from 0 to 65535 without a pattern in the loops that `number` counts."""
    return number * 2654435761 % 2**32 >> 16


def fits(window: Window, size: tuple[int, int]) -> bool:
    """Whether the window fits the padded image at least once."""
    spans = (d * (k - 1) + 1 for k, d in zip(window.kernel_size, window.dilation, strict=True))
    return all(span <= n + 2 * p for span, n, p in zip(spans, size, window.padding, strict=True))


def _windows(*choices: Iterable[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]]:
    return list(itertools.product(*choices))


def _sizes() -> list[tuple[int, int]]:
    return list(itertools.product(SIZES, SIZES))


def _third_of_sizes(number: int, window: Window) -> list[tuple[int, tuple[int, int]]]:
    """(seed, size) of every third size that the window fits, beginning with another for each `number`; at least one."""
    sizes = enumerate(_sizes(), number * len(SIZES) ** 2)
    fitting = [(seed, size) for seed, size in sizes if fits(window, size)]
    return fitting[number % min(3, len(fitting)) :: 3] if fitting else []
