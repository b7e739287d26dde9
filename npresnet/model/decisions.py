"""What the tensors do not decide: device, dtype, threads, preprocessing and labels, each with its origin."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npresnet import cpu, images
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.images import Preprocess
from npresnet.model import labels as label_names
from npresnet.model.inputs import as_count
from npresnet.model.metadata import Stored

# what `dtype` may be, and what it means
DTYPES = {
    "float32": "",
    "tf32": "factors rounded to 10 bits of mantissa, sums float32",
    "float16": "float16 values and weights, sums float32",
    "bfloat16": "bfloat16 values and weights, sums float32",
}
MAX_THREADS = 4096  # far beyond what any machine has, and what any system starts
SINCE_AMPERE = ("tf32", "bfloat16")

Labels = Sequence[str] | Mapping[Any, Any] | str | os.PathLike[str] | None
Asked = str | Mapping[str, Any] | Preprocess | None


def decide_device(device: Any) -> Decision:
    """ "cpu", a GPU that works as "cuda:<number>", or for "auto" what there is, and why.

    Raises DeviceError for a GPU that cannot be used, saying what is missing: nothing but "auto" chooses.
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
    raise DeviceError(f'device={device!r} is no device; give "cpu", "cuda", "cuda:1" or "auto"')


def decide_dtype(dtype: Any, device: Decision = Decision("cpu", "default")) -> Decision:  # noqa: B008  frozen
    """What is multiplied: float32 everywhere, on a GPU also tf32, float16 and bfloat16.

    Raises ArchitectureError for any other, DeviceError for a GPU that is too old for it.
    """
    name = _dtype_name(dtype)
    if name not in DTYPES:
        raise ArchitectureError(
            f"dtype={dtype!r}: npresnet computes in float32, and on a GPU also in tf32, float16 or bfloat16. Weights "
            "and images of other floats are cast, so leave dtype out"
        )
    if name == "float32":
        return Decision(name, "default")
    if device.value == "cpu":
        chosen = f" ({device.note})" if device.note else ""
        raise ArchitectureError(
            f'dtype={dtype!r}: the CPU computes in float32 only{chosen}. Give device="cuda" as well, or leave dtype '
            "out; weights and images of other floats are cast"
        )
    gpu = _open_gpu(device.value)
    if name in SINCE_AMPERE and gpu.capability < 80:
        raise DeviceError(
            f"dtype={dtype!r} needs a GPU of compute capability 8.0 or later (Ampere); {gpu.device} ({gpu.name}) has "
            f'{gpu.capability / 10:.1f}. dtype="float16" works there'
        )
    return Decision(name, "caller", DTYPES[name])


def decide_threads(threads: int | None) -> Decision:
    """The caller's number, or the CPUs that this process may use."""
    if threads is None:
        return Decision(cpu.usable_cpus(), "default", "CPUs that this process may use")
    return Decision(as_count(threads, "threads", most=MAX_THREADS), "caller")


def decide_fast(fast: Any) -> Decision:
    """Whether an image's last bits may depend on the other images of its batch."""
    if not _flag(fast, "fast"):
        return Decision(False, "default", "an image's bits do not depend on its batch")
    return Decision(True, "caller", "an image's last bits may depend on the batch it is in and its place there")


def decide_winograd(winograd: Any) -> Decision:
    """Whether 3x3 convolutions may take Winograd's form where that is faster."""
    if _flag(winograd, "winograd"):
        return Decision(True, "default", "3x3 convolutions take it where it is faster")
    return Decision(False, "caller", "every convolution is a direct sum")


def decide_runtime(
    device: Any, dtype: Any, threads: int | None, *, fast: Any = False, winograd: Any = True
) -> dict[str, Decision]:
    """Where and how to run: decided first, so that a wrong word costs no reading of weights."""
    where = decide_device(device)
    decided = {
        "device": where,
        "dtype": decide_dtype(dtype, where),
        "threads": decide_threads(threads),
        "fast": decide_fast(fast),
        "winograd": decide_winograd(winograd),
    }
    if where.value == "cpu":
        return decided
    of_the_cpu = {"threads": "they read images", "fast": "no matter on a GPU", "winograd": "no matter on a GPU"}
    return {**decided, **{name: decided[name]._replace(note=note) for name, note in of_the_cpu.items()}}


def decide_preprocess(asked: Asked, stored: Stored | None, suggested: Decision) -> tuple[Decision, Preprocess | None]:
    """Caller, else the file's metadata, else what the file's name or the architecture suggests.

    asked  a preset's name, a Preprocess, or a dict of its fields, which changes those of what would hold otherwise

    Returns None where no preset fits: a network whose images have another number of channels than RGB.
    """
    if stored is not None:
        decision, chosen = Decision(None, "file"), stored.preprocess
    else:
        decision, chosen = suggested, None if suggested.value is None else images.preset(suggested.value)
    if asked is not None:
        decision = Decision(None, "caller")
        if isinstance(asked, Mapping) and "preset" not in asked:
            chosen = (chosen or images.PRESETS["V1"]).evolve(**asked)
        else:
            chosen = images.preset(asked)
    if chosen is None:
        return decision, None
    return Decision(chosen.name or chosen.to_dict(), decision.origin, decision.note), chosen


def decide_labels(
    asked: Labels, stored: Stored | None, suggested: Decision, num_classes: int | None
) -> tuple[Decision, list[str] | None]:
    """Caller, else the file's metadata, else what the architecture suggests, else none.

    Raises ArchitectureError where there is not one name for each class.
    """
    chosen: list[str] | None
    if asked is not None:
        decision, chosen = Decision(None, "caller"), label_names.read(asked)
    elif stored is not None:
        decision, chosen = Decision(None, "file"), stored.labels
    else:
        decision, chosen = suggested, None if suggested.value is None else list(_built_in(suggested.value))
    if chosen is None:
        return Decision(None, decision.origin, "no names are known: a class is called by its index"), None
    if num_classes is None:
        raise ArchitectureError(f"{len(chosen)} labels were given, but this network has no classifier to name them for")
    label_names.check(chosen, num_classes)
    return Decision(_name_of(chosen), decision.origin, decision.note), chosen


def input_size(config: Config, preprocess: Preprocess | None) -> tuple[int, int, int]:
    """(C, H, W) of a preprocessed image; 224 where preprocessing keeps each image's own size."""
    crop = None if preprocess is None else preprocess.crop
    height, width = crop if isinstance(crop, tuple) else (crop or 224,) * 2
    return config.value("in_channels", 3), height, width


def _open_gpu(device: str) -> Any:
    """Imported here: whoever computes on the CPU loads nothing of the GPU's."""
    from npresnet import cuda

    return cuda.open_gpu(device)


def _dtype_name(dtype: Any) -> str:
    """By any name or object that NumPy knows; tf32, and bfloat16 without the package that adds it, by name alone."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        return np.dtype(dtype).name
    except TypeError:
        return ""


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ArchitectureError(f"{what} is True or False, got {value!r}")
    return bool(value)


def _built_in(name: str) -> Sequence[str]:
    return label_names.IMAGENET if name == "imagenet" else label_names.CIFAR10


def _name_of(labels: list[str]) -> str | list[str]:
    """What stands in the config: the name of a built-in list, else the list."""
    name = "imagenet" if len(labels) == 1000 else "cifar10"
    return name if tuple(labels) == tuple(_built_in(name)) else labels
