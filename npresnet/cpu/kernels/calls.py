"""The NumPy calls that steps are made of, as functions of positional arguments; each writes its last argument.

A step's call is `kernel(*args)`, while NumPy wants `out` by keyword (`np.maximum` insists): so each kernel is one line
that says it.

The convention, from which `schedule` sees which tiles depend on which: the last array among a call's arguments is
written, and may be read; all others are only read. A tile writes nothing but values of the plan and memory that no
other worker uses.
"""

from __future__ import annotations

import numpy as np

from npresnet.cpu.runtime.memory import Floats


def copy(source: Floats | float, out: Floats) -> None:
    np.copyto(out, source)


def matmul(a: Floats, b: Floats, out: Floats) -> None:
    """out = a @ b, batched over leading axes: BLAS where the last two axes allow it.

    The leading axes are gone through as they stand. By itself NumPy goes first along the one with the smallest strides
    in out, which for panels (see `gemm`) would be all panels of the weights for each few rows of a.
    """
    np.matmul(a, b, out=out, order="C")


def add(a: Floats, b: Floats, out: Floats) -> None:
    np.add(a, b, out=out)


def multiply(a: Floats, b: Floats, out: Floats) -> None:
    np.multiply(a, b, out=out)


def divide(a: Floats, b: Floats | np.float32, out: Floats) -> None:
    np.divide(a, b, out=out)


def maximum(a: Floats, b: Floats, out: Floats) -> None:
    """The larger of two, NaN where either is NaN; with zeros as b, the ReLU."""
    np.maximum(a, b, out=out)


def sum_parts(parts: Floats, out: Floats) -> None:
    """out[o] = sum over p of parts[p, o]."""
    np.add.reduce(parts, axis=0, out=out)


def sum_pixels(image: Floats, out: Floats) -> None:
    """out[c] = sum over h, w of image[h, w, c]."""
    np.add.reduce(image, axis=(0, 1), out=out)
