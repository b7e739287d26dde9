"""Resident memory of this process, and its peak.

Linux records the peak twice. `ru_maxrss` survives exec, so a child starts with its parent's peak; VmHWM belongs to the
address space and is reset. So VmHWM is used where available.
"""

from __future__ import annotations

import sys
from pathlib import Path

MB = 1e6


def peak_mb() -> float | None:
    """Peak resident memory of this process in MB (10^6 bytes), or None where unavailable."""
    return _status_mb("VmHWM") or _rusage_peak_mb()


def resident_mb() -> float | None:
    """Current resident memory of this process in MB (10^6 bytes), or None where unavailable."""
    return _status_mb("VmRSS")


def maxrss_mb(ru_maxrss: int) -> float:
    """`ru_maxrss` in MB: the unit is a kibibyte on Linux and a byte on macOS."""
    return ru_maxrss / MB if sys.platform == "darwin" else ru_maxrss * 1024 / MB


def _status_mb(field: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return round(int(line.split()[1]) * 1024 / MB, 1)
    return None


def _rusage_peak_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return maxrss_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
