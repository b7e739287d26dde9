"""PyTorch's oldest format (before 0.1.10): a tar archive. Today's torch reads it only with weights_only=False.

- The members `sys_info`, `storages`, `tensors`, `pickle` MUST be regular files; other members are ignored. Links are
  not followed and nothing is extracted to disk.
- `storages`: the pickled number n; n times a pickle `(key, location, class)`, the count as i64 and the raw elements;
  then the pickled list of views `(key, key of the whole, offset, number of elements)`.
- `tensors`: the pickled number n; n times a pickle `(key, storage's key, class)`, the number of axes as i32, 4 unused
  bytes, sizes and strides as i64 each, the offset as i64.
- `pickle`: the object. A persistent id is a tensor's key, or a tuple that begins with a class, which stays inert.
- Parameters are `Parameter` objects, built with `(tensor, requires_grad, hooks)`.
- Keys MUST be integers or strings, each defined once.
- Numbers are little-endian, or big-endian if only that is plausible and `sys_info` says so.
- Tar headers: 512 bytes, name at 0, size at 124 (octal), type at 156, `ustar` at 257; data padded to 512.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.inert import as_mapping
from npresnet.weights.pickle_machine import Machine
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, item_bytes
from npresnet.weights.torch_globals import handlers, storage_dtype, view_of
from npresnet.weights.unpickle import unpickle

_BLOCK_BYTES = 512
_MAX_MEMBERS = 1_000
_MAX_AXES = 64
_ENTRY_STEPS = 60
_PARTS = ("sys_info", "storages", "tensors", "pickle")


def read_torch_tar(source: Source) -> Contents:
    """The object in `pickle`, with its tensors."""
    members = tar_members(source)
    missing = [name for name in _PARTS if name not in members]
    if missing:
        raise CheckpointError(
            f"this is a tar archive without {', '.join(missing)}, so not one of PyTorch's. Unpack it and pass the "
            "file inside."
        )
    reader = _Reader(source, members)
    root = reader.root()
    return Contents("torch tar", root, ["the file is big-endian"] if reader.order == ">" else [])


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def tar_members(source: Source) -> dict[str, Span]:
    """The regular files of a tar by name, as spans of the mapped file."""
    members: dict[str, Span] = {}
    position = 0
    for _ in range(_MAX_MEMBERS):
        header = source.buffer[position : position + _BLOCK_BYTES]
        if len(header) < _BLOCK_BYTES or header.count(0) == _BLOCK_BYTES:
            return members
        size_bytes = _octal(header[124:136])
        data = position + _BLOCK_BYTES
        if not is_tar(header) or data + size_bytes > source.size_bytes:
            raise CheckpointError("its tar archive is truncated or damaged. Download or copy it again.")
        name = header[:100].split(b"\0")[0].decode("latin-1").removeprefix("./")
        if header[156:157] in (b"0", b"\0"):
            if name in members:
                raise CheckpointError(f"the tar archive holds two files called {shown(name)}; it is ambiguous.")
            members[name] = Span(source.buffer, data, size_bytes)
        position = data + -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
    raise CheckpointError(f"its tar archive has more than {_MAX_MEMBERS:,} members, so it is not one of PyTorch's.")


def _octal(field: bytes) -> int:
    if field[:1] == b"\x80":  # GNU's encoding of 8 GiB and more
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise CheckpointError("its tar archive is damaged: a size is not a number.")
    return int(digits, 8)


class _Reader:
    """Reads the pickled members in order; `known` maps keys to the storages and tensors defined so far."""

    def __init__(self, source: Source, members: dict[str, Span]):
        self.source = source
        self.members = members
        self.budget = source.budget
        self.tensors: list[Tensor] = []
        self.known: dict[str, object] = {}
        info = as_mapping(self._unpickle(members["sys_info"])) or {}
        self.may_be_big = info.get("little_endian") is False
        self.order = "<"

    def root(self) -> object:
        self._read_storages(_Cursor(self, self.members["storages"]))
        self._read_tensors(_Cursor(self, self.members["tensors"]))
        root = self._unpickle(self.members["pickle"])
        for tensor in self.tensors:
            tensor.check()
        return root

    def _unpickle(self, span: Span) -> Any:
        machine = Machine(
            span.buffer,
            span.start,
            span.stop,
            handlers=handlers(self.tensors, self.budget),
            persistent=self._of_persistent_id,
            budget=self.budget,
        )
        return unpickle(machine)

    def _of_persistent_id(self, name: object) -> object:
        if isinstance(name, tuple) and name:
            return name[0]
        return self.recall(name)

    def recall(self, key: object) -> object:
        found = self.known.get(_key_text(key))
        if found is None:
            raise CheckpointError(f"its pickle refers to a missing tensor or storage {shown(_key_text(key))}.")
        return found

    def define(self, key: object, value: object) -> None:
        if _key_text(key) in self.known:
            raise CheckpointError(f"tensor or storage {shown(_key_text(key))} is defined twice; damaged or hostile.")
        self.known[_key_text(key)] = value

    def _read_storages(self, cursor: _Cursor) -> None:
        for _ in range(cursor.count()):
            key, _location, kind = cursor.triple()
            self.budget.spend(_ENTRY_STEPS)
            storage = Storage(_key_text(key), storage_dtype(kind), 0, budget=self.budget)
            storage.numel = self._count(cursor, storage)
            span = cursor.skip(storage.size_bytes)
            storage.big_endian = self.order == ">"
            storage.open = _opener(span)
            self.define(key, storage)
        views = cursor.load()
        for view in views if isinstance(views, list) else ():
            if not isinstance(view, (tuple, list)) or len(view) != 4:
                raise CheckpointError("its pickle is damaged: the description of a part of a storage is invalid.")
            self.budget.spend(_ENTRY_STEPS)
            target, root, offset, numel = view
            whole = self.recall(root)
            if not isinstance(whole, Storage):
                raise CheckpointError("its pickle is damaged: a view refers to something other than a storage.")
            self.define(target, whole.part(_key_text(target), offset, numel))

    def _count(self, cursor: _Cursor, storage: Storage) -> int:
        raw = cursor.skip(8).read()
        room = cursor.left // item_bytes(storage.element)
        little, big = (int.from_bytes(raw, order, signed=True) for order in ("little", "big"))
        if self.may_be_big and not 0 <= little <= room:
            self.order, little = ">", big
        if not 0 <= little <= room:
            raise CheckpointError(
                f"storage {shown(storage.key)} is longer than the file, which is truncated or damaged."
            )
        return little

    def _read_tensors(self, cursor: _Cursor) -> None:
        for _ in range(cursor.count()):
            self.budget.spend(_ENTRY_STEPS)
            key, storage_key, _kind = cursor.triple()
            (axes,) = cursor.numbers("i", 1)
            cursor.skip(4)
            if not 0 <= axes <= _MAX_AXES:
                raise CheckpointError(f"a tensor declares {axes} axes; the file is damaged.")
            shape, stride = cursor.numbers("q", axes), cursor.numbers("q", axes)
            (offset,) = cursor.numbers("q", 1)
            storage = self.recall(storage_key)
            tensor = view_of(storage, offset, shape, stride, storage.element if isinstance(storage, Storage) else "")
            tensor.check()
            self.define(key, tensor)


class _Cursor:
    """Reads pickles and binary numbers from one member sequentially."""

    def __init__(self, reader: _Reader, span: Span):
        self.reader = reader
        self.span = span
        self.position = span.start

    @property
    def left(self) -> int:
        return self.span.stop - self.position

    def load(self) -> Any:
        machine = Machine(self.span.buffer, self.position, self.span.stop, budget=self.reader.budget)
        value = unpickle(machine)
        self.position = machine.position
        return value

    def count(self) -> int:
        value = self.load()
        if type(value) is not int or value < 0:
            raise CheckpointError("its pickle is damaged: a number of tensors or storages is missing.")
        return value

    def triple(self) -> tuple[Any, Any, Any]:
        value = self.load()
        if not isinstance(value, tuple) or len(value) != 3:
            raise CheckpointError("its pickle is damaged: the description of a tensor or storage is invalid.")
        return value

    def skip(self, size_bytes: int) -> Span:
        if size_bytes > self.left:
            raise CheckpointError("its tar archive is truncated or damaged. Download or copy it again.")
        span = Span(self.span.buffer, self.position, size_bytes)
        self.position += size_bytes
        return span

    def numbers(self, code: str, count: int) -> tuple[Any, ...]:
        layout = struct.Struct(f"{self.reader.order}{count}{code}")
        return layout.unpack(self.skip(layout.size).read())


def _opener(span: Span) -> Callable[[], Span]:
    return lambda: span


def _key_text(key: object) -> str:
    if not isinstance(key, (str, int)):
        raise CheckpointError("its pickle is damaged: a key is neither an integer nor a string.")
    return str(key)
