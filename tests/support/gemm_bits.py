"""Whether `gemm.keeps_bits` tells the truth under this process's BLAS kernel; prints JSON.

    python -m tests.support.gemm_bits

It tries a call on random numbers of its own, laid out plainly. Here the numbers are others, `a` is part of a wider
array and so is `out`, as in a tile.
"""

from __future__ import annotations

import itertools
import json

import numpy as np

from npresnet import cpu
from npresnet.cpu import gemm

ROWS = (4, 16, 49)
SHAPES = ((64, 64), (512, 128), (1152, 64))  # K, N


def multiplied(form: str, a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(images, M, N), `out` with strides."""
    out = np.empty((*a.shape[:-1], 2 * weight.shape[-1]), np.float32)[..., : weight.shape[-1]]
    scratch = np.empty(gemm.scratch_floats(form, a.shape), np.float32)
    for kernel, args in gemm.multiply(form, a, gemm.arrange(form, weight), out, scratch):
        kernel(*args)
    return out


def main() -> None:
    found = {"kernel": cpu.blas.kernel(), "kept": 0, "not kept": 0, "wrong": []}
    for form, images, rows, (depth, columns) in itertools.product(gemm.FORMS, (2, 4), ROWS, SHAPES):
        if not gemm.fits(form, depth, columns):
            continue
        if not gemm.keeps_bits(form, images, rows, depth, columns):
            found["not kept"] += 1
            continue
        found["kept"] += 1
        for seed in (1, 2):
            rng = np.random.default_rng(seed)
            a = rng.standard_normal((images * rows, 2 * depth), np.float32)[:, :depth]
            weight = rng.standard_normal((depth, columns), np.float32)
            together = multiplied(form, a[None], weight)
            apart = multiplied(form, a.reshape(images, rows, depth), weight)
            if not np.array_equal(together.reshape(apart.shape), apart):
                found["wrong"].append([form, images, rows, depth, columns])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
