"""Whether `gemm.keeps_bits` is right for this process's BLAS core type; prints JSON.

    python -m tests.support.gemm_bits

`keeps_bits` tests contiguous arrays of synthetic numbers. Here the numbers differ, `a` is part of a wider
array and so is `out`, as in a tile.
"""

from __future__ import annotations

import itertools
import json

import numpy as np

from npresnet.cpu.kernels import gemm
from npresnet.cpu.runtime import blas

ROWS = (1, 4, 5, 9, 16, 49)
WHOLE = ((64, 64), (448, 128), (1152, 64), (499, 64), (576, 128), (2048, 128))  # K, N
RAGGED = ((1152, 17), (2304, 65), (288, 5), (144, 1))
HOW = [*((form, 1) for form in gemm.FORMS), ("gemm", 2)]  # form, parts of the columns


def multiplied(form: gemm.Form, parts: int, a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(images, M, N), `out` with strides; the columns in parts."""
    out = np.empty((*a.shape[:-1], 2 * weight.shape[-1]), np.float32)[..., : weight.shape[-1]]
    scratch = np.empty(gemm.scratch_floats(form, a.shape), np.float32)
    prepacked = gemm.prepack(form, weight)
    for first, last in gemm.column_parts(weight.shape[-1], parts):
        columns = gemm.columns_of(form, prepacked, first, last)
        for kernel, args in gemm.multiply(form, a, columns, out[..., first:last], scratch):
            kernel(*args)
    return out


def main() -> None:
    blas.guard.hold(main)  # BLAS on one thread, as in calls
    found = {"kernel": blas.core_type(), "kept": 0, "not kept": 0, **dict.fromkeys(gemm.FORMS, 0), "wrong": []}
    for (form, parts), images, rows, (depth, columns) in itertools.product(HOW, (2, 3, 4), ROWS, WHOLE + RAGGED):
        if not gemm.fits(form, depth, columns):
            continue
        if not gemm.keeps_bits(form, parts, images, rows, depth, columns):
            found["not kept"] += 1
            continue
        found["kept"] += 1
        found[form] += 1
        for seed in (1, 2):
            rng = np.random.default_rng(seed)
            a = rng.standard_normal((images * rows, 2 * depth), np.float32)[:, :depth]
            weight = rng.standard_normal((depth, columns), np.float32)
            together = multiplied(form, 1, a[None], weight)
            apart = multiplied(form, parts, a.reshape(images, rows, depth), weight)
            if not np.array_equal(together.reshape(apart.shape), apart):
                found["wrong"].append([form, parts, images, rows, depth, columns])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
