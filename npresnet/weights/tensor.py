"""Storage and Tensor: a tensor as files describe it, before any number is touched.

- A storage is a row of bytes, counted in elements of one dtype. Several tensors may share one.
- A tensor is a view: element (i, j, ...) lies at `offset + i*stride[0] + j*stride[1] + ...`, counted in elements.
- Offset, sizes and strides MUST be 0 or more; the last element MUST lie inside the storage.
- A view MAY show an element many times (stride 0), but not more than 64 MiB in all or the storage's own size.
- Arrays are read-only. They point into the mapped file where bytes are aligned and in this machine's order; otherwise
  the storage is copied once, however many tensors share it.
- bfloat16 is the upper half of a float32 and is widened to one; every other dtype stays as it is.
- Complex, quantised and 8-bit float tensors can be listed, not read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError
from npresnet.weights.source import Span, shown

Array = NDArray[Any]

EXPANSION_BYTES = 64 << 20
_MAX_AXES = 32  # NumPy's own limit before 2.0
_MAX_EXTENT = 1 << 48  # one axis, in elements: beyond any machine, far below overflow

NUMPY_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1",
    "bool": "b1", "bfloat16": "u2",
}  # fmt: skip
_ITEM_BYTES = {name: int(code[1:]) for name, code in NUMPY_DTYPES.items()} | {
    "complex32": 4, "complex64": 8, "complex128": 16,
    "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip


@dataclass(eq=False)
class Storage:
    """A row of `numel` elements of dtype `element`; `open` gives its bytes when they are first needed.

    open   None until the container that holds the bytes has been found
    whole  the storage that this one is a part of, from its element `skip` on; None if it is none
    """

    key: str
    element: str
    numel: int
    big_endian: bool = False
    open: Callable[[], Span] | None = None
    whole: Storage | None = None
    skip: int = 0
    _elements: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def size_bytes(self) -> int:
        return self.numel * item_bytes(self.element)

    def part(self, key: str, offset: object, numel: object) -> Storage:
        """The storage made of `numel` of its elements, from `offset` on. Raises CheckpointError outside."""
        if type(offset) is not int or type(numel) is not int or min(offset, numel) < 0 or offset + numel > self.numel:
            raise CheckpointError(
                f"storage {shown(key)} reaches outside storage {shown(self.key)}; damaged or hostile."
            )
        return Storage(key, self.element, numel, whole=self.whole or self, skip=self.skip + offset)

    def same_as(self, element: str, numel: int) -> Storage:
        """Itself. Raises CheckpointError if a file that named this storage before now describes it differently."""
        if (self.element, self.numel) != (element, numel):
            raise CheckpointError(f"storage {shown(self.key)} is described in two ways; damaged or hostile.")
        return self

    def elements(self, dtype: str) -> Array:
        """All its elements, (numel,), read-only, in this machine's byte order."""
        if self.whole is not None:  # never copied on its own: there may be thousands of parts
            if dtype != self.element:
                raise CheckpointError(f"a part of a storage of {self.element} is used as {shown(dtype)}; damaged.")
            return self.whole.elements(dtype)[self.skip : self.skip + self.numel]
        if dtype not in self._elements:
            self._elements[dtype] = self._decode(dtype)
            self._elements[dtype].flags.writeable = False
        return self._elements[dtype]

    def _decode(self, dtype: str) -> Array:
        if self.open is None:
            raise CheckpointError(f"the file holds no data for storage {shown(self.key)}; it is cut off or damaged.")
        span = self.open()
        whole = self.size_bytes // item_bytes(dtype) * item_bytes(dtype)
        raw: Array = np.frombuffer(span.buffer, np.uint8, whole, span.start)
        stored: Array = raw.view(np.dtype(NUMPY_DTYPES[dtype]).newbyteorder(">" if self.big_endian else "<"))
        if dtype == "bool":
            flags: Array = raw != 0  # a byte other than 0 and 1 is no valid NumPy bool
            return flags
        if dtype == "bfloat16":
            widened: Array = (stored.astype(np.uint32) << 16).view(np.float32)
            return widened
        if stored.dtype.isnative and stored.flags.aligned:
            return stored
        return stored.astype(stored.dtype.newbyteorder("="))


