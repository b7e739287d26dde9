"""`npresnet doctor`: properties of this machine that affect npresnet, and advice.

Changes nothing and imports nothing heavy.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npresnet import cpu
from npresnet.cpu.compiler import prepared_folder as prepared
from npresnet.cpu.runtime.cpus import cgroup_quota, cpuinfo
from npresnet.errors import DeviceError, NpresnetError
from npresnet.system.interpreter import interpreter
from npresnet.weights import download

CORE_TYPE_VARIABLES = {"openblas": "OPENBLAS_CORETYPE", "mkl": "MKL_ENABLE_INSTRUCTIONS", "blis": "BLIS_ARCH_TYPE"}
THREAD_LIMITS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "GOTO_NUM_THREADS")
VECTORS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "sve")
# OpenBLAS's core types are named after the first processors with the instructions that they use.
AVX512_CORE_TYPES = ("skylakex", "cooperlake", "sapphirerapids")
AVX2_CORE_TYPES = ("haswell", "zen", "excavator")
OPEN_GPU = """
from npresnet import cuda, errors
try:
    gpu = cuda.open_gpu("cuda")
except errors.DeviceError as error:
    print("no", error)
else:
    print("yes", gpu.description())
"""
CUPY = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")


@dataclass
class Report:
    """Facts by title, in order, and advice."""

    facts: dict[str, str] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{title:<{width}}  {text}" for title, text in self.facts.items()]
        lines += ["", *(f"advice: {text}" for text in self.advice or ["nothing to improve"])]
        return "\n".join(lines)


def examine(environ: Mapping[str, str] = os.environ) -> Report:
    """Examine this machine. Takes a few milliseconds."""
    from npresnet import __version__

    report = Report()
    report.facts["npresnet"] = f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    report.facts["CPU"] = f"{cpu_name()}{_in_brackets(cpu_vectors())}"
    _examine_threads(report, environ)
    _examine_blas(report, cpu.blas_info(), cpu_vectors(), environ)
    _examine_packages(report)
    _examine_gpu(report)
    report.facts["weights cache"] = _weights_text()
    report.facts["prepared weights"] = _prepared_text()
    return report


def _weights_text() -> str:
    try:
        return str(download.cache_folder())
    except RuntimeError as problem:
        return f"none: {problem}"


def _prepared_text() -> str:
    folder = prepared.folder()
    if folder is None:
        return f"not kept ({prepared.VARIABLE}=0, or no home folder)"
    size_mb, limit_mb = prepared.size_bytes_of(folder) / 1e6, prepared.LIMIT_BYTES / 1e6
    return f"{folder}, {size_mb:,.0f} of at most {limit_mb:,.0f} MB; {prepared.VARIABLE}=0 keeps none"


def cpu_name() -> str:
    """The processor's name as reported by the system."""
    if sys.platform == "darwin":
        import subprocess

        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or platform.machine()
    return cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_vectors() -> list[str]:
    """The vector instructions relevant to a BLAS; empty if the system does not report them."""
    flags = cpuinfo().get("flags", cpuinfo().get("Features", "")).split()
    return [name for name in VECTORS if name in flags]


def _examine_threads(report: Report, environ: Mapping[str, str]) -> None:
    present, usable, quota = os.cpu_count() or 1, cpu.usable_cpus(), cgroup_quota()
    limits = "" if quota is None else f", the container's quota is {quota:g}"
    try:
        threads = cpu.default_threads(environ)
    except DeviceError as error:
        report.facts["threads"] = f"none by default: {error}"
    else:
        chosen = f"{threads.note}; " if threads.number != usable else ""
        report.facts["threads"] = f"{threads.number} by default ({chosen}{present} CPUs in the machine{limits})"
        if threads.number > usable:
            report.advice.append(
                f"{threads.note} asks for more threads than the {usable} CPUs that this process may use; more threads "
                "on these are slower"
            )
    if usable < present:
        report.advice.append(
            f"this process may use {usable} of {present} CPUs (affinity or the container's quota); more CPUs would be "
            "faster, more threads on these would not"
        )


