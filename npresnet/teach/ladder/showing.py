"""What a rung shows of itself: its code, and why it may gain nothing on a layer.

A rung that is slower than the one before is not hidden: its idea pays on other layers, and this layer's own sizes say
why it does not here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import prod
from typing import Any

from npresnet.plan.steps import Step
from npresnet.teach.ladder.layer import RealLayer

BAND_BYTES = 2**20  # of a band's columns: about a second-level cache


def source_of(*functions: Callable[..., Any]) -> Callable[[RealLayer], str]:
    """The functions as they are written, whatever the layer."""
    return lambda layer: "\n\n".join(inspect.getsource(function).strip() for function in functions)


def calls_of(step: Step) -> str:
    """A compiled step: its algorithm, and the calls of its first tile, whose arguments are already made."""
    (first, *others) = step.tiles or ((),)
    tiles = f"the first of {len(others) + 1} tiles" if others else "one tile"
    lines = [f"# {step.algorithm}; {tiles}:"]
    lines += [f"{_name(kernel)}({', '.join(map(_shown, args))})" for kernel, args in first]
    return "\n".join(lines)


def _name(kernel: Callable[..., Any]) -> str:
    return str(getattr(kernel, "__name__", kernel))


def _shown(argument: Any) -> str:
    """An array as its shape; whatever else it is, shortly."""
    shape = getattr(argument, "shape", None)
    return f"float32[{', '.join(map(str, shape))}]" if isinstance(shape, tuple) else repr(argument)[:40]


def columns_bytes(layer: RealLayer, rows: int | None = None) -> int:
    """Of im2col's matrix for so many rows of the output, all by default."""
    height, width = layer.out_shape[2:]
    lines: int = layer.x.shape[1] * prod(layer.window.kernel_size)
    return 4 * lines * (height if rows is None else rows) * width


def band_of(layer: RealLayer) -> int:
    """Rows of the output whose columns fit the cache."""
    return max(1, min(layer.out_shape[2], BAND_BYTES // columns_bytes(layer, 1)))


def why_columns(layer: RealLayer) -> str:
    """Of im2col, after tap by tap."""
    taps = prod(layer.window.kernel_size)
    if taps == 1:
        return "With one tap both are the same product."
    return (
        f"The columns are {_megabytes(columns_bytes(layer))}, {columns_bytes(layer) / layer.x.nbytes:.1f} times the "
        f"input, and are written and read once more. One product instead of {taps} does not repay that where "
        f"each is as small as {len(layer.weight)} filters of {layer.weight.shape[1]} channels."
    )


def why_bands(layer: RealLayer) -> str:
    """Of tiles, after im2col."""
    height, band = layer.out_shape[2], band_of(layer)
    count = -(-height // band)
    if count == 1:
        return (
            f"The columns of the whole layer, {_megabytes(columns_bytes(layer))}, fit the cache, so that there is one "
            "band and no traffic to save. What is left are the calls around it."
        )
    return (
        f"The columns of the whole layer are {_megabytes(columns_bytes(layer))}. Where the last-level cache holds "
        f"them, {count} bands of {band} rows save little traffic, and each has calls and a smaller product of its own."
    )


def why_calls(layer: RealLayer) -> str:
    """Of any other rung."""
    return f"With {layer.macs / 1e6:.1f} M multiply-adds the calls themselves are a large part of its time."


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
