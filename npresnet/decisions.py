"""What the tensors do not decide: device, dtype, threads, preprocessing and labels, each with its origin."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npresnet import cpu, images
from npresnet import labels as label_names
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.images import Preprocess
from npresnet.inputs import as_count
from npresnet.metadata import Stored

Labels = Sequence[str] | Mapping[Any, Any] | str | os.PathLike[str] | None
Asked = str | Mapping[str, Any] | Preprocess | None


def decide_device(device: Any) -> Decision:
    """ "cpu" or "auto"; raises DeviceError for a GPU, which this version cannot use, and never falls back silently."""
    if device == "cpu":
        return Decision("cpu", "default")
    if device == "auto":
        return Decision("cpu", "inferred", 'device="auto" chose the CPU: this version of npresnet has no GPU backend')
    if isinstance(device, str) and re.fullmatch(r"cuda(:\d+)?", device):
        raise DeviceError(
            f'device={device!r}: the GPU backend is not part of this version of npresnet; use device="cpu", or '
            'device="auto", which takes a GPU only where it can'
        )
    raise DeviceError(f'device={device!r} is no device; give "cpu", "cuda", "cuda:1" or "auto"')


def decide_dtype(dtype: Any) -> Decision:
    """float32, the only dtype of this version."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if name != "float32":
        raise ArchitectureError(
            f"dtype={dtype!r}: this version of npresnet computes in float32 only. Weights and images of other floats "
            "are cast, so leave dtype out"
        )
    return Decision("float32", "default")


def decide_threads(threads: int | None) -> Decision:
    """The caller's number, or the CPUs that this process may use."""
    if threads is None:
        return Decision(cpu.usable_cpus(), "default", "CPUs that this process may use")
    return Decision(as_count(threads, "threads"), "caller")


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
    return {
        "device": decide_device(device),
        "dtype": decide_dtype(dtype),
        "threads": decide_threads(threads),
        "fast": decide_fast(fast),
        "winograd": decide_winograd(winograd),
    }


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
