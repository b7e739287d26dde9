"""The stages in their order, in three calls of at most nine minutes: is it right; how fast; the long and the rest."""

from __future__ import annotations

from benchmarks.gpu import ceilings, conformance, exact, kernels, networks, parity, sanitizer, tuning
from benchmarks.gpu.stages import Stage

CALL_S = 510.0  # of a call, so that it ends within nine minutes, also where a child is slow to die
CALLS = (1, 2, 3)
STAGES = (
    Stage("conformance", "every intrinsic against the emulator's golden files", conformance.cases, 1, 60),
    Stage("exact", "every kernel and tile on whole numbers, bit for bit", exact.cases, 1, 90),
    Stage("parity", "resnet18 and resnet50 against float64 and PyTorch", parity.main, 1),
    Stage("ceilings", "how fast memory is copied, matrices are multiplied, nodes follow", ceilings.cases, 1),
    Stage("peers", "resnet18 and resnet50 in float16 compared with PyTorch eager", networks.peers, 1),
    Stage("kernels", "every kernel's share of the roofline", kernels.cases, 2),
    Stage("tuning", "every kernel and tile of every layer, timed", tuning.cases, 2, 300),
    Stage("tiles", "resnet18 and resnet50 by every launcher and tile against float64", parity.tiles, 2, 180),
    Stage("precisions", "resnet18 and resnet50 in every precision compared with PyTorch eager", networks.precisions, 3),
    Stage("compiled", "resnet18 and resnet50 compared with torch.compile", networks.compiled, 3, 400),
    Stage("sanitizer", "compute-sanitizer on every kernel and two small networks", sanitizer.cases, 3, 300),
    Stage("others", "all other networks against float64 and PyTorch", parity.others, 3, 300),
    Stage("networks", "the other networks compared with PyTorch eager", networks.others, 3),
)


def stage(name: str) -> Stage:
    """By its name."""
    return next(stage for stage in STAGES if stage.name == name)
