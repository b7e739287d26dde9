"""MXNet's `.params`: a list of NDArrays and their names.

- u64 0x112, u64 0, u64 count, the arrays, u64 count, the names; all little-endian. A name is a u64 length and UTF-8.
- An array begins with a magic number: F993FAC9 (version 2) or F993FACA (3), then i32 storage type, which MUST be 0
  (dense); F993FAC8 (1); or it has none (0), and the number is that of its axes.
- Axes: u32 count, then i64 lengths (u32 in version 0). An array without axes, in version 3 with -1, is empty: nothing
  follows. Then i32 device type, i32 device number, i32 dtype, and the elements in C order.
- The names MUST be as many as the arrays, and unique; `arg:` and `aux:` in front are removed.
- Arrays are mapped if aligned, copied otherwise. Bytes after the names are refused.
"""

from __future__ import annotations

import math
import struct

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import MAX_AXES, Storage, Tensor, dense, item_bytes

_HEAD_BYTES = 16
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = {
    0: "float32", 1: "float64", 2: "float16", 3: "uint8", 4: "int32", 5: "int8", 6: "int64", 7: "bool", 12: "bfloat16",
}  # fmt: skip
_MAX_ARRAYS = 200_000
_ARRAY_STEPS = 40
_MAX_NAME_BYTES = 10_000


def read_mxnet(source: Source) -> Contents:
    """All arrays by name."""
    reader = _Reader(source)
    tensors = [_read_array(reader, number) for number in range(reader.count("arrays"))]
    names = [_read_name(reader) for _ in range(reader.count("names"))]
    if len(names) != len(tensors) or reader.position != source.size_bytes:
        raise CheckpointError(
            f"it holds {len(tensors):,} arrays and {len(names):,} names, and "
            f"{source.size_bytes - reader.position:,} bytes after them; every array needs one name. It is damaged."
        )
    contents = Contents("mxnet", {})
    found: dict[str, Tensor] = {}
    for name, tensor in zip(names, tensors, strict=True):
        if name in found:
            raise CheckpointError(f"it holds two arrays called {shown(name)}; it is ambiguous.")
        if tensor is None:
            contents.notes.append(f"array {shown(name)} is empty and was left out")
        else:
            found[name] = tensor
    contents.root = found
    return contents


class _Reader:
    """A position in the file that never leaves it."""

    def __init__(self, source: Source):
        self.source = source
        self.position = _HEAD_BYTES

    def skip(self, size_bytes: int) -> int:
        """Go on by this many bytes; returns where they begin. Raises CheckpointError at the file's end."""
        start = self.position
        if size_bytes > self.source.size_bytes - start:
            raise CheckpointError(
                f"this MXNet file ends after {self.source.size_bytes:,} bytes, in the middle of an array or a name: "
                f"it is truncated or damaged."
            )
        self.position += size_bytes
        return start

    def numbers(self, kinds: str) -> tuple[int, ...]:
        form = struct.Struct("<" + kinds)
        return form.unpack_from(self.source.buffer, self.skip(form.size))

    def count(self, what: str) -> int:
        (count,) = self.numbers("Q")
        if count > _MAX_ARRAYS:
            raise CheckpointError(f"this MXNet file declares {count:,} {what}; npresnet reads {_MAX_ARRAYS:,} at most.")
        return count


def _read_array(reader: _Reader, number: int) -> Tensor | None:
    """The next array; None for an empty one."""
    (first,) = reader.numbers("I")
    if first in (_V2, _V3) and reader.numbers("i") != (0,):
        raise CheckpointError(f"array {number} of this MXNet file is sparse, which is not supported.")
    versioned = first in (_V1, _V2, _V3)
    (axes,) = reader.numbers("i") if versioned else (first,)
    if axes == (-1 if first == _V3 else 0):
        return None
    if not 0 <= axes <= MAX_AXES:
        raise CheckpointError(f"array {number} of this MXNet file has {axes:,} axes; it is damaged.")
    shape = reader.numbers(f"{axes}{'q' if versioned else 'I'}")
    _, _, kind = reader.numbers("iii")
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise CheckpointError(f"array {number} of this MXNet file has the unknown dtype {kind}.")
    if any(length < 0 for length in shape):
        raise CheckpointError(f"array {number} of this MXNet file has the shape {shown(shape)}; it is damaged.")
    size_bytes = math.prod(shape) * item_bytes(dtype)
    span = Span(reader.source.buffer, reader.skip(size_bytes), size_bytes)
    reader.source.budget.spend(_ARRAY_STEPS)
    storage = Storage(f"array {number}", dtype, math.prod(shape), open=lambda: span, budget=reader.source.budget)
    tensor = dense(storage, shape)
    tensor.check()
    return tensor


def _read_name(reader: _Reader) -> str:
    (length,) = reader.numbers("Q")
    if length > _MAX_NAME_BYTES:
        raise CheckpointError(f"this MXNet file has a name of {length:,} bytes; it is damaged.")
    start = reader.skip(length)
    name = reader.source.buffer[start : start + length].decode("utf-8", "replace")
    return name.removeprefix("arg:").removeprefix("aux:")
