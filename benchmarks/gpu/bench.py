"""Shared by all stages of the GPU report: the GPU and its timer, PyTorch as the peer, the sizes."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from benchmarks.gpu.references import References
from benchmarks.gpu.torch_peer import Peer
from npresnet.bench.gpu_timer import GpuTimer
from npresnet.cuda import ELEMENTS
from npresnet.cuda.runtime import nvrtc
from npresnet.cuda.runtime.gpus import import_cupy


@dataclass(frozen=True)
class Bench(GpuTimer):
    """A GpuTimer with the subjects of the report.

    peer        PyTorch on the same GPU, or None
    precisions  those that are measured
    references  logits in float64
    quick       also reduces the cases
    """

    peer: Peer | None = None
    precisions: Sequence[str] = tuple(ELEMENTS)
    references: References = field(default_factory=References)

    @property
    def image_size(self) -> int:
        return 16 if self.emulated else 224

    def networks(self, wanted: Sequence[str]) -> list[str]:
        """The wanted networks, the first with `quick`; on the emulator, where they take minutes, a small one."""
        if self.emulated:
            return ["cifar_resnet8"]
        return list(wanted)[:1] if self.quick else list(wanted)

    def dtypes(self, wanted: Iterable[str]) -> list[str]:
        """The wanted precisions that are measured."""
        return [dtype for dtype in wanted if dtype in self.precisions]

    def batches(self, wanted: Sequence[int]) -> list[int]:
        """The wanted batch sizes; on the emulator only 2, with `quick` the smallest and the largest."""
        if self.emulated:
            return [2]
        return sorted({min(wanted), max(wanted)}) if self.quick else list(wanted)

    def describe(self) -> dict[str, Any]:
        """The GPU and the libraries, for the results file."""
        gpu = self.gpu
        found: dict[str, Any] = {
            "name": gpu.name,
            "capability": gpu.capability,
            "multiprocessors": gpu.multiprocessors,
            "memory_gb": round(gpu.memory_bytes / 1e9, 1),
            "emulated": self.emulated,
            "versions": _versions(None if self.emulated else gpu.cuda_major),
        }
        if self.peer is not None:
            found["versions"] |= self.peer.versions
        return found if self.emulated else found | driver(pci_bus_id(gpu.device))


def _versions(cuda_major: int | None) -> dict[str, str]:
    found = {}
    for package in ("npresnet", "numpy", "cupy-cuda12x", "cupy-cuda13x"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if cuda_major is not None:
        found["nvrtc"] = ".".join(map(str, nvrtc.version(cuda_major)))
    return found


def pci_bus_id(device: str) -> str:
    """Of "cuda:1". nvidia-smi counts GPUs in another order, and does not know CUDA_VISIBLE_DEVICES."""
    return str(import_cupy().cuda.runtime.deviceGetPCIBusId(int(device.partition(":")[2] or 0)))


def driver(bus_id: str) -> dict[str, str]:
    """The driver and the limits of power and clock by nvidia-smi; {} where it is not installed."""
    fields = ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.memory")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", f"--id={bus_id}"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields, (word.strip() for word in told.split(",")), strict=False))
