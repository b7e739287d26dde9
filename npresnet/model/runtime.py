"""Decisions about where and how a network runs: device, dtype, threads, and what may change the last bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from npresnet import cpu
from npresnet.config import Decision
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.model.inputs import as_count

# values of `dtype`, with notes
DTYPES = {
    "float32": "",
    "tf32": "factors rounded to 10 bits of mantissa, sums float32",
    "float16": "float16 values and weights, sums float32",
    "bfloat16": "bfloat16 values and weights, sums float32",
}
AMPERE_DTYPES = ("tf32", "bfloat16")


def decide_device(device: Any) -> Decision:
    """ "cpu" or "cuda:<number>"; for "auto" the first GPU if it is usable, else the CPU, with the reason as note.

    Raises DeviceError for a GPU that cannot be used, saying what is missing; only "auto" falls back.
    """
    if device == "cpu":
        return Decision("cpu", "default")
    if device == "auto":
        try:
            gpu = _open_gpu("cuda:0")
        except DeviceError as error:
            return Decision("cpu", "inferred", f'device="auto" chose the CPU: {error}')
        return Decision(gpu.device, "inferred", f'device="auto" chose {gpu.device}, {gpu.name}')
    if isinstance(device, str) and re.fullmatch(r"cuda(:\d+)?", device):
        gpu = _open_gpu(device)
        return Decision(gpu.device, "caller", f"{gpu.name}, compute capability {gpu.capability / 10:.1f}")
    raise DeviceError(f'unknown device={device!r}; expected "cpu", "cuda", "cuda:1" or "auto"')


def decide_dtype(dtype: Any, device: Decision = Decision("cpu", "default")) -> Decision:  # noqa: B008  frozen
    """The dtype of products: float32 on every device, on a GPU also tf32, float16 and bfloat16.

    Raises ArchitectureError for other dtypes, DeviceError if the GPU is too old.
    """
    name = _dtype_name(dtype)
    if name not in DTYPES:
        raise ArchitectureError(
            f"dtype={dtype!r} is not supported: npresnet computes in float32, on a GPU also in tf32, float16 or "
            "bfloat16. Weights and images of other float dtypes are cast, so omit dtype"
        )
    if name == "float32":
        return Decision(name, "default")
    if device.value == "cpu":
        chosen = f" ({device.note})" if device.note else ""
        raise ArchitectureError(
            f'dtype={dtype!r}: the CPU computes in float32 only{chosen}. Pass device="cuda" as well, or omit dtype; '
            "weights and images of other float dtypes are cast"
        )
    gpu = _open_gpu(device.value)
    if name in AMPERE_DTYPES and gpu.capability < 80:
        raise DeviceError(
            f"dtype={dtype!r} needs a GPU of compute capability 8.0 or later (Ampere); {gpu.device} ({gpu.name}) has "
            f'{gpu.capability / 10:.1f}. dtype="float16" works there'
        )
    return Decision(name, "caller", DTYPES[name])


def decide_threads(threads: int | None) -> Decision:
    """The caller's number, else that of NPRESNET_THREADS or OMP_NUM_THREADS, else of the CPUs it may use."""
    if threads is None:
        found = cpu.default_threads()
        return Decision(found.number, "default", found.note)
    return Decision(as_count(threads, "threads", most=cpu.MAX_THREADS), "caller")


def decide_fast(fast: Any) -> Decision:
    """Whether an image's last bits may depend on the other images of its batch."""
    if not _flag(fast, "fast"):
        return Decision(False, "default", "an image's bits do not depend on its batch")
    return Decision(True, "caller", "an image's last bits may depend on the batch it is in and its place there")


def decide_copy(copy: Any) -> bool:
    """Whether weights are read into memory at once."""
    return _flag(copy, "copy")


def decide_winograd(winograd: Any) -> Decision:
    """Whether 3x3 convolutions may use Winograd's algorithm."""
    if _flag(winograd, "winograd"):
        return Decision(True, "default", "3x3 convolutions use it if it is faster")
    return Decision(False, "caller", "every convolution is a direct sum")


def decide_runtime(
    device: Any, dtype: Any, threads: int | None, *, fast: Any = False, winograd: Any = True, max_pixels: Any = None
) -> dict[str, Decision]:
    """Where and how to run; decided before the weights are read, so that invalid arguments fail early."""
    where = decide_device(device)
    decided = {
        "device": where,
        "dtype": decide_dtype(dtype, where),
        "threads": decide_threads(threads),
        "fast": decide_fast(fast),
        "winograd": decide_winograd(winograd),
        "max_pixels": Decision(None, "default", "Pillow's limit for files"),
    }
    if max_pixels is not None:
        decided["max_pixels"] = Decision(as_count(max_pixels, "max_pixels"), "caller")
    if where.value == "cpu":
        return decided
    notes = {"threads": "they read images", "fast": "no effect on a GPU", "winograd": "no effect on a GPU"}
    return {**decided, **{name: decided[name]._replace(note=note) for name, note in notes.items()}}


def _open_gpu(device: str) -> Any:
    """Imports `npresnet.cuda` only if a GPU is requested."""
    from npresnet import cuda

    return cuda.open_gpu(device)


def _dtype_name(dtype: Any) -> str:
    """The name of any NumPy dtype; tf32 and bfloat16, which NumPy lacks, are accepted as strings."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        result: str = np.dtype(dtype).name
        return result
    except TypeError:
        return ""


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ArchitectureError(f"{what} must be True or False, got {value!r}")
    return bool(value)
