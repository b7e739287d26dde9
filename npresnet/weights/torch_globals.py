"""Handlers for PyTorch's globals: the functions that rebuild tensors.

- `torch._utils._rebuild_tensor(storage, offset, size, stride)`, the oldest; `_rebuild_tensor_v2` adds requires_grad,
  hooks and metadata; `_rebuild_tensor_v3` has an untyped storage and a dtype as seventh argument.
- `torch._tensor._rebuild_from_type_v2(function, type, args, state)` wraps one of these.
- `_rebuild_parameter(tensor, ...)` and `_rebuild_parameter_with_state` wrap a tensor; the oldest files create a
  `torch.nn.parameter.Parameter` and BUILD it with `(tensor, requires_grad, hooks)` or a longer state.
- A dtype is a global (`torch.float32`); a storage's class implies its dtype (`torch.FloatStorage`, `torch.cuda...`).
- Quantised, sparse, nested, meta and wrapped tensors become Unreadable and are refused when used; so are tensors with
  a pending negation in their metadata, whose bytes have the wrong sign.
- Pickle protocol 0 writes a persistent id as the tuple's repr, which PyTorch itself cannot read.
- OrderedDict, defaultdict and torch.Size become dict and tuple.
- Every rebuilt tensor is appended to `tensors`; the container MUST check each against its storage.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights import numpy_globals
from npresnet.weights.budget import Budget
from npresnet.weights.inert import Cell, Global, as_tensor, describe
from npresnet.weights.pickle_machine import Handlers, fill
from npresnet.weights.tensor import Storage, Tensor, Unreadable, is_sizes

_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
    "Untyped": "uint8",
}  # fmt: skip
_TEXT_ID = re.compile(
    r"\('storage', <class '(torch(?:\.\w+)*)\.(\w+)'>, '([^'\\]{1,99})', '[^'\\]{0,99}', ([0-9]{1,18})(?:, None)?\)"
)
_DTYPES = {
    "double": "float64", "float": "float32", "half": "float16",
    "long": "int64", "int": "int32", "short": "int16",
}  # fmt: skip
STORAGE_STEPS = 12  # a persistent id looked up
_TENSOR_STEPS = 30  # rebuilt and checked; for each axis 2 more
_UNREADABLE = {
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a meta tensor (a shape without numbers)",
    "_rebuild_wrapper_subclass": "a tensor of a wrapper class",
    "_rebuild_device_tensor_from_numpy": "a tensor of a foreign device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of a foreign device",
    "_rebuild_xla_tensor": "a tensor of a foreign device",
}


class Parameter(Cell):
    """A Parameter of the oldest files: its tensor is the argument, or the first item of the state."""

    __slots__ = ()

    def build(self, state: object) -> None:
        if isinstance(state, tuple) and state:
            self.tensor = as_tensor(state[0]) or self.tensor


def storage_dtype(kind: object) -> str:
    """The dtype of a storage or tensor class: float32 for torch.FloatStorage and torch.FloatTensor."""
    name = kind.name if isinstance(kind, Global) and kind.module.split(".")[0] == "torch" else ""
    dtype = _STORAGES.get(name.removesuffix("Storage").removesuffix("Tensor"))
    if dtype is None:
        raise CheckpointError(f"a storage has the unknown class {describe(kind)}.")
    return dtype


def storage_id(name: object) -> tuple[str, str, int]:
    """(key, dtype, number of elements) of a persistent id ("storage", class, key, location, numel, ...)."""
    if isinstance(name, str):
        name = _id_of_text(name)
    if isinstance(name, tuple) and len(name) >= 5 and name[0] == "storage":
        _, kind, key, _location, numel = name[:5]
        if isinstance(key, (str, int)) and type(numel) is int and numel >= 0:
            return str(key), storage_dtype(kind), numel
    raise CheckpointError("its pickle is damaged: a persistent id is not a storage.")


def _id_of_text(text: str) -> object:
    found = _TEXT_ID.fullmatch(text)
    if found is None:
        return None
    module, kind, key, numel = found.groups()
    return ("storage", Global(module, kind), key, "", int(numel))


def handlers(tensors: list[Tensor], budget: Budget) -> Handlers:
    """(module, name) -> handler, for one file; every rebuilt tensor is appended to `tensors`."""

    def rebuild(storage: object = None, offset: Any = 0, size: object = (), stride: object = (), *_: object) -> Tensor:
        dtype = storage.element if isinstance(storage, Storage) else ""
        tensor = view_of(storage, offset, size, stride, dtype)
        budget.spend(_TENSOR_STEPS + 2 * len(tensor.shape))
        tensors.append(tensor)
        return tensor

    def rebuild_v3(*args: object) -> Tensor:
        tensor = rebuild(*args[:4])
        kind = args[6] if len(args) > 6 else None
        if not isinstance(kind, Global) or kind.module != "torch":
            raise CheckpointError("its pickle is damaged: a tensor has no dtype.")
        tensor.dtype = _DTYPES.get(kind.name, kind.name)
        return tensor

    def rebuild_v2(*args: object) -> Tensor | Unreadable:
        tensor = rebuild(*args[:4])
        metadata = args[6] if len(args) > 6 else None
        is_negated = isinstance(metadata, dict) and metadata.get("neg")
        return Unreadable("a tensor with a pending negation (`t.resolve_neg()`)") if is_negated else tensor

    rebuilders: dict[str, Callable[..., object]] = {
        "_rebuild_tensor": rebuild,
        "_rebuild_tensor_v2": rebuild_v2,
        "_rebuild_tensor_v3": rebuild_v3,
        "_rebuild_parameter": first,
        "_rebuild_parameter_with_state": first,
        **{name: unreadable(kind) for name, kind in _UNREADABLE.items()},
    }

    def rebuild_from_type(function: object = None, _: object = None, args: object = (), *__: object) -> object:
        inner = rebuilders.get(function.name) if isinstance(function, Global) else None
        if inner is None or not isinstance(args, tuple):
            return Unreadable(f"a tensor rebuilt by {describe(function)}")
        return inner(*args)

    return {
        **numpy_globals.handlers(budget),
        **{("torch._utils", name): function for name, function in rebuilders.items()},
        ("torch._tensor", "_rebuild_from_type_v2"): rebuild_from_type,
        ("torch.nn.parameter", "Parameter"): lambda tensor=None, *_: Parameter(as_tensor(tensor)),
        ("torch", "Size"): lambda size=(), *_: tuple(size) if is_sizes(size) else (),
        ("collections", "OrderedDict"): lambda pairs=(), *_: dict_of_pairs(pairs, budget),
        ("collections", "defaultdict"): lambda *_: {},
    }


def view_of(storage: object, offset: Any, shape: object, stride: object, dtype: str) -> Tensor:
    """A Tensor from unpickled values. Raises CheckpointError if one has the wrong type."""
    if not isinstance(storage, Storage):
        raise CheckpointError("its pickle is damaged: a tensor has no storage.")
    if type(offset) is not int or not is_sizes(shape) or not is_sizes(stride):
        raise CheckpointError("its pickle is damaged: a tensor's offset, shape or strides are not (a few) integers.")
    return Tensor(storage, offset, tuple(shape), tuple(stride), dtype)


def first(value: object = None, *_: object) -> object:
    return value


def unreadable(kind: str) -> Callable[..., Unreadable]:
    return lambda *_: Unreadable(kind)


def dict_of_pairs(pairs: object, budget: Budget) -> dict[object, object]:
    """OrderedDict() or, as written by Python 2, OrderedDict([[key, value], ...])."""
    made: dict[object, object] = {}
    listed = pairs if isinstance(pairs, (list, tuple)) else ()
    budget.spend(len(listed))
    for pair in listed:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise CheckpointError("its pickle is damaged: an OrderedDict is not built from pairs.")
        fill(made, list(pair), budget)
    return made
