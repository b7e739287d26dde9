"""NumPy arrays inside pickles (Caffe2, Detectron, torch files with arrays), rebuilt without NumPy's own functions.

- An array is `numpy.core.multiarray._reconstruct(ndarray, (0,), b"b")`, then BUILD `(version, shape, dtype,
  fortran_order, bytes)`; the version MAY be absent. NumPy 2 writes `numpy._core`.
- Protocol 5 writes `numpy.core.numeric._frombuffer(bytes, dtype, shape, order)`; a fifth argument is the order of
  transposed axes: reshape, then transpose.
- A dtype is `numpy.dtype("f4", False, True)`, then BUILD `(3, "<", ...)` with the byte order.
- A scalar is `numpy.core.multiarray.scalar(dtype, bytes)`.
- Protocol 2 has no bytes type: it writes `_codecs.encode(text, "latin1")`, or `bytes()` if empty; Python 2 strings
  are bytes.
- The number of bytes MUST equal that of shape and dtype. Every array's bytes are charged to the budget because several
  may refer to the same.
- Arrays of objects, strings and records stay inert: their bytes are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.inert import Built, Cell, Global, Inert
from npresnet.weights.pickle_machine import Handlers
from npresnet.weights.source import Span, shown
from npresnet.weights.tensor import NUMPY_DTYPES, Storage, Tensor, Unreadable, dense, is_sizes, item_bytes, numpy_dtype

_ARRAY_STEPS = 40  # for each axis 3 more
_SCALAR_STEPS = 4
_PLAIN = {"float64": "d", "float32": "f", "int64": "q", "int32": "i"}  # kinds of scalars that logs are full of


class Dtype(Built):
    """numpy.dtype: a code such as f4, and the byte order set by its state."""

    __slots__ = ("code", "order")

    def __init__(self, code: object = None, *_: object):
        self.code = code if isinstance(code, str) else "O"
        self.order = "="

    def build(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]

    def known(self) -> tuple[str, bool] | None:
        """(name, big-endian?), or None if the dtype is not numeric."""
        code = self.code if self.code[:1] in tuple("<>|=") else self.order + self.code
        return numpy_dtype(code)


class NumpyArray(Cell):
    """An ndarray under construction; its state sets `tensor`."""

    __slots__ = ("budget",)

    def __init__(self, budget: Budget):
        super().__init__()
        self.budget = budget

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise CheckpointError("its pickle is damaged: an array has no state.")
        shape, dtype, fortran, raw = state[-4:]
        self.tensor = array_tensor(self.budget, shape, dtype, raw, fortran=bool(fortran))


def array_tensor(
    budget: Budget, shape: object, dtype: object, raw: object, *, fortran: bool = False
) -> Tensor | Unreadable:
    """A numeric array as a Tensor over its own bytes. Raises CheckpointError if their number is wrong."""
    if not isinstance(dtype, Dtype) or not is_sizes(shape):
        raise CheckpointError("its pickle is damaged: an array has no dtype or no shape.")
    known = dtype.known()
    if known is None:
        return Unreadable(f"a NumPy array of type {shown(dtype.code)}")
    if not isinstance(raw, (bytes, str)):
        raise CheckpointError("its pickle is damaged: an array has no bytes.")
    budget.spend(_ARRAY_STEPS + 3 * len(shape))
    budget.make(len(raw))
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    name, big_endian = known
    span = Span(data, 0, len(data))
    storage = Storage("array", name, len(data) // item_bytes(name), big_endian, lambda: span, budget=budget)
    tensor = dense(storage, shape, fortran=fortran)
    tensor.check()
    if tensor.size_bytes != len(data):
        raise CheckpointError(
            f"an array of shape {shown(shape)} and dtype {name} has {len(data):,} bytes instead of "
            f"{tensor.size_bytes:,}; it is damaged."
        )
    return tensor


def handlers(budget: Budget) -> Handlers:
    """(module, name) -> handler, for one file."""

    def reconstruct(*_: object) -> Cell:
        return NumpyArray(budget)

    def scalar(dtype: object = None, raw: object = b"", *_: object) -> object:
        """A NumPy scalar as a Python number; inert if it is not numeric."""
        known = dtype.known() if isinstance(dtype, Dtype) else None
        if known is None or known[0] not in NUMPY_DTYPES:
            return Inert(Global("numpy", "scalar"))
        if known[0] in _PLAIN and type(raw) is bytes and len(raw) == item_bytes(known[0]):
            budget.spend(_SCALAR_STEPS)  # losses of every iteration are many
            return struct.unpack((">" if known[1] else "<") + _PLAIN[known[0]], raw)[0]
        tensor = array_tensor(budget, (), dtype, raw)
        return tensor.array().item() if isinstance(tensor, Tensor) else Inert(Global("numpy", "scalar"))

    def from_buffer(*args: Any) -> Cell:
        """numpy._core.numeric._frombuffer(bytes, dtype, shape, order[, axes])."""
        padded: list[Any] = [*args[:5], None, None, None, None, None]
        raw, dtype, shape, order, axes = padded[:5]
        tensor = array_tensor(budget, shape, dtype, raw, fortran=order == "F")
        return Cell(tensor if axes is None or not isinstance(tensor, Tensor) else transposed(tensor, axes))

    def encode(text: object = None, encoding: object = "latin1", *_: object) -> object:
        """_codecs.encode with latin-1, by which protocol 2 writes bytes."""
        if isinstance(text, str) and encoding in ("latin1", "latin-1"):
            budget.make(len(text))
            return text.encode("latin-1")
        return Inert(Global("_codecs", "encode"))

    functions: dict[tuple[str, str], Callable[..., object]] = {
        ("multiarray", "_reconstruct"): reconstruct,
        ("multiarray", "scalar"): scalar,
        ("numeric", "_frombuffer"): from_buffer,
    }
    return {
        ("numpy", "dtype"): Dtype,
        ("_codecs", "encode"): encode,
        ("__builtin__", "tuple"): named_array,
        ("builtins", "tuple"): named_array,
        ("__builtin__", "bytes"): empty_bytes,
        ("builtins", "bytes"): empty_bytes,
        **{(f"numpy.core.{module}", name): function for (module, name), function in functions.items()},
        **{(f"numpy._core.{module}", name): function for (module, name), function in functions.items()},
    }


def transposed(tensor: Tensor, axes: object) -> Tensor:
    """The tensor with its axes permuted."""
    if not is_sizes(axes) or sorted(axes) != list(range(len(tensor.shape))):
        raise CheckpointError("its pickle is damaged: an array's axes are not a permutation.")
    shape, stride = (tuple(values[axis] for axis in axes) for values in (tensor.shape, tensor.stride))
    return Tensor(tensor.storage, 0, shape, stride, tensor.dtype)


def named_array(*args: object) -> object:
    """tuple((name, array)), by which PaddlePaddle writes a tensor: the array. Other calls of tuple are inert."""
    pair = args[0] if len(args) == 1 else None
    if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Cell):
        return pair[1]
    return Inert(Global("builtins", "tuple"), args)


def empty_bytes(*args: object) -> object:
    """bytes(), by which protocols below 3 write b""."""
    return Inert(Global("builtins", "bytes"), args) if args else b""
