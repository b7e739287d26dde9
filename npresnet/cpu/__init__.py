"""The fast CPU backend: NumPy calls on tiles that fit the cache, on workers that take whole tiles.

executable  a call: images -> logits
compiler    Network -> Program: `program`, `programs` (the LRU), `lowerings` (every operation), `conv2d`, `choices` and
            `tuning` (algorithms), `split` and `stages` (batches), `prepack` and `prepared` (weights)
kernels     the NumPy functions and the tiles made of them: `gemm`, `direct`, `winograd`, `stem`, `pooling`, ...
runtime     `memory`, `pool`, `running` (one thread), `workers` and `schedule` (several), `stopwatch`, `blas`, `cpus`
"""

from __future__ import annotations

from npresnet.cpu.executable import Executable, compile
from npresnet.cpu.runtime.blas import blas_info
from npresnet.cpu.runtime.cpus import MAX_THREADS, default_threads, usable_cpus

__all__ = ["MAX_THREADS", "Executable", "blas_info", "compile", "default_threads", "usable_cpus"]
