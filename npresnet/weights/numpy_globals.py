"""NumPy arrays inside pickles (Caffe2, Detectron, torch saves with arrays), rebuilt by our own code.

- An array is `numpy.core.multiarray._reconstruct(ndarray, (0,), b"b")`, then BUILD `(version, shape, dtype,
  fortran_order, bytes)`; the version MAY be absent. NumPy 2 says `numpy._core`.
- Protocol 5 writes `numpy.core.numeric._frombuffer(bytes, dtype, shape, order)`, and where axes were transposed their
  order comes fifth: reshape, then transpose.
- A dtype is `numpy.dtype("f4", False, True)`, then BUILD `(3, "<", ...)` with the byte order.
- A scalar is `numpy.core.multiarray.scalar(dtype, bytes)`.
- Protocol 2 has no bytes: it writes `_codecs.encode(text, "latin1")`, or `bytes()` for none; Python 2's text is
  bytes as it stands.
- The bytes MUST be exactly as many as shape and dtype ask for.
- Arrays of objects, text and records stay inert: their bytes are never looked at.
"""

from __future__ import annotations

from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.inert import Built, Cell, Global, Inert
from npresnet.weights.pickle_machine import Meanings
from npresnet.weights.source import Span, shown
from npresnet.weights.tensor import NUMPY_DTYPES, Storage, Tensor, Unreadable, dense, item_bytes, numpy_dtype


class Dtype(Built):
    """numpy.dtype: a code such as f4 and, once built, a byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object = None, *_: object):
        self.code = code if isinstance(code, str) else "O"
        self.order = "="

    def build(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]

    def known(self) -> tuple[str, bool] | None:
        """(name, big-endian?), or None for what is no plain number."""
        code = self.code if self.code[:1] in tuple("<>|=") else self.order + self.code
        return numpy_dtype(code)


class NumpyArray(Cell):
    """An ndarray on its way: a tensor once its state has come."""

    __slots__ = ()

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise CheckpointError("its pickle is damaged: an array has no state.")
        shape, dtype, fortran, raw = state[-4:]
        self.tensor = array_tensor(shape, dtype, raw, fortran=bool(fortran))


def array_tensor(shape: object, dtype: object, raw: object, *, fortran: bool = False) -> Tensor | Unreadable:
    """An array of plain numbers as a Tensor over its own bytes. Raises CheckpointError where the bytes do not fit."""
    if not isinstance(dtype, Dtype) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
        raise CheckpointError("its pickle is damaged: an array has no dtype or no shape.")
    known = dtype.known()
    if known is None:
        return Unreadable(f"a NumPy array of type {shown(dtype.code)}")
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    name, big_endian = known
    if not isinstance(data, bytes):
        raise CheckpointError("its pickle is damaged: an array has no bytes.")
    storage = Storage("array", name, len(data) // item_bytes(name), big_endian, lambda: Span(data, 0, len(data)))
    tensor = dense(storage, shape, fortran=fortran)
    tensor.check()
    if tensor.size_bytes != len(data):
        raise CheckpointError(
            f"an array of shape {shown(shape)} and type {name} has {len(data):,} bytes; it is damaged."
        )
    return tensor


def scalar(dtype: object = None, raw: object = b"", *_: object) -> object:
    """A NumPy scalar as a plain Python number; inert if it is none."""
    tensor = array_tensor((), dtype, raw) if isinstance(dtype, Dtype) and isinstance(raw, (bytes, str)) else None
    if isinstance(tensor, Tensor) and tensor.dtype in NUMPY_DTYPES:
        return tensor.array().item()
    return Inert(Global("numpy", "scalar"))


def from_buffer(*args: Any) -> Cell:
    """numpy._core.numeric._frombuffer(bytes, dtype, shape, order[, axes])."""
    padded: list[Any] = [*args, None, None, None, None, None]
    raw, dtype, shape, order, axes = padded[:5]
    tensor = array_tensor(shape, dtype, raw, fortran=order == "F")
    if axes is None or not isinstance(tensor, Tensor):
        return NumpyArray(tensor)
    if not isinstance(axes, tuple) or {*map(type, axes)} != {int} or sorted(axes) != list(range(len(tensor.shape))):
        raise CheckpointError("its pickle is damaged: an array's axes are no permutation.")
    shape, stride = (tuple(values[axis] for axis in axes) for values in (tensor.shape, tensor.stride))
    return NumpyArray(Tensor(tensor.storage, 0, shape, stride, tensor.dtype))


def encode(text: object = None, encoding: object = "latin1", *_: object) -> object:
    """_codecs.encode, for latin-1 alone: the way protocol 2 writes bytes."""
    if isinstance(text, str) and encoding in ("latin1", "latin-1"):
        return text.encode("latin-1")
    return Inert(Global("_codecs", "encode"))


def no_bytes(*args: object) -> object:
    """bytes(): how protocols below 3 write b""."""
    return Inert(Global("builtins", "bytes"), args) if args else b""


def _reconstruct(*_: object) -> Cell:
    return NumpyArray()


MEANINGS: Meanings = {
    ("numpy", "dtype"): Dtype,
    ("_codecs", "encode"): encode,
    ("__builtin__", "bytes"): no_bytes,
    ("builtins", "bytes"): no_bytes,
    **{
        (f"numpy.{core}.{module}", name): meaning
        for core in ("core", "_core")
        for module, name, meaning in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", scalar),
            ("numeric", "_frombuffer", from_buffer),
        )
    },
}
