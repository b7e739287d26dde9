"""The rungs: each computes a RealLayer's output, and says how many lines of code that takes."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from npresnet import cpu
from npresnet.cpu.compiler import conv2d as backend_conv2d
from npresnet.cpu.kernels import direct, filters, gemm, tiling, winograd, winograd_matrices
from npresnet.cpu.runtime.running import arithmetic
from npresnet.network import Array
from npresnet.ops import windows
from npresnet.ops.conv2d import conv2d, im2col
from npresnet.ops.winograd import BALANCED_POINTS, transforms
from npresnet.teach import rungs
from npresnet.teach.ladder.layer import RealLayer
from npresnet.teach.ladder.showing import band_of, calls_of, source_of, why_bands, why_calls, why_columns
from npresnet.window import Window

CPU = "CPU, one thread"
CROP_MACS = 150_000  # of the seven loops: a Python loop takes about a microsecond a multiply-add


class Ceiling(NamedTuple):
    """What a rung's speed is compared with: a large matrix product, a large copy (bytes read and written)."""

    gflops: float
    gb_per_s: float


class Rung(NamedTuple):
    """One way to compute a layer.

    idea     in a few words
    prepare  layer -> a call without arguments that gives the output (1, O, OH, OW), or its first channels and rows
             where all would take too long; what it does before the call is not timed
    lines    of code, without comments and docstrings
    device   where it runs
    exact    layer -> the same as prepare, by an algorithm that gives whole numbers exactly
    clock    layer -> milliseconds of one computation; None times the call by the host's clock
    rounding the unit roundoff of what the numbers are stored as, where that is less than float32
    rounded  what can be stored of an exact result
    ceiling  of where it runs; None is one thread of the CPU
    amplification  how many times a direct sum's rounding the algorithm's may be
    code     layer -> what computes it, as text
    why_not  layer -> why it may be no faster than the rung before
    """

    name: str
    idea: str
    prepare: Callable[[RealLayer], Callable[[], Array]]
    lines: int
    device: str = CPU
    exact: Callable[[RealLayer], Callable[[], Array]] | None = None
    amplification: float = 1.0
    clock: Callable[[RealLayer], float] | None = None
    rounding: float = 0.0
    rounded: Callable[[Array], Array] | None = None
    ceiling: Ceiling | None = None
    code: Callable[[RealLayer], str] = source_of()
    why_not: Callable[[RealLayer], str] = why_calls


def cpu_rungs() -> list[Rung]:
    """From the definition to the fast backend, on one thread."""
    columns = count_lines(im2col) + count_lines(windows.sliding_windows)
    tiled, whole = count_lines(rungs.tiled_and_fused) + columns, count_lines(conv2d) + columns
    engine = sum(map(count_lines, (backend_conv2d, direct, winograd, winograd_matrices, tiling, gemm, filters)))
    found = [
        Rung("seven loops", "the definition, a multiply-add at a time", _loops, count_lines(rungs.seven_loops)),
        Rung("tap by tap", "NumPy: all positions at once", _plain(rungs.tap_by_tap), count_lines(rungs.tap_by_tap)),
        Rung("im2col + GEMM", "windows as columns, one product", _plain(rungs.im2col_product), whole),
        Rung("tiled and fused", "bands that fit the cache, epilogue in it", _tiled, tiled),
        Rung("npresnet", "the CPU backend, one thread", _backend(True), engine, CPU, _backend(False), amplification()),
    ]
    shown: tuple[dict[str, Any], ...] = (
        {"code": source_of(rungs.seven_loops)},
        {"code": source_of(rungs.tap_by_tap)},
        {"code": source_of(conv2d, im2col, windows.sliding_windows), "why_not": why_columns},
        {"code": source_of(rungs.tiled_and_fused, im2col, windows.sliding_windows), "why_not": why_bands},
        {"code": _backend_calls},
    )
    return [rung._replace(**more) for rung, more in zip(found, shown, strict=True)]


