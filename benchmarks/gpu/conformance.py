"""Conformance: each intrinsic on fixed data on this GPU, against the golden files that the tests' emulator made."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding

POISON = 0xFF  # NaN in every float


def cases(bench: Bench) -> Iterator[Case]:
    """Every intrinsic that this GPU has; every third with `quick`."""
    from tests.emulator import conformance

    for case in conformance.cases(bench.gpu.capability)[:: 3 if bench.quick else 1]:
        yield Case(case.name, functools.partial(_compare, bench, case))


def _compare(bench: Bench, case: Any) -> Finding:
    from tests.emulator import conformance

    gpu, stream = bench.gpu, bench.stream
    output = np.full(case.expected.nbytes, POISON, np.uint8)
    arrays = [*(np.ascontiguousarray(array) for array in case.inputs), output]
    buffers = [gpu.allocate(array.nbytes, "an intrinsic's numbers: this") for array in arrays]
    *inputs, result = (buffer.address for buffer in buffers)
    calls = gpu.bind(case.launches(inputs, result))
    with gpu.active():
        for buffer, array in zip(buffers, arrays, strict=True):
            gpu.upload(buffer.address, array, stream)
        gpu.run(calls, stream)
        gpu.download(output, result, stream)
        stream.synchronize()
    problem = conformance.difference(case, output.view(case.expected.dtype).reshape(case.expected.shape))
    return {"problem": problem} if problem else {"result": "as the emulator's"}
