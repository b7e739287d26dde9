"""The processor: how many CPUs this process may use (its affinity, its container's quota), and its name."""

from __future__ import annotations

import os
from functools import lru_cache
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """CPUs that this process may use, at least 1: those of the affinity mask, limited by the cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, min(count, ceil(quota)) if quota else count)


def cgroup_quota(root: Path = CGROUP) -> float | None:
    """CPUs' worth of time that the container grants (cgroup v2 `cpu.max`, v1 `cpu.cfs_*`), or None for no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no cgroup here, or "max": no limit
        return None


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """The processor as the system names it, or the name of its architecture."""
    if name := cpuinfo().get("model name"):
        return name
    import platform  # 4 ms, not needed on Linux

    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def cpuinfo() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty on other systems than Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
