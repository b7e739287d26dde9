"""Window against brute force and PyTorch, over the cross product of kernel, stride, padding, dilation and size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from npresnet.errors import ShapeError
from npresnet.window import Window

torch = pytest.importorskip("torch", reason="torch is not installed")

SIZES = (1, 2, 3, 7, 8, 33)


def windows(kernels=(1, 2, 3, 5, 7)) -> Iterator[Window]:
    for parts in itertools.product(kernels, (1, 2, 3, 4), (0, 1, 2, 3), (1, 2, 3)):
        yield Window.of(*parts, axes=1)


def positions(window: Window, output: int) -> list[int]:
    """The input positions of one output, from the equation."""
    (k, s, p, d) = (part[0] for part in (window.kernel_size, window.stride, window.padding, window.dilation))
    return [output * s + u * d - p for u in range(k)]


def count_outputs(window: Window, size: int) -> int:
    """Slide the window until its last tap leaves the padded input."""
    return next(i for i in itertools.count() if positions(window, i)[-1] > size - 1 + window.padding[0])


def placed() -> Iterator[tuple[Window, int, int]]:
    """(window, size, number of outputs) for all sizes that the window fits into."""
    for window, size in itertools.product(windows(), SIZES):
        count = count_outputs(window, size)
        if count:
            yield window, size, count


def test_extent():
    for window in windows():
        taps = positions(window, 0)
        assert window.extent == (taps[-1] - taps[0] + 1,)


def test_output_size_counts_the_positions():
    for window, size in itertools.product(windows(), SIZES):
        count = count_outputs(window, size)
        if count:
            assert window.output_size((size,)) == (count,)
        else:
            with pytest.raises(ShapeError, match="smaller than the window"):
                window.output_size((size,))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_output_size_of_a_pool_is_torchs(ceil_mode):
    rounded_up = 0
    for window, size, count in placed():
        if 2 * window.padding[0] > window.kernel_size[0]:
            continue  # PyTorch refuses a pool with so much padding
        parts = (part[0] for part in (window.kernel_size, window.stride, window.padding, window.dilation))
        pooled = torch.nn.functional.max_pool2d(torch.zeros(1, size, size), *parts, ceil_mode)
        assert window.output_size((size,), ceil_mode=ceil_mode) == (pooled.shape[2],), (window, size)
        rounded_up += pooled.shape[2] > count
    assert bool(rounded_up) == ceil_mode


def test_output_size_of_a_convolution_is_torchs():
    for window, size, _ in placed():
        (kernel, stride, padding, dilation) = (
            part[0] for part in (window.kernel_size, window.stride, window.padding, window.dilation)
        )
        out = torch.nn.functional.conv1d(
            torch.zeros(1, 1, size, device="meta"), torch.zeros(1, 1, kernel, device="meta"), None, stride, padding,
            dilation,
        )  # fmt: skip
        assert window.output_size((size,)) == (out.shape[2],)


def test_each_axis_has_its_own_numbers():
    window = Window((3, 5), (2, 1), (1, 0), (1, 2))
    assert window.extent == (3, 9)
    assert window.output_size((9, 20)) == (5, 12)
    assert window.input_range(0, 1, 3) == (1, 6)
    assert window.input_range(1, 1, 3) == (1, 11)


def test_input_range():
    for window, _, count in placed():
        for start, stop in itertools.combinations(range(min(count, 5) + 1), 2):
            seen = [position for i in range(start, stop) for position in positions(window, i)]
            assert window.input_range(0, start, stop) == (min(seen), max(seen) + 1)


def test_valid_outputs_and_tap_positions():
    for window, size, count in placed():
        for tap in range(window.kernel_size[0]):
            inside = [i for i in range(count) if 0 <= positions(window, i)[tap] < size]
            start, stop = window.valid_outputs(0, tap, size, count)
            assert list(range(start, stop)) == inside, (window, size, tap)
            if inside:
                taken = list(range(size))[window.tap_positions(0, tap, start, stop)]
                assert taken == [positions(window, i)[tap] for i in inside]


def test_valid_outputs_under_ceil_mode():
    """The last window may reach beyond the right-hand padding: only some of its taps are valid."""
    window = Window.of(3, 2, 0, axes=1)
    (count,) = window.output_size((6,), ceil_mode=True)
    assert count == 3
    assert [window.valid_outputs(0, tap, 6, count) for tap in range(3)] == [(0, 3), (0, 3), (0, 2)]


def test_pointwise():
    assert Window.of(1).is_pointwise
    assert Window.of(1, stride=2).is_pointwise
    assert not Window.of(1, padding=1).is_pointwise
    assert not Window.of((1, 3)).is_pointwise


def test_one_number_applies_to_all_axes():
    assert Window.of(3, (2, 1), 1) == Window((3, 3), (2, 1), (1, 1), (1, 1))
    assert Window.of([3, 3]).kernel_size == (3, 3)
    assert Window.of(3, axes=3).stride == (1, 1, 1)
    assert Window.of(np.int64(3), np.uint8(2)) == Window.of(3, 2)


@pytest.mark.parametrize(
    "parts",
    [
        ((0, 3), (1, 1), (0, 0), (1, 1)),
        ((3, 3), (0, 1), (0, 0), (1, 1)),
        ((3, 3), (1, 1), (0, -1), (1, 1)),
        ((3, 3), (1, 1), (0, 0), (1, 0)),
        ((3, 3), (1,), (0, 0), (1, 1)),
        ((3,), (1, 1), (0, 0), (1, 1)),
    ],
)
def test_invalid_windows_are_refused(parts):
    with pytest.raises(ShapeError):
        Window(*parts)


def test_a_size_with_a_different_number_of_axes_is_refused():
    with pytest.raises(ShapeError, match="2 axes"):
        Window.of(3).output_size((5, 5, 5))
