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
SHAPES = ((64, 64), (448, 128), (1152, 64), (499, 64), (576, 128), (2048, 128))  # K, N
SAME = [(gemm.Product(form), gemm.Product(form)) for form in gemm.FORMS]
PACKED = [(how, gemm.Product("packed")) for how in (gemm.Product("packed", 2), *map(gemm.Product, gemm.FORMS[1:]))]
PAIRS = SAME + PACKED  # an image alone, several together


def multiplied(how: gemm.Product, a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(images, M, N), `out` with strides; the columns in parts."""
    out = np.empty((*a.shape[:-1], 2 * weight.shape[-1]), np.float32)[..., : weight.shape[-1]]
    scratch = np.empty(gemm.scratch_floats(how.form, a.shape), np.float32)
    arranged = gemm.arrange(how.form, weight)
    for first, last in gemm.column_parts(weight.shape[-1], how.parts):
        columns = gemm.columns_of(how.form, arranged, first, last)
        for kernel, args in gemm.multiply(how.form, a, columns, out[..., first:last], scratch):
            kernel(*args)
    return out


def main() -> None:
    found = {"kernel": cpu.blas.kernel(), "kept": 0, "not kept": 0, "split packed": 0, "panels packed": 0, "wrong": []}
    for pair, images, rows, (depth, columns) in itertools.product(PAIRS, (2, 4), ROWS, SHAPES):
        if not all(gemm.fits(how.form, depth, columns) for how in pair):
            continue
        if not gemm.keeps_bits(*pair, images, rows, depth, columns):
            found["not kept"] += 1
            continue
        found["kept"] += 1
        if pair[0].form != pair[1].form:
            found[f"{pair[0].form} {pair[1].form}"] += 1
        for seed in (1, 2):
            rng = np.random.default_rng(seed)
            a = rng.standard_normal((images * rows, 2 * depth), np.float32)[:, :depth]
            weight = rng.standard_normal((depth, columns), np.float32)
            together = multiplied(pair[1], a[None], weight)
            apart = multiplied(pair[0], a.reshape(images, rows, depth), weight)
            if not np.array_equal(together.reshape(apart.shape), apart):
                found["wrong"].append([pair, images, rows, depth, columns])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
