"""The machine of a benchmark: the processor, its vector extensions, the system; never a host name or a path."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterable
from typing import Any

import npresnet
from npresnet.cpu.runtime.cpus import cpuinfo, usable_cpus

FLAGS = ("fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


def describe() -> dict[str, Any]:
    """Processor, usable CPUs, vector extensions, memory, system, Python, and load average."""
    info = cpuinfo()
    return {
        "cpu": cpu_name(info),
        "cpu_family_model": _family_model(info),
        "cpus": usable_cpus(),
        "flags": [flag for flag in FLAGS if flag in info.get("flags", info.get("Features", "")).split()],
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": _load_average(),
    }


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those libraries that are installed."""
    from importlib import metadata

    found = {"npresnet": npresnet.__version__}
    for library in libraries:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.setdefault(library, metadata.version(library))
    return found


def cpu_name(info: dict[str, str] | None = None) -> str:
    """The processor's name as the system gives it."""
    info = cpuinfo() if info is None else info
    return info.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def blas_libraries() -> list[dict[str, Any]]:
    """Each BLAS that this process has loaded, with its core type (`architecture`) if it is OpenBLAS."""
    from threadpoolctl import threadpool_info

    wanted = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [
        {key: library[key] for key in wanted if key in library}
        for library in threadpool_info()
        if library.get("user_api") == "blas"
    ]


def blas_text(libraries: list[dict[str, Any]]) -> str:
    """The BLAS and its core type in a few words: "openblas 0.3.31 SkylakeX"."""
    words = ("internal_api", "version", "architecture")
    named = [" ".join(str(library[key]) for key in words if library.get(key)) for library in libraries]
    return ", ".join(named) or "a BLAS that threadpoolctl does not know"


def _family_model(info: dict[str, str]) -> str:
    return f"family {info['cpu family']} model {info['model']}" if "cpu family" in info and "model" in info else ""


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _sysctl(name: str) -> str:
    if platform.system() != "Darwin":
        return ""
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()
