"""A network on the CPU backend for several images at once, in one plan, like the deep layers of a batch."""

from __future__ import annotations

import numpy as np

from npresnet.cpu.compiler.program import compile_program, prepare
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime.running import run_plan
from npresnet.network import Network
from npresnet.plan import Plan


def plan_of(network: Network, shape: tuple[int, ...], workers: int = 1, options: Options = Options()) -> Plan:  # noqa: B008
    """A plan for images of `shape` (N, C, H, W)."""
    return compile_program(network, shape[1:], shape[0], workers, prepare(network), options).bind()


def run_together(network: Network, x: np.ndarray, **how: object) -> dict[str, np.ndarray]:
    """{output: array} of all images, by the second run of their plan, which must not depend on the first."""
    plan = plan_of(network, x.shape, **how)
    for images in (x[::-1], x):
        plan.input[...] = images
        run_plan(plan)
    return {asked: value.copy() for asked, value in plan.outputs.items()}
