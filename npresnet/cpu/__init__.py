"""The fast CPU backend: NumPy calls on tiles that fit the cache, over threads that take whole tiles.

Read `executable` (a call, from images to logits), `lowering` (Layout -> Plan), then `conv2d`, `pooling`, `pointwise`,
`head` (what each operation becomes), `team` (threads) and `blas` (what NumPy multiplies matrices with).
"""

from __future__ import annotations

from npresnet.cpu.blas import blas_info
from npresnet.cpu.cpus import usable_cpus
from npresnet.cpu.executable import Executable, compile

__all__ = ["Executable", "blas_info", "compile", "usable_cpus"]