def _examine_blas(report: Report, found: list[dict[str, Any]], vectors: list[str], environ: Mapping[str, str]) -> None:
    report.facts["NumPy"] = f"{np.__version__}, from {Path(np.__file__).parent}"
    report.facts["BLAS"] = "; ".join(map(_blas_text, found)) or _blas_of_build()
    for blas in found:
        report.advice += _core_type_advice(blas, vectors, environ)
    if not found and sys.platform != "darwin":
        report.advice.append(
            "threadpoolctl does not support this NumPy's BLAS, so npresnet cannot limit it to one thread; if it uses "
            "several, set its own variable (OPENBLAS_NUM_THREADS=1 or similar). PyPI's NumPy includes OpenBLAS"
        )
    limits = [f"{name}={environ[name]}" for name in THREAD_LIMITS if environ.get(name)]
    if limits:
        reason = "npresnet limits the BLAS to one thread while it runs; its own threads are set by --threads"
        report.facts["environment"] = f"{', '.join(limits)}: no effect, {reason}"


def _core_type_advice(blas: Mapping[str, Any], vectors: list[str], environ: Mapping[str, str]) -> list[str]:
    core_type = str(blas.get("architecture", ""))
    variable = CORE_TYPE_VARIABLES.get(str(blas.get("internal_api")), "")
    slower = blas.get("internal_api") == "openblas" and is_slower(core_type, vectors)
    if environ.get(variable):
        forced = f"{variable}={environ[variable]} forces the BLAS to core type {core_type or environ[variable]}"
        effect = "slower than this CPU allows" if slower else "instead of its own choice"
        return [f"{forced}, {effect}; unset {variable}"]
    if slower:
        better = "AVX-512" if "avx512f" in vectors else "AVX2"
        return [
            f"the BLAS chose core type {core_type}, although this CPU has {better}; a newer NumPy may choose better: "
            "python -m pip install --upgrade numpy"
        ]
    return []


def is_slower(core_type: str, vectors: list[str]) -> bool:
    """Whether a core type of OpenBLAS does not use all vector instructions of this CPU."""
    best = (
        AVX512_CORE_TYPES if "avx512f" in vectors else AVX512_CORE_TYPES + AVX2_CORE_TYPES if "avx2" in vectors else ()
    )
    return bool(core_type and best) and core_type.lower() not in best


def _blas_text(blas: Mapping[str, Any]) -> str:
    name = " ".join(str(blas[key]) for key in ("internal_api", "version") if blas.get(key))
    return f"{name}, core type {blas['architecture']}" if blas.get("architecture") else name


def _blas_of_build() -> str:
    """The BLAS that NumPy was built with, for those not supported by threadpoolctl, such as Apple's Accelerate."""
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas.get('version', '')}".strip() + ", core type unknown"
    except (KeyError, TypeError):
        return "unknown to threadpoolctl"


def _examine_packages(report: Report) -> None:
    for package in ("pillow", "threadpoolctl"):
        found = _version(package)
        report.facts[package] = found or "missing"
        if not found:
            report.advice.append(f"{package} is missing: python -m pip install {package}")


def _examine_gpu(report: Report) -> None:
    """CuPy from package metadata, GPUs from nvidia-smi and, if CuPy is installed, from CuPy."""
    packages = [f"{name} {found}" for name in CUPY if (found := _version(name))]
    report.facts["CuPy"] = ", ".join(packages) or "not installed; not needed on the CPU"
    gpus = _gpus()
    report.facts["GPU"] = "; ".join(gpus) or "none found by nvidia-smi"
    if gpus and not packages:
        report.advice.append(
            "there is a GPU: python -m pip install 'npresnet[cuda12]' (or cuda13, if the driver supports CUDA 13), "
            'then use device="cuda"'
        )
    if packages:
        works, text = _ask_cupy()
        report.facts["GPU for npresnet"] = text if works else "none"
        if not works:
            report.advice.append(f"CuPy is installed, but no GPU can be used: {text}")


def _ask_cupy() -> tuple[bool, str]:
    """Whether a GPU is usable, and its description or the problem; in a subprocess, as loading CuPy takes a second."""
    import subprocess

    try:
        python = interpreter()
    except NpresnetError as error:
        return False, str(error)
    done = subprocess.run([python, "-c", OPEN_GPU], capture_output=True, text=True, check=False)
    answer, _, text = done.stdout.strip().partition(" ")
    return answer == "yes", text or done.stderr.strip()[-300:]


def _gpus() -> list[str]:
    import subprocess

    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _in_brackets(words: list[str]) -> str:
    return f" ({' '.join(words)})" if words else ""
