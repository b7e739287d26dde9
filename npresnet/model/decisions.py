"""Decisions that do not follow from the tensors: device, dtype, threads, preprocessing and labels."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from npresnet import cpu, images
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.images import Preprocess
from npresnet.model import labels as label_names
from npresnet.model import told
from npresnet.model.bounds import check_told, kind_of
from npresnet.model.inputs import as_count
from npresnet.model.metadata import Stored

# values of `dtype`, with notes
DTYPES = {
    "float32": "",
    "tf32": "factors rounded to 10 bits of mantissa, sums float32",
    "float16": "float16 values and weights, sums float32",
    "bfloat16": "bfloat16 values and weights, sums float32",
}
AMPERE_DTYPES = ("tf32", "bfloat16")

Labels = Sequence[str] | Mapping[Any, Any] | str | os.PathLike[str] | None
PreprocessLike = str | Mapping[str, Any] | Preprocess | None


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


def decide_preprocess(
    given: PreprocessLike,
    stored: Stored | None,
    suggested: Decision,
    facts: Mapping[str, Any] = MappingProxyType({}),
    channels: int = 3,
    takes_clips: bool = False,
) -> tuple[Decision, Preprocess | None]:
    """The caller's preprocessing, else the file's, else the one suggested by file name or architecture.

    given     a preset's name, a Preprocess, or a dict of fields that replace those of the default
    facts     what the file tells, see told.py; a published file's name says more
    channels  of the network's input

    Returns None if no preset applies: for images with a number of channels other than 3. Raises ArchitectureError where
    the file asks for larger images than bounds.py allows its kind.
    """
    if stored is not None:
        note = "as when the file was converted" if stored.doubts else ""
        decision = Decision(None, "file", note, stored.doubts)
        chosen = stored.preprocess
        if chosen is not None:
            check_told(chosen, kind_of(takes_clips), "the file", given)
    else:
        decision, chosen = suggested, None if suggested.value is None else images.preset(suggested.value)
        said, note = told.preprocess_of(facts, channels)
        if said is not None and suggested.origin != "file":
            decision, chosen = Decision(None, "file", note), said
            check_told(said, kind_of(takes_clips), note, given)
        elif said is None and note:
            decision = decision._replace(note="; ".join(text for text in (decision.note, note) if text))
    if given is not None:
        decision = Decision(None, "caller")
        if isinstance(given, Mapping) and "preset" not in given:
            chosen = (chosen or images.PRESETS["V1"]).evolve(**given)
        else:
            chosen = images.preset(given)
    if chosen is None:
        return decision, None
    return decision._replace(value=chosen.name or chosen.to_dict()), chosen


def decide_order(
    bgr: Decision | None, decision: Decision, how: Preprocess | None, given: PreprocessLike = None
) -> tuple[Decision, Preprocess | None]:
    """The preprocessing with its channels in the order that the option `bgr` says, where it was given.

    given  the caller's preprocessing, whose order wins over one that only the file says

    Raises ArchitectureError for a network whose images have not three channels, and where the caller says both orders.
    """
    if bgr is None or (how is not None and how.bgr == bgr.value):
        return decision, how
    if isinstance(given, Mapping) and "bgr" in given and bgr.origin == "caller":
        raise ArchitectureError(f"bgr={bgr.value} contradicts the order in preprocess, bgr={given['bgr']}")
    fields = isinstance(given, Mapping) and "bgr" not in given and "preset" not in given
    if given is not None and not fields and bgr.origin == "file":
        return decision, how
    if how is None:
        raise ArchitectureError("bgr is about preprocessing, of which this network has none: give mean and std as well")
    how = how.evolve(bgr=bgr.value)
    return decision._replace(value=how.name or how.to_dict(), origin=bgr.origin), how


def decide_labels(
    given: Labels,
    stored: Stored | None,
    suggested: Decision,
    num_classes: int | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
    scores: str = "softmax",
) -> tuple[Decision, list[str] | None]:
    """The caller's labels, else those of the file, else those suggested by the architecture, else None.

    facts   what the file tells, see told.py; where names do not fit, there are none, and the decision's note says so
    scores  one logit with "sigmoid" has one or two names

    Raises ArchitectureError unless there is one name per class.
    """
    chosen: list[str] | None
    said = told.labels_of(facts, num_classes, scores) if given is None and stored is None else told.ToldLabels(None, "")
    if given is not None:
        decision, chosen = Decision(None, "caller"), label_names.read(given)
    elif stored is not None:
        decision, chosen = Decision(None, "file"), None if num_classes is None else stored.labels
    elif said.names is not None:
        decision, chosen = Decision(None, "file", said.note), said.names
    elif said.note:  # built-in names would be those of other classes
        decision, chosen = Decision(None, "file"), None
    else:
        decision, chosen = suggested, None if suggested.value is None else list(_built_in(suggested.value))
    if chosen is None:
        note = said.note or suggested.note or "no names are known"
        return Decision(None, decision.origin, f"{note}: classes are named by index"), None
    if num_classes is None:
        raise ArchitectureError(f"{len(chosen)} labels were given, but this network has no classifier")
    label_names.check(chosen, num_classes, scores)
    return decision._replace(value=_name_of(chosen)), chosen


def input_size(config: Config, preprocess: Preprocess | None) -> tuple[int, ...]:
    """(C, H, W) of a preprocessed image, (C, T, H, W) of a clip; 224 x 224 if preprocessing keeps the images' sizes."""
    crop = None if preprocess is None else preprocess.crop
    height, width = crop if isinstance(crop, tuple) else (crop or 224,) * 2
    frames = (config.value("frames"),) if "frames" in config else ()
    return config.value("in_channels", 3), *frames, height, width


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


def _built_in(name: str) -> Sequence[str]:
    return label_names.IMAGENET if name == "imagenet" else label_names.CIFAR10


def _name_of(labels: list[str]) -> str | list[str]:
    """The value stored in the config: the name of a built-in list, else the list."""
    name = "imagenet" if len(labels) == 1000 else "cifar10"
    return name if tuple(labels) == tuple(_built_in(name)) else labels
