"""Parity: logits of every network and precision against float64, with PyTorch's in the same precision."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from npresnet import ops
from npresnet.bench import torchvision_models
from npresnet.network import Array

# bounds of the logits' relative L2 error: above rounding, below the error of a wrong kernel
GATES = {"float32": 1e-5, "tf32": 3e-3, "float16": 5e-3, "bfloat16": 3e-2}
IMAGES = 8


def cases(bench: Bench) -> Iterator[Case]:
    """Network by network, so that its float64 logits are computed once."""
    for name in bench.networks(torchvision_models.names()):
        for dtype in bench.dtypes(GATES):
            yield Case(f"{name} {dtype}", functools.partial(_compare, bench, name, dtype))


def _compare(bench: Bench, name: str, dtype: str) -> Finding:
    x = subjects.images(2 if bench.emulated or bench.quick else IMAGES, bench.image_size)
    exact = _exact(name, len(x), bench.image_size)
    with subjects.executable(bench.gpu, name, dtype) as executable:
        found = executable(x)["logits"]
        alone = executable(x[1:2])["logits"]
    finding: Finding = {"error": relative_error(found, exact), "gate": GATES[dtype], **_agreement(found, exact)}
    # a layer's kernel and split of K depend on the batch, so an image's last bits may too
    finding["error_alone"] = relative_error(alone, exact[1:2])
    if bench.peer is not None:
        theirs = bench.peer.logits(name, dtype, x)
        finding |= {"torch_error": relative_error(theirs, exact), "torch_same_top1": _agreement(theirs, exact)["top1"]}
    worst = max(finding["error"], finding["error_alone"])
    if not worst <= GATES[dtype]:  # NaN fails too
        finding["problem"] = f"relative error {worst:.2e} against float64, gate {GATES[dtype]:g}"
    return finding


@functools.lru_cache(maxsize=1)
def _exact(name: str, count: int, size: int) -> Array:
    """Logits in float64, by the operations of the specification."""
    x = subjects.images(count, size).astype(np.float64)
    rows = [ops.run(subjects.network(name), x[i : i + 1])["logits"] for i in range(count)]
    return np.concatenate(rows)


def relative_error(found: Array, exact: Array) -> float:
    """|found - exact| / |exact| over all logits, in the Euclidean norm; 4 digits."""
    difference = np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact)
    return float(f"{difference:.4g}")


def _agreement(found: Array, exact: Array) -> dict[str, Any]:
    same = np.argmax(found, axis=1) == np.argmax(exact, axis=1)
    return {"top1": f"{int(same.sum())} of {len(same)}"}