@dataclass(eq=False)
class Tensor:
    """A strided view of a storage: offset and stride count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.numel * item_bytes(self.dtype)

    def check(self) -> None:
        """Raise CheckpointError for a view that no honest program writes: outside its storage, negative, endless."""
        extents = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or len(self.shape) > _MAX_AXES:
            raise CheckpointError(f"a tensor has {len(self.shape)} sizes and {len(self.stride)} strides.")
        emptied = math.prod(n for n in self.shape if n) if self.numel == 0 else 0  # NumPy minds these, too
        if min(extents) < 0 or max(*extents, emptied) > _MAX_EXTENT:
            raise CheckpointError(f"a tensor's view is impossible: {self._view()}.")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True) if n)
        room = self.storage.size_bytes // item_bytes(self.dtype)
        if self.offset > room or (self.numel and last >= room):
            raise CheckpointError(
                f"a tensor reaches outside its storage: {self._view()} ends at element {last}, "
                f"but the storage holds {room}. The file is damaged or hostile."
            )
        if self.size_bytes > max(self.storage.size_bytes, EXPANSION_BYTES):
            raise CheckpointError(
                f"a tensor repeats few stored elements beyond all bounds: {self._view()} is {self.size_bytes:,} bytes "
                f"out of {self.storage.size_bytes:,} stored ones. Save it with `.contiguous()` if it is meant."
            )

    def array(self) -> Array:
        """The tensor's numbers, read-only, shape `shape`. Raises CheckpointError for a dtype NumPy does not have."""
        if self.dtype not in NUMPY_DTYPES:
            raise CheckpointError(f"{_article(self.dtype)} tensor, {_WAY_OUT}")
        self.check()
        elements = self.storage.elements(self.dtype)
        if self.numel == 0:
            return elements[:0].reshape(self.shape)
        strides = [step * elements.itemsize for step in self.stride]
        view: Array = np.ndarray(self.shape, elements.dtype, elements, self.offset * elements.itemsize, strides)
        return view

    def _view(self) -> str:
        return f"offset {self.offset}, shape {shown(self.shape)}, strides {shown(self.stride)}"


_WAY_OUT = "which npresnet does not read. In PyTorch, save plain floats: `{name: t.float() for name, t in ...items()}`."


class Unreadable(NamedTuple):
    """A tensor of a kind that npresnet does not read; `kind` is a noun such as "a quantised tensor"."""

    kind: str

    def array(self) -> Array:
        raise CheckpointError(f"{self.kind}, {_WAY_OUT}")


def item_bytes(dtype: str) -> int:
    """The size of one element. Raises CheckpointError for an unknown dtype."""
    size = _ITEM_BYTES.get(dtype) or (1 if dtype.startswith(("float8_", "float4_")) else None)
    if size is None:
        raise CheckpointError(f"the file holds elements of type {shown(dtype)}, which npresnet does not know.")
    return size


def is_sizes(value: object) -> TypeGuard[tuple[int, ...] | list[int]]:
    """A tuple or list of a few whole numbers. Its length is looked at first: thousands may share one of a million."""
    return isinstance(value, (tuple, list)) and len(value) <= _MAX_AXES and all(type(n) is int for n in value)


def dense(storage: Storage, shape: Iterable[int], *, fortran: bool = False) -> Tensor:
    """A tensor that is its whole storage, in C order (last axis fastest) or Fortran order (first axis fastest)."""
    sizes = tuple(shape)
    order = sizes if fortran else sizes[::-1]
    steps = [math.prod(order[:axis]) if 0 not in sizes else 0 for axis in range(len(order))]
    return Tensor(storage, 0, sizes, tuple(steps if fortran else steps[::-1]), storage.element)


def numpy_dtype(code: str) -> tuple[str, bool] | None:
    """(dtype's name, big-endian?) of a NumPy code such as "<f4" or ">i8"; None for text, objects and records."""
    order, plain = (code[0], code[1:]) if code[:1] in tuple("<>|=") else ("=", code)
    if plain == "?":
        plain = "b1"
    for name, known in NUMPY_DTYPES.items():
        if plain == known:
            return name, order == ">" or (order == "=" and sys.byteorder == "big")
    return {"c8": ("complex64", False), "c16": ("complex128", False)}.get(plain)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
