"""The processor: how many CPUs this process may use (its affinity, its container's quota), how many threads it is to
use, and its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import NamedTuple

from npresnet.errors import DeviceError

CGROUP = Path("/sys/fs/cgroup")
THREADS_VARIABLE = "NPRESNET_THREADS"
OPENMP_VARIABLE = "OMP_NUM_THREADS"
MAX_THREADS = 4096  # more than any machine supports


def usable_cpus() -> int:
    """CPUs that this process may use, at least 1: those of the affinity mask, limited by the cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, min(count, ceil(quota)) if quota else count)


class Threads(NamedTuple):
    """A number of threads, and where it comes from."""

    number: int
    note: str


def default_threads(environ: Mapping[str, str] = os.environ) -> Threads:
    """How many threads run a network unless the caller says: the first of these that is set.

    NPRESNET_THREADS  a number
    OMP_NUM_THREADS   a number, or a list for nested teams, of which the first counts; anything else is ignored, as by
                      OpenMP itself
    else              the CPUs that this process may use, limited by its container's quota

    Raises DeviceError where NPRESNET_THREADS is no number from 1 to MAX_THREADS.
    """
    wanted = environ.get(THREADS_VARIABLE, "").strip()
    if wanted:
        if not _is_number_of_threads(wanted):
            raise DeviceError(
                f"{THREADS_VARIABLE}={wanted[:60]!r} is not a number of threads: expected 1 to {MAX_THREADS}. Correct "
                "or unset it, or pass threads="
            )
        return Threads(int(wanted), f"{THREADS_VARIABLE}={wanted}")
    first = environ.get(OPENMP_VARIABLE, "").split(",")[0].strip()
    if _is_number_of_threads(first):
        return Threads(int(first), f"{OPENMP_VARIABLE}={first}")
    return Threads(usable_cpus(), "CPUs that this process may use")


def _is_number_of_threads(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_THREADS


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
