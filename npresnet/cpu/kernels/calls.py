"""The NumPy calls that steps are made of, as functions of positional arguments; each writes its last argument.

A step's call is `kernel(*args)`, while NumPy takes `out` by keyword (`np.maximum` requires it); each kernel is a
one-line adapter.

The convention from which `schedule` derives dependencies: the last array among a call's arguments is written, and may
be read; all others are only read. A tile writes only values of the plan and memory that no other worker uses.
"""

from __future__ import annotations

import numpy as np

from npresnet.cpu.runtime.memory import Floats


def copy(source: Floats | float, out: Floats) -> None:
    np.copyto(out, source)


def matmul(a: Floats, b: Floats, out: Floats) -> None:
    """out = a @ b, batched over leading axes: BLAS where the last two axes allow it.

    The leading axes are iterated in order. NumPy's default iterates innermost along the smallest strides of out, which
    for panels (see `gemm`) would read all panels of the weights for each few rows of a.
    """
    np.matmul(a, b, out=out, order="C")


def add(a: Floats, b: Floats, out: Floats) -> None:
    np.add(a, b, out=out)


def multiply(a: Floats, b: Floats, out: Floats) -> None:
    np.multiply(a, b, out=out)


def divide(a: Floats, b: Floats | np.float32, out: Floats) -> None:
    np.divide(a, b, out=out)


def maximum(a: Floats, b: Floats, out: Floats) -> None:
    """The elementwise maximum, NaN where either is NaN; with zeros as b, the ReLU."""
    np.maximum(a, b, out=out)


def sum_parts(parts: Floats, out: Floats) -> None:
    """out[o] = sum over p of parts[p, o]."""
    np.add.reduce(parts, axis=0, out=out)


def sum_pixels(image: Floats, out: Floats) -> None:
    """out[c] = sum over h, w of image[h, w, c]."""
    np.add.reduce(image, axis=(0, 1), out=out)


def max_pixels(image: Floats, out: Floats) -> None:
    """out[c] = max over h, w of image[h, w, c]."""
    np.maximum.reduce(image, axis=(0, 1), out=out)


def sum_channels(image: Floats, out: Floats) -> None:
    """out[h, w] = sum over c of image[h, w, c]."""
    np.add.reduce(image, axis=2, out=out)


def max_channels(image: Floats, out: Floats) -> None:
    """out[h, w] = max over c of image[h, w, c]."""
    np.maximum.reduce(image, axis=2, out=out)


def softmax(logits: Floats, out: Floats) -> None:
    """out = exp(logits - max) / sum of that, over all elements."""
    np.subtract(logits, logits.max(), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(), out=out)


def softmax_rows(logits: Floats, out: Floats) -> None:
    """The same over the last axis."""
    np.subtract(logits, logits.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)


def softmax_first(logits: Floats, out: Floats) -> None:
    """The same over the first axis."""
    np.subtract(logits, logits.max(axis=0), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=0), out=out)
