"""Whether other programs use the machine, which makes times too long: asked before and after a benchmark."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from npresnet.cpu.runtime.cpus import usable_cpus

STAT = "/proc/stat"  # Linux's: see proc_stat(5)
SAMPLE_S = 0.2
BUSY_SHARE, STOLEN_SHARE = 0.1, 0.01  # of the machine's CPU time
LOAD_PER_CPU = 0.5


class CpuTimes(NamedTuple):
    """Clock ticks of all CPUs since the system began.

    busy    of which they computed
    stolen  of which they wanted to, while the host of this virtual machine ran another one
    """

    total: int
    busy: int
    stolen: int


def cpu_times() -> CpuTimes | None:
    """None where the system does not tell."""
    try:
        with open(STAT, encoding="ascii") as file:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    busy = user + nice + system + irq + softirq
    return CpuTimes(busy + idle + iowait + steal, busy, steal)


def busy_text(sample_s: float = SAMPLE_S) -> str:
    """A warning where the machine is busy before anything is measured; "" where it is idle."""
    before = cpu_times()
    time.sleep(sample_s)
    reasons = [*_load(), *_used(before, cpu_times())]
    if not reasons:
        return ""
    return (
        f"warning: this machine is busy ({', '.join(reasons)}): times will be too long; close other programs, or wait"
    )


def stolen_text(before: CpuTimes | None) -> str:
    """A warning where the host took CPU time away since `before`; "" elsewhere."""
    share = _shares(before, cpu_times())[1]
    if share < STOLEN_SHARE:
        return ""
    return (
        f"warning: other guests of this virtual machine's host took {share:.0%} of its CPU time while it was measured"
    )


def _load() -> list[str]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return [f"load average {load:.2f} on {usable_cpus()} CPUs"] if load >= LOAD_PER_CPU * usable_cpus() else []


def _used(before: CpuTimes | None, after: CpuTimes | None) -> list[str]:
    busy, stolen = _shares(before, after)
    found = [f"{busy:.0%} of its CPU time is used"] if busy >= BUSY_SHARE else []
    return [*found, *([f"{stolen:.0%} goes to other guests of its host"] if stolen >= STOLEN_SHARE else [])]


def _shares(before: CpuTimes | None, after: CpuTimes | None) -> tuple[float, float]:
    """Of the time between: computed, and stolen."""
    if before is None or after is None or after.total <= before.total:
        return 0.0, 0.0
    passed = after.total - before.total
    return (after.busy - before.busy) / passed, (after.stolen - before.stolen) / passed
