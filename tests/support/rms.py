"""Print RMS errors of networks with random weights with this process's BLAS core type: ours and PyTorch's, as JSON.

python -m tests.support.rms SIZE NAME ...
"""

from __future__ import annotations

import json
import sys
from contextlib import closing

import numpy as np

from npresnet import arch, cpu, passes
from tests.support.float_error import rms_error
from tests.support.reference import run_double, run_module, torchvision_model

COUNT = 8


def errors(name: str, size: int) -> dict[str, object]:
    """{"ours", "theirs": RMS error over all logits of 8 images; "algorithms": those of our convolutions}."""
    module, tensors = torchvision_model(name, seed=2)
    network, _ = arch.build(tensors)
    x = np.random.default_rng(3).standard_normal((COUNT, 3, size, size), dtype=np.float32)
    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        ours = executable(x)["logits"]
        algorithms = sorted({step.algorithm for step in executable.plan((3, size, size)).steps} - {""})
    exact = run_double(module, x)
    return {
        "ours": rms_error(ours, exact),
        "theirs": rms_error(run_module(module, x), exact),
        "algorithms": algorithms,
    }


def main(size: int, names: list[str]) -> None:
    found = {name: errors(name, size) for name in names}
    print(json.dumps({"core_type": cpu.blas_info()[0].get("architecture"), "errors": found}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
