"""The stages in their order, in three calls of at most nine minutes: is it right; how fast; the long and the rest.

Whole numbers come before networks, for they name the kernel that is wrong.
"""

from __future__ import annotations

from benchmarks.gpu import ceilings, conformance, exact, kernels, networks, parity, pixels, sanitizer, tuning
from benchmarks.gpu.stages import Stage

CALL_S = 510.0  # of a call, so that it ends within nine minutes, also where a child is slow to die
CALLS = (1, 2, 3)


def _instruction(case: str) -> str:
    return case.split("_")[0]  # "wgmma_float16 64 fractions"


def _dtype(case: str) -> str:
    return case.split()[1]  # "resnet18 float16 batch 8"


def _tool(case: str) -> str:
    return case.split()[0]  # "memcheck float16"


def _launcher(case: str) -> str:
    return case.split()[-1]  # "1x1 + residual float16 conv2d_mma"


STAGES = (
    Stage("conformance", "every intrinsic against the emulator's golden files", conformance.cases, 1, 60, _instruction),
    Stage("exact", "every kernel and tile on whole numbers, bit for bit", exact.cases, 1, 60, _launcher),
    Stage("parity", "resnet18 and resnet50 against float64 and PyTorch", parity.main, 1, 90, _dtype),
    Stage("ceilings", "how fast memory is copied, matrices are multiplied, nodes follow", ceilings.cases, 1, 90),
    Stage("peers", "resnet18 and resnet50 in float16 compared with PyTorch eager", networks.peers, 1, 120, _dtype),
    Stage("pixels", "the same from uint8 pixels, and batches one after the other", pixels.cases, 1, 120, _dtype),
    Stage("kernels", "every kernel's share of the roofline", kernels.cases, 2, 120, _dtype),
    Stage("tuning", "every kernel and tile of every layer, timed", tuning.cases, 2, 300, _dtype),
    Stage("tiles", "resnet18 and resnet50 by every launcher and tile", parity.tiles, 2, 180, _launcher),
    Stage("precisions", "resnet18 and resnet50 in every precision", networks.precisions, 3, 120, _dtype),
    Stage("compiled", "resnet18 and resnet50 compared with torch.compile", networks.compiled, 3, 400, _dtype),
    Stage("sanitizer", "compute-sanitizer on every kernel and two networks", sanitizer.cases, 3, 240, _tool),
    Stage("others", "all other networks against float64 and PyTorch", parity.others, 3, 300, _dtype),
    Stage("networks", "the other networks compared with PyTorch eager", networks.others, 3, 120, _dtype),
)
