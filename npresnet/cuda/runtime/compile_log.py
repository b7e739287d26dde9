"""What ptxas says about the kernels that it compiled (`--ptxas-options=-v`): registers, spills, warnings.

ptxas info    : Compiling entry function 'conv2d_tiled' for 'sm_80'
ptxas info    : Function properties for conv2d_tiled
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 34 registers, used 1 barriers, 2176 bytes smem, 364 bytes cmem[0]
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_FUNCTION = re.compile(r"Function properties for (\S+)")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
# ptxas's own codes stand for what it did badly: C7510 is a wgmma that it had to serialise
_WARNING = re.compile(r"\bwarning\b|\bC75\d\d\b", re.IGNORECASE)


class Usage(NamedTuple):
    """What one kernel takes of a multiprocessor.

    registers     per thread
    stack_bytes   local memory per thread; more than the spills where a local array is indexed dynamically
    spill_bytes   registers written to local memory and read back, per thread
    shared_bytes  static shared memory per block
    """

    registers: int = 0
    stack_bytes: int = 0
    spill_bytes: int = 0
    shared_bytes: int = 0


class CompileLog(NamedTuple):
    """A log's facts: {kernel: usage}, and its lines that warn."""

    kernels: dict[str, Usage]
    warnings: tuple[str, ...]


def parse_log(log: str) -> CompileLog:
    """Read NVRTC's log. Device functions that were not inlined count as their kernel's."""
    kernels: dict[str, Usage] = {}
    kernel = ""
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            kernel = match[1]
            kernels[kernel] = Usage()
        elif (match := _FUNCTION.search(line)) and match[1] in kernels:
            kernel = match[1]
        if kernel:
            kernels[kernel] = _with_line(kernels[kernel], line)
    warnings = tuple(line.strip() for line in log.splitlines() if _WARNING.search(line))
    return CompileLog(kernels, warnings)


def _with_line(usage: Usage, line: str) -> Usage:
    if match := _FRAME.search(line):
        stack, stores, loads = map(int, match.groups())
        return usage._replace(
            stack_bytes=max(usage.stack_bytes, stack), spill_bytes=max(usage.spill_bytes, stores, loads)
        )
    if match := _REGISTERS.search(line):
        shared = _SHARED.search(line)
        return usage._replace(registers=int(match[1]), shared_bytes=int(shared[1]) if shared else 0)
    return usage
