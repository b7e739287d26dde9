"""Print the exact bits of a network's results, in a separate process: `python -m tests.support.bits resnet18 THREADS`.

One JSON object: {"core_type": BLAS's, "logits": {image number: [SHA-256 of its logits in every run]}}.
An image is run at every place of batches of 1, 2, 3 and 8. A further argument, "merged", plants a fault: images are
always multiplied together, whether that keeps their bits or not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict

import numpy as np

from npresnet import arch, cpu, passes
from npresnet.cpu.kernels import gemm

BATCHES = (1, 2, 3, 8)


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32)


def digests(executable: cpu.Executable, size: int) -> dict[int, set[str]]:
    """Image number -> its distinct results; a single one where they are deterministic."""
    pictures = images(max(BATCHES), size)
    found: dict[int, set[str]] = defaultdict(set)
    for batch in BATCHES:
        for shift in range(batch):  # so that each image is at each place once
            numbers = np.roll(np.arange(batch), shift)
            logits = executable(pictures[numbers])["logits"]
            for number, row in zip(numbers, logits, strict=True):
                found[int(number)].add(hashlib.sha256(row.tobytes()).hexdigest())
    return found


def main(name: str, threads: int, size: int, fault: str = "") -> None:
    if fault == "merged":
        gemm.keeps_bits = lambda *call: True
    network, _ = arch.build(arch.random_tensors(name))
    executable = cpu.compile(passes.optimize(network), threads=threads)
    found = digests(executable, size)
    core_type = "+".join(str(library.get("architecture")) for library in cpu.blas_info())
    print(
        json.dumps({"core_type": core_type, "logits": {number: sorted(bits) for number, bits in sorted(found.items())}})
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
