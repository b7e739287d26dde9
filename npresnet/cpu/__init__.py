"""The fast CPU backend: NumPy calls on tiles that fit the cache, over threads that take whole tiles.

Read `executable` (a call, from images to logits), `stages` and `sizes` (deep layers take several images at once),
`lowering` (Layout -> Plan) and what each operation becomes: `conv2d` (`direct`, `winograd` with `winograd_matrices`,
`tiling`, `gemm`, and in `choices` which of them a layer takes), `stem`, `pooling`, `pointwise`, `head`. Then the
weights: `filters`, `prepacking`, `prepared`; and the threads: `running`, `schedule`, `team`, and `blas`, what NumPy
multiplies matrices with.
"""

from __future__ import annotations

from npresnet.cpu.executable import Executable, compile
from npresnet.cpu.runtime.blas import blas_info
from npresnet.cpu.runtime.cpus import usable_cpus

__all__ = ["Executable", "blas_info", "compile", "usable_cpus"]
