"""One matrix product out = a @ weight, in the form that is fastest for its shape and the BLAS.

    gemm     one call of BLAS. It first packs (copies) both operands into blocks that fit the caches: efficient for
             large products, but where a has few rows, packing the weights costs as much as multiplying them.
    panels   OpenBLAS's AVX-512 kernels multiply small matrices (M*N*K <= 10^6) in place, without packing. So the
             weights are stored as panels (N/64, K, 64), a is viewed as blocks of a few rows, and a broadcast
             `np.matmul` computes all the small products: of a panel, or of a few, with all rows before the next, so
             that weights are read from memory once and then from a core's L2 cache.
    split_k  the same where K alone is too long for a small product: the sum over K is split into parts, which are then
             added,

                 out = sum over s of a[:, K_s : K_s+1] @ weight[K_s : K_s+1, :]

Gain of the small products over "gemm" everywhere: a resnet18 takes 1.41 times as long without them at batch 1 and 1.14
at batch 8, a resnet50 1.19 and 1.07 (2 threads of a 2.5 GHz Cascade Lake, OpenBLAS SkylakeX, alternating in one run).
Their order matters too: in NumPy's default, all panels for each block of rows, a resnet50 takes 1.02 and 1.05 times as
long, and with K = 1024 as "gemm" too, which that order favours, 1.05 at both. Where 49 rows are cut into 47 and 2, a
resnet18 takes 1.05 and 1.08 times as long, a resnet50 1.05 and 1.03.

`choices` selects a layer's form. Bits: a row's result may depend on how many rows and columns the call has, so images
are multiplied together only where `keeps_bits` has shown that the bits are the same.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import groupby
from math import ceil, prod
from typing import Literal

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.memory import Floats, aligned_floats, split
from npresnet.plan.steps import Call

Form = Literal["gemm", "panels", "split_k"]
FORMS: tuple[Form, ...] = ("gemm", "panels", "split_k")

PANEL = 64  # columns of a panel: four AVX-512 registers, and the width at which small products run fastest
NARROW_PANELS = (32, 16)  # for fewer than 64 columns
PANELS_AT_ONCE = 64 * 1024  # floats of the panels multiplied with all rows before the next: 256 KB, part of an L2 cache
BLOCK_COST, CALL_COST = 1, 8  # of a product and of an additional call, in rows
SMALL_PRODUCT = 1_000_000  # M*N*K up to which OpenBLAS uses its kernels for small matrices
RAGGED_TRIALS = 8  # trials of `keeps_bits` where the columns are not whole panels
PART_DEPTH = 448  # the largest K of a part of a split_k product


def has_small_products(core_type: str) -> bool:
    """Whether BLAS with this core type multiplies small matrices without packing: OpenBLAS's AVX-512 types do."""
    return core_type in ("SkylakeX", "Cooperlake", "SapphireRapids")


def fits(form: Form, depth: int, columns: int) -> bool:
    """Whether a product of K = depth and N = columns can take this form."""
    if form == "gemm":
        return True
    width = panel_width(columns)
    if width is None:
        return False
    return depth > PART_DEPTH if form == "split_k" else block_limit(depth, width) >= 8


def panel_width(columns: int) -> int | None:
    """The width of panels for N = columns; None where it cannot be cut into panels."""
    if columns % PANEL == 0:
        return PANEL
    return columns if columns in NARROW_PANELS else None


