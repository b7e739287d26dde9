"""Window: the sliding window of a convolution or pool, and the only size arithmetic in the project.

Along one axis, output position i reads the input positions

    i * stride + u * dilation - padding        for u = 0 .. kernel_size - 1

so the number of output positions for `size` input positions is

    (size + 2*padding - dilation*(kernel_size - 1) - 1) // stride + 1

(PyTorch, Conv2d, section "Shape"). Dilation 1 means no dilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index

from npresnet.errors import ShapeError

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """kernel_size, stride, padding and dilation, one number per axis: height, width; for clips time, height, width."""

    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes

    def __post_init__(self) -> None:
        axes = {len(self.kernel_size), len(self.stride), len(self.padding), len(self.dilation)}
        if len(axes) != 1:
            raise ShapeError(f"all fields of a window need the same number of axes, got {self}")
        if min(self.kernel_size + self.stride + self.dilation, default=1) < 1 or min(self.padding, default=0) < 0:
            raise ShapeError(f"kernel_size, stride and dilation must be >= 1, padding >= 0, got {self}")

    @classmethod
    def of(
        cls,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        *,
        axes: int = 2,
    ) -> Window:
        """A window from numbers or sequences; a single number applies to all axes."""
        return cls(*(_per_axis(value, axes) for value in (kernel_size, stride, padding, dilation)))

    @property
    def extent(self) -> Axes:
        """Number of input positions from the first tap to the last, inclusive: dilation*(kernel_size-1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True))

    @property
    def is_pointwise(self) -> bool:
        """Whether this is a 1x1 window without padding: each output reads one input, so im2col is unnecessary."""
        return all(k == 1 and p == 0 for k, p in zip(self.kernel_size, self.padding, strict=True))

    def output_size(self, size: Sequence[int], *, ceil_mode: bool = False) -> Axes:
        """Number of output positions along each axis for `size` input positions.

        With `ceil_mode` (pooling only) the division rounds up, but a window that would start in the right-hand padding
        is dropped, as in PyTorch. Raises ShapeError if the padded input is smaller than the window.
        """
        if len(size) != len(self.kernel_size):
            raise ShapeError(f"a window over {len(self.kernel_size)} axes cannot be applied to size {tuple(size)}")
        sizes = []
        for n, extent, s, p in zip(size, self.extent, self.stride, self.padding, strict=True):
            room = n + 2 * p - extent
            if room < 0:
                wanted = "clip (time, height, width)" if len(size) == 3 else "image"
                raise ShapeError(
                    f"needs a larger {wanted}: size {tuple(size)} with padding {self.padding} is smaller than the "
                    f"window, which spans {self.extent} (kernel_size {self.kernel_size}, dilation {self.dilation})"
                )
            count = room // s + 1
            if ceil_mode and room % s and count * s < n + p:
                count += 1
            sizes.append(count)
        return tuple(sizes)

    def under(self, other: Window) -> Window:
        """The composition of this window and `other`, which slides over this one's outputs, as one dense window.

        It spans from the first to the last input position that an output of `other` depends on; if either window is
        dilated, it includes positions that are not read.
        """
        pairs = zip(self.extent, self.stride, self.padding, other.extent, other.stride, other.padding, strict=True)
        extents, strides, paddings = zip(
            *((e + (oe - 1) * s, s * os, p + op * s) for e, s, p, oe, os, op in pairs), strict=True
        )
        return Window(extents, strides, paddings, (1,) * len(extents))

    def input_range(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """First and one-past-last input position that outputs start..stop-1 read; may lie in the padding."""
        first = start * self.stride[axis] - self.padding[axis]
        last = (stop - 1) * self.stride[axis] - self.padding[axis] + self.extent[axis]
        return first, last

    def tap_positions(self, axis: int, tap: int, start: int, stop: int) -> slice:
        """The input positions read by tap number `tap` for outputs start..stop-1, which must be inside the image."""
        stride = self.stride[axis]
        first = start * stride + tap * self.dilation[axis] - self.padding[axis]
        return slice(first, first + (stop - start - 1) * stride + 1, stride)

    def valid_outputs(self, axis: int, tap: int, size: int, out_size: int) -> tuple[int, int]:
        """The outputs start..stop-1 whose tap number `tap` is inside the image of `size`, not in the padding.

        Solves 0 <= i*stride + tap*dilation - padding < size for i; start >= stop if there is none.
        """
        offset = tap * self.dilation[axis] - self.padding[axis]
        start = max(0, -(offset // self.stride[axis]))
        stop = min(out_size, (size - 1 - offset) // self.stride[axis] + 1)
        return start, stop


def _per_axis(value: int | Sequence[int], axes: int) -> Axes:
    return tuple(value) if isinstance(value, Iterable) else (index(value),) * axes  # index: NumPy integers