def amplification(m: int = 4) -> float:
    """By how much the matrices of F(m x m, 3x3) can enlarge numbers, over what a direct sum of 3x3 products does."""
    t = transforms(m, 3, BALANCED_POINTS)
    inner = np.abs(t.kernel_transform).sum(1) * np.abs(t.input_transform).sum(1)  # what products of ones can reach
    return float((np.abs(t.output_transform) @ inner).max() / 3) ** 2


def count_lines(code: Any) -> int:
    """Lines of a function or module that hold code: no docstrings, no comments, no blank lines."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(code)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            body.pop(0)  # type: ignore[union-attr]
            if not body:
                body.append(ast.Pass())  # type: ignore[union-attr]
    return len(ast.unparse(tree).splitlines())


def _crop(layer: RealLayer) -> tuple[int, int]:
    """So many channels and rows of the output that the loops are done in a moment; all of a small layer."""
    _, O, OH, OW = layer.out_shape  # noqa: E741
    row_macs = layer.macs // (O * OH)
    rows = max(1, min(OH, CROP_MACS // row_macs))
    channels = max(1, min(O, CROP_MACS // (rows * row_macs)))
    return channels, rows


def _loops(layer: RealLayer) -> Callable[[], Array]:
    channels, rows = _crop(layer)
    if layer.node.groups > 1:  # whole groups only
        per_group = len(layer.weight) // layer.node.groups
        channels = max(per_group, channels // per_group * per_group)
    window, groups = layer.window, max(1, layer.node.groups * channels // len(layer.weight))
    (padding_h, padding_w), stride, extent = window.padding, window.stride[0], window.extent[0]
    padded = np.pad(layer.x, [(0, 0), (0, 0), (padding_h, padding_h), (padding_w, padding_w)])
    seen = padded[:, : layer.weight.shape[1] * groups, : (rows - 1) * stride + extent]
    inside = Window(window.kernel_size, window.stride, (0, 0), window.dilation)

    def call() -> Array:
        out = rungs.seven_loops(seen, layer.weight[:channels], inside, groups)
        return _finish(layer, out)

    return call


def _finish(layer: RealLayer, out: Array) -> Array:
    """+ bias, + residual, activation, on the channels and rows that there are."""
    _, channels, rows, _ = out.shape
    out = out + layer.bias[:channels, None, None]
    if layer.residual is not None:
        out = out + layer.residual[:, :channels, :rows]
    return layer.activated(out)


def _plain(rung: Callable[..., Array]) -> Callable[[RealLayer], Callable[[], Array]]:
    def prepare(layer: RealLayer) -> Callable[[], Array]:
        return lambda: _finish(layer, rung(layer.x, layer.weight, layer.window, layer.node.groups))

    return prepare


def _tiled(layer: RealLayer) -> Callable[[], Array]:
    """A ReLU is done band by band, as the rung's code shows it; another activation after all bands."""
    is_relu = layer.node.activation == "relu"
    fused = partial(rungs.tiled_and_fused, bias=layer.bias, residual=layer.residual, relu=is_relu, band=band_of(layer))

    def call() -> Array:
        out = fused(layer.x, layer.weight, layer.window, layer.node.groups)
        return out if is_relu else layer.activated(out)

    return call


def _step(layer: RealLayer, use_winograd: bool) -> tuple[Any, Any]:
    """A plan of the network that leads to the layer, and its step there."""
    plan = cpu.compile(layer.network, threads=1, winograd=use_winograd).plan(layer.network_input)
    (step,) = (step for step in plan.steps if step.name == layer.name)
    return plan, step


def _backend_calls(layer: RealLayer) -> str:
    return calls_of(_step(layer, use_winograd=True)[1])


def _backend(use_winograd: bool) -> Callable[[RealLayer], Callable[[], Array]]:
    """The layer's step in a plan of the network that leads to it, fed with the layer's own input."""

    def prepare(layer: RealLayer) -> Callable[[], Array]:
        plan, step = _step(layer, use_winograd)
        plan.outputs["x"][...] = layer.x
        if layer.residual is not None:
            plan.outputs["residual"][...] = layer.residual
        out = plan.outputs["out"]

        def call() -> Array:
            with arithmetic():
                for tile in step.tiles:
                    for kernel, args in tile:
                        kernel(*args)
            found: Array = out
            return found

        return call

    return prepare
