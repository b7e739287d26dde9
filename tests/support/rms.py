"""Print RMS errors of networks with random weights under this process's BLAS kernel: ours and PyTorch's, as JSON.

python -m tests.support.rms NAME@SIZE ...   torchvision's networks; NAME@small: those for CIFAR and the demo, over seeds
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

import npresnet
from npresnet import arch, cpu, passes
from tests.support import torch_run
from tests.support.float_error import rms_error
from tests.support.reference import run_double, run_module, torchvision_model

COUNT = 8
SEEDS = 8


def errors(name: str, size: int) -> dict[str, Any]:
    """{"ours", "ours, fast", "theirs": RMS error over all logits of 8 images; "algorithms": our convolutions'}."""
    module, tensors = torchvision_model(name, seed=2)
    network, _ = arch.build(tensors)
    x = np.random.default_rng(3).standard_normal((COUNT, 3, size, size), dtype=np.float32)
    optimized = passes.optimize(network)
    with closing(cpu.compile(optimized, threads=2, fast=True)) as executable:
        fast = executable(x)["logits"]
    with closing(cpu.compile(optimized, threads=2)) as executable:
        ours = executable(x)["logits"]
        algorithms = sorted({step.algorithm for step in executable.plan((3, size, size)).steps} - {""})
    exact = run_double(module, x)
    return {
        "ours": rms_error(ours, exact),
        "ours, fast": rms_error(fast, exact),
        "theirs": rms_error(run_module(module, x), exact),
        "algorithms": algorithms,
    }


def errors_over_seeds(name: str) -> dict[str, float]:
    """{"ours", "ours, fast", "theirs": RMS error over all logits of CIFAR-sized images from SEEDS seeds}.

    One seed says little: the rounding of a filter changes all of its images alike.
    """
    squares = np.zeros(3)
    for seed in range(SEEDS):
        ours, theirs, exact = results_on_small_images(name, seed, False, True)
        squares += [rms_error(logits, exact) ** 2 for logits in (*ours, theirs)]
    return dict(zip(("ours", "ours, fast", "theirs"), np.sqrt(squares / SEEDS).tolist(), strict=True))


def results_on_small_images(name: str, seed: int, *fast: bool) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Logits of 16 CIFAR-sized images: ours for each of these values of `fast`, PyTorch's, and those in float64."""
    x = np.random.default_rng(seed).standard_normal((16, 3, 32, 32), dtype=np.float32)
    load = npresnet.load if name == "demo" else partial(npresnet.build, num_classes=10, seed=seed)
    ours = []
    for mode in fast:
        with load(name, threads=2, fast=mode) as model:
            ours.append(model(x))
    theirs, exact = (next(iter(torch_run.run(model.network, x, dtype).values())) for dtype in (np.float32, np.float64))
    return ours, theirs, exact


def main(words: list[str]) -> None:
    wanted = [word.split("@") for word in words]
    found = {name: errors_over_seeds(name) if size == "small" else errors(name, int(size)) for name, size in wanted}
    print(json.dumps({"core_type": cpu.blas_info()[0].get("architecture"), "errors": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
