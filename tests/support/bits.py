"""Print the exact bits of a network's results, in a separate process: `python -m tests.support.bits resnet18 THREADS`.

THREADS may be several numbers, "1,2,3". One JSON object: {"core_type": BLAS's, "logits": {image number:
[SHA-256 of its logits in every run]}}. Eight images are run alone, and two of them in turn at every place of batches of
2, 3 and 8, with each number of threads. A further argument, "merged", plants a fault: images always go through BLAS
together, whether that keeps their bits or not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from contextlib import closing

import numpy as np

from npresnet import arch, cpu, passes
from npresnet.cpu.kernels import gemm

BATCHES = (1, 2, 3, 8)
IMAGES = max(BATCHES)


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32)


def digest(executable: cpu.Executable, size: int, found: dict[int, set[str]]) -> None:
    """Adds to each image's different results; there is one, where the promise is kept.

    No image is twice in a batch, so that results which have changed places are noticed.
    """
    pictures = images(IMAGES, size)
    for batch in BATCHES:
        for first in range(IMAGES) if batch == 1 else (0, 3):
            numbers = (first + np.arange(batch)) % IMAGES
            logits = executable(pictures[numbers])["logits"]
            for number, row in zip(numbers, logits, strict=True):
                found[int(number)].add(hashlib.sha256(row.tobytes()).hexdigest())


def main(name: str, threads: str, size: int, fault: str = "") -> None:
    if fault == "merged":
        gemm.keeps_bits = lambda *call: True
    network, _ = arch.build(arch.random_tensors(name))
    network, found = passes.optimize(network), defaultdict(set)
    for count in threads.split(","):
        with closing(cpu.compile(network, threads=int(count))) as executable:
            digest(executable, size, found)
    core_type = "+".join(str(library.get("architecture")) for library in cpu.blas_info())
    print(
        json.dumps({"core_type": core_type, "logits": {number: sorted(bits) for number, bits in sorted(found.items())}})
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
