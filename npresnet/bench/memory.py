"""Resident memory of this process, and its peak.

Linux records the peak twice. `ru_maxrss` survives exec, so a child starts with its parent's peak; VmHWM belongs to the
address space and is reset. So VmHWM is used where available.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

MB = 1e6


class Memory(NamedTuple):
    """Resident memory of this process in MB (10^6 bytes), its peak and now; None where unavailable."""

    peak_mb: float | None
    resident_mb: float | None


def memory() -> Memory:
    """Both of one reading, so that the peak is never below what is resident: a reading allocates memory itself."""
    status = _status()
    return Memory(status.get("VmHWM") or _rusage_peak_mb(), status.get("VmRSS"))


def maxrss_mb(ru_maxrss: int) -> float:
    """`ru_maxrss` in MB: the unit is a kibibyte on Linux and a byte on macOS."""
    return ru_maxrss / MB if sys.platform == "darwin" else ru_maxrss * 1024 / MB


def _status() -> dict[str, float]:
    """Both numbers of Linux, by field; empty elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.partition(":") for line in lines)
    return {
        field: round(int(words.split()[0]) * 1024 / MB, 1) for field, _, words in fields if field in ("VmHWM", "VmRSS")
    }


def _rusage_peak_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return maxrss_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