def prepacked_shape(form: Form, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The prepacked shape of weights (..., K, N) in this form: unchanged, or panels (..., N/64, K, 64)."""
    if form == "gemm":
        return shape
    *leading, depth, columns = shape
    width = panel_width(columns)
    assert width is not None
    return (*leading, columns // width, depth, width)


def prepack(form: Form, matrix: Floats) -> Floats:
    """The weights (..., K, N) prepacked for this form: unchanged, or panels (..., N/64, K, 64).

    Aligned to a cache line: a vector that crosses two lines takes two loads, which costs small products a quarter.
    """
    shape = prepacked_shape(form, matrix.shape)
    prepacked = aligned_floats(prod(shape)).reshape(shape)
    if form == "gemm":
        prepacked[...] = matrix
    else:
        *leading, count, depth, width = shape
        prepacked[...] = matrix.reshape(*leading, depth, count, width).swapaxes(-2, -3)
    return prepacked


def columns_of(form: Form, weight: Floats, first: int, last: int) -> Floats:
    """The part of prepacked weights for output columns first..last-1 (multiples of a panel's width)."""
    if form == "gemm":
        return weight[..., first:last]
    width = weight.shape[-1]
    return weight[..., first // width : last // width, :, :]


def column_parts(columns: int, parts: int) -> list[tuple[int, int]]:
    """(first, last) of nearly equal parts of the output columns, in whole panels where possible."""
    unit = PANEL if columns % PANEL == 0 else 1
    return [(first * unit, last * unit) for first, last in split(columns // unit, parts)]


def scratch_floats(form: Form, shape: tuple[int, ...]) -> int:
    """Scratch, in floats, of a product with an `a` of this shape (..., M, K)."""
    if form != "split_k":
        return 0
    *leading, rows, depth = shape
    return prod(leading) * rows * PANEL * len(parts_of(depth))


def multiply(form: Form, a: Floats, weight: Floats, out: Floats, scratch: Floats | None = None) -> list[Call]:
    """The calls that compute out = a @ weight.

    a        (..., M, K), any strides that BLAS supports
    weight   prepacked by `prepack`; leading axes broadcast against those of a
    out      (..., M, N), its last axis contiguous
    scratch  for "split_k": `scratch_floats` floats
    """
    if form == "gemm":
        return [(kernels.matmul, (a, weight, out))]
    if form == "panels":
        return _multiply_panels(a, weight, out)
    assert scratch is not None
    return _multiply_parts(a, weight, out, scratch)


def _multiply_panels(a: Floats, panels: Floats, out: Floats) -> list[Call]:
    rows, depth = a.shape[-2:]
    count, _, width = panels.shape[-3:]
    cuts = row_blocks(rows, depth, width)
    at_once = count if len(cuts) == 1 else max(1, PANELS_AT_ONCE // (width * depth))  # one call goes panel by panel
    calls: list[Call] = []
    for start in range(0, count, at_once):
        few = panels[..., start : start + at_once, None, :, :]  # (..., panels, 1, K, 64)
        columns = out[..., start * width : (start + at_once) * width]
        for first, last, height in cuts:
            blocks = _blocks(a[..., first:last, :], height)[..., None, :, :, :]  # (..., 1, blocks, rows, K)
            target = _panels_of(_blocks(columns[..., first:last, :], height), width)  # (..., panels, blocks, rows, 64)
            calls.append((kernels.matmul, (blocks, few, target)))
    return calls


def _multiply_parts(a: Floats, panels: Floats, out: Floats, scratch: Floats) -> list[Call]:
    """Panel by panel: the products of all parts of K, then their sum."""
    *leading, rows, depth = a.shape
    parts, width = parts_of(depth), panels.shape[-1]
    sums = scratch[: len(parts) * prod(leading) * rows * width].reshape(len(parts), *leading, rows, width)
    calls: list[Call] = []
    for j in range(panels.shape[-3]):
        done = start = 0
        for length, run in groupby(parts):  # parts of one length are one call
            count = len(list(run))
            stop = start + count * length
            a_parts = np.moveaxis(a[..., start:stop].reshape(*leading, rows, count, length), -2, 0)  # (S, ..., M, D)
            weight = panels[..., j, None, start:stop, :]  # (..., 1, S*D, 64)
            weight = np.moveaxis(weight.reshape(*weight.shape[:-2], count, length, width), -3, 0)  # (S, ..., 1, D, 64)
            weight = weight.reshape(count, *(1,) * (len(leading) + 4 - weight.ndim), *weight.shape[1:])
            for first, last, height in row_blocks(rows, length, width):
                blocks, target = (_blocks(x[..., first:last, :], height) for x in (a_parts, sums[done : done + count]))
                calls.append((kernels.matmul, (blocks, weight, target)))
            done, start = done + count, stop
        calls.append((kernels.sum_parts, (sums, out[..., j * width : (j + 1) * width])))
    return calls


@cache
def row_blocks(rows: int, depth: int, width: int = PANEL) -> list[tuple[int, int, int]]:
    """(first, last, height): rows first..last-1 are cut into blocks of `height` rows, all small products.

    Blocks of equal height, and one more for the remainder; never of a single row, for which BLAS uses another kernel.
    The height of least cost is used: OpenBLAS multiplies 4 rows in the time of 1, and each product and additional call
    has a fixed cost. A single block of all rows, where it is small enough, costs less than any cut.
    """
    limit = max(2, block_limit(depth, width))
    if rows <= limit:
        return [(0, rows, max(rows, 1))]
    best, least = rows, None
    for height in range(limit, 1, -1):
        count, rest = divmod(rows, height)
        cost = count * (ceil(height / 4) * 4 + BLOCK_COST) + (ceil(rest / 4) * 4 + CALL_COST if rest else 0)
        if rest != 1 and (least is None or cost < least):
            best, least = height, cost
    whole = rows // best * best
    return [(0, whole, best)] + ([(whole, rows, rows - whole)] if whole < rows else [])


def block_limit(depth: int, width: int = PANEL) -> int:
    """The most rows of a small product of K = depth with one panel."""
    return SMALL_PRODUCT // (width * depth)


@cache
def parts_of(depth: int) -> tuple[int, ...]:
    """The nearly equal lengths of the parts of K in a split_k product."""
    return tuple(stop - start for start, stop in split(depth, ceil(depth / PART_DEPTH)))


def _blocks(view: Floats, height: int) -> Floats:
    """(..., n*height, K) -> (..., n, height, K), always a view."""
    return view.reshape(*view.shape[:-2], view.shape[-2] // height, height, view.shape[-1])


def _panels_of(view: Floats, width: int) -> Floats:
    """(..., n, height, N) -> (..., N/64, n, height, 64), a view."""
    cut = view.reshape(*view.shape[:-1], view.shape[-1] // width, width)
    last = cut.ndim - 1
    # np.moveaxis takes five times as long
    found: Floats = cut.transpose(*range(last - 3), last - 1, last - 3, last - 2, last)
    return found


def keeps_bits(form: Form, parts: int, images: int, rows: int, depth: int, columns: int) -> bool:
    """Whether `images` times `rows` rows multiplied at once have the bits of each image multiplied alone.

    parts  how many parts the columns of one image's product are cut into, see `column_parts`

    Tested on synthetic numbers, once a process: true of OpenBLAS's AVX-512 kernels, false of its AVX2 kernels. All
    panels are multiplied alike, so that one is sufficient.
    """
    if form != "gemm":
        parts, columns = 1, panel_width(columns) or columns
    return _keeps_bits(form, parts, images, rows, depth, columns)


@lru_cache(maxsize=1024)
def _keeps_bits(form: Form, parts: int, images: int, rows: int, depth: int, columns: int) -> bool:
    """A number from another BLAS kernel often has the same bits by chance, so where only a few numbers can differ (such
    as the last of an odd number of columns), more trials are run."""
    trials = RAGGED_TRIALS if panel_width(columns) is None else 1
    return guard.held(  # as in calls of an executable: BLAS on several threads gives other bits
        lambda: all(_same_bits(form, parts, images, rows, depth, columns, seed) for seed in range(1, 2 * trials, 2))
    )


def _same_bits(form: Form, parts: int, images: int, rows: int, depth: int, columns: int, seed: int) -> bool:
    a, weight = _hashed((images, rows, depth), seed), _hashed((depth, columns), seed + 1)
    apart, at_once = _product(form, parts, a, weight), _product(form, 1, a.reshape(1, -1, depth), weight)
    return np.array_equal(apart.ravel().view(np.int32), at_once.ravel().view(np.int32))


def _hashed(shape: tuple[int, ...], seed: int) -> Floats:
    """Numbers of 24 random bits between -0.5 and 0.5, by multiplicative hashing: importing `np.random` takes 15 ms."""
    bits = np.arange(prod(shape), dtype=np.uint32) * np.uint32(2654435761 * seed % (1 << 32))
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(2246822519)
    numbers: Floats = (bits >> np.uint32(8)).astype(np.float32).reshape(shape)
    numbers *= np.float32(2**-24)
    numbers -= np.float32(0.5)
    return numbers


def _product(form: Form, parts: int, a: Floats, weight: Floats) -> Floats:
    """a @ weight, with the calls of a layer."""
    out = np.empty((*a.shape[:-1], weight.shape[-1]), np.float32)
    scratch = np.empty(scratch_floats(form, a.shape), np.float32)
    prepacked = prepack(form, weight)
    for first, last in column_parts(weight.shape[-1], parts):
        columns = columns_of(form, prepacked, first, last)
        for kernel, args in multiply(form, a, columns, out[..., first:last], scratch):
            kernel(*args)
    return out
