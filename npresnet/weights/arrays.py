"""Weights as a mapping of arrays: `{name: array}`, as `read_state_dict`, `numpy.load` and other readers give them.

- Read-only arrays are used in place, without a copy: those of another process's shared memory, too. Arrays that could
  be written into, by themselves or through the array that they are a view of, are copied, so that a model never
  changes. Unaligned arrays, and those of the other byte order, are copied as well.
- Mappings may be nested and hold other entries, as a checkpoint does: `{"state_dict": {...}, "classes": [...]}`.
- Names that start with `__` are no tensors. `__npresnet__` is what `npz.py` says: text, or the parsed object.
- Tensors of other libraries are refused, with what turns them into arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.contents import Contents
from npresnet.weights.holders import MAX_DEPTH, name_of
from npresnet.weights.npz import METADATA
from npresnet.weights.safetensors import parse_json
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Array, Storage, Tensor, dense, numpy_dtype

NAME = "<arrays>"
_LEFT_OUT = "USVMm"  # kinds of dtype: text, records, times


class GivenTensor(Tensor):
    """A tensor that is an array already."""

    def __init__(self, name: str, array: Array, dtype: str):
        whole = dense(Storage(name, dtype, array.size), array.shape)
        super().__init__(whole.storage, 0, whole.shape, whole.stride, dtype)
        self._given = array
        self._made: Array | None = None

    def array(self) -> Array:
        """Read-only. Raises CheckpointError for a dtype that is not supported."""
        if self._made is None:
            given = self._given
            if given.dtype.kind == "c":
                return super().array()  # raises
            if _can_be_written(given) or not given.flags.aligned or not given.dtype.isnative:
                given = given.astype(given.dtype.newbyteorder("="))
            self._made = given.view(np.ndarray)
            self._made.flags.writeable = False
        return self._made


def _can_be_written(array: Array) -> bool:
    """Whether an array, or any array or buffer of Python's that it is a view of, can be written into."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return isinstance(owner, memoryview) and not memoryview(owner.obj).readonly


def read_arrays(entries: Mapping[Any, Any]) -> tuple[Source, Contents]:
    """The tensors of a mapping, and npresnet's metadata if it is there. Raises CheckpointError, without a name."""
    contents = Contents("arrays", {})
    plain = {name: value for name, value in entries.items() if not str(name).startswith("__")}
    if METADATA in entries:
        contents.metadata = _metadata(entries[METADATA])
    contents.root, size_bytes = _converted(plain, contents.notes)
    if not size_bytes:
        kinds = ", ".join(f"{shown(name_of(key))} ({type(value).__name__})" for key, value in list(entries.items())[:3])
        raise CheckpointError(
            f"none of its entries is a NumPy array: {kinds or 'it is empty'}. Pass {{name: array}}, such as "
            "npresnet.read_state_dict(path) and dict(numpy.load(path)) give."
        )
    return Source(NAME, Span(b"", 0, 0), Budget(size_bytes), in_memory=True), contents


def _converted(source: Mapping[Any, Any], notes: list[str]) -> tuple[dict[object, object], int]:
    """The mapping with its arrays as tensors, down to MAX_DEPTH, and their size in bytes.

    Each of the mappings in it is visited once, whatever the number of entries that refer to it, itself included.
    """
    root: dict[object, object] = {}
    made = {id(source): (source, root)}  # the source too: what is freed may leave its id to another
    level = [("", source, root)]
    size_bytes = 0
    for depth in range(MAX_DEPTH + 1):
        below = []
        for where, entries, found in level:
            for key, value in entries.items():
                name = where + name_of(key)
                if not isinstance(value, Mapping):
                    size_bytes += _add(found, key, value, name, notes)
                    continue
                if id(value) not in made and depth < MAX_DEPTH:
                    made[id(value)] = (value, {})
                    below.append((f"{name}.", value, made[id(value)][1]))
                found[key] = made[id(value)][1] if id(value) in made else None
        level = below
    return root, size_bytes


def _add(found: dict[object, object], key: object, value: Any, name: str, notes: list[str]) -> int:
    """Add an entry that is no mapping; the bytes of its tensor."""
    if isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, (str, bytes)):
        tensor = _tensor(name, np.asanyarray(value))
        if tensor is not None:
            found[key] = tensor
            return tensor.size_bytes
        notes.append(f"array {shown(name)} holds text or records and was left out")
    elif hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        raise CheckpointError(_foreign(name, value))
    else:
        found[key] = value
    return 0


def _tensor(name: str, array: Array) -> Tensor | None:
    """None for text and records."""
    if type(array) is not np.ndarray and np.any(getattr(array, "mask", False)):  # np.ma takes 10 ms to import
        raise CheckpointError(
            f"{shown(name)} is a masked array, some of whose values are missing. Fill them: array.filled(0)."
        )
    if array.dtype.name == "bfloat16":  # of the package ml_dtypes
        array = array.astype(np.float32)
    known = numpy_dtype(array.dtype.str)
    if known is not None:
        return GivenTensor(name, array, known[0])
    if array.dtype.kind in _LEFT_OUT and array.dtype.isbuiltin != 2:  # 2: a dtype of another package, as float8
        return None
    raise CheckpointError(
        f"{shown(name)} is an array of dtype {shown(array.dtype)}; expected floats of at most 64 bits, integers or "
        "bool. Cast it: array.astype(numpy.float32)."
    )


def _foreign(name: str, value: object) -> str:
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    way_out = "{name: numpy.asarray(value) for name, value in weights.items()}"
    if library == "torch":
        way_out = "{k: v.cpu().numpy() for k, v in model.state_dict().items()}"
    elif library == "cupy":
        way_out = "{name: cupy.asnumpy(value) for name, value in weights.items()}"
    return f"{shown(name)} is a {library}.{kind.__name__}, expected a NumPy array. Pass {way_out}."


def _metadata(value: Any) -> dict[str, Any]:
    """As numpy.load gives it, a string array; or text; or the object itself, which is read as its JSON is."""
    if isinstance(value, Mapping):
        try:
            value = json.dumps(dict(value), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"its {METADATA} holds what JSON cannot: {shown(error)}.") from None
    if isinstance(value, np.ndarray):
        value = value.tobytes() if value.dtype == np.uint8 else value.item() if value.ndim == 0 else value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise CheckpointError(f"its {METADATA} is {type(value).__name__}, expected npresnet's metadata as text.")
    return parse_json(value, "its metadata", Budget(len(value)))
