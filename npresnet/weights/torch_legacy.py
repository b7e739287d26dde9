"""PyTorch's legacy format, protocol 1001: written by `torch.save` from 0.1.10 to 1.5, and later on request.

- Five consecutive pickles: a magic number, 1001, sys_info `{protocol_version, little_endian, type_sizes}`, the object,
  and the sorted list of its storages' keys.
- Then, for each key in that order, the number of elements as i64 and the raw elements.
- A persistent id is `("storage", class, key, location, number of elements, view)`. `view` MAY be absent or None, or
  `(key, offset, number of elements)`: a part of the storage.
- Or it is `("module", class, file, source text)`: the class of a pickled object. It stays inert.
- Every storage of the object MUST follow exactly once, with the number of elements that the object declares.
- Numbers are little-endian whatever sys_info says, because PyTorch swaps them when writing on big-endian machines. If
  a count matches the object only as big-endian, the storage is read as big-endian.
- Elements may start at any byte: they are mapped if aligned, copied otherwise.
"""

from __future__ import annotations

import struct

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.contents import Contents
from npresnet.weights.pickle_machine import Machine
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor
from npresnet.weights.torch_globals import STORAGE_STEPS, handlers, storage_id
from npresnet.weights.unpickle import unpickle

MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


def has_magic(head: bytes) -> bool:
    """Whether a file begins with the pickled magic number, binary (protocols 2 to 5) or text (0 and 1)."""
    return MAGIC.to_bytes(10, "little") in head[:32] or str(MAGIC).encode() in head[:32]


def read_torch_legacy(source: Source) -> Contents:
    """The object of a protocol 1001 file, with its tensors."""
    budget = source.budget
    storages = _Storages(budget)
    tensors: list[Tensor] = []
    position = 0
    values = []
    for _ in range(5):
        machine = Machine(
            source.buffer,
            position,
            handlers=handlers(tensors, budget),
            persistent=storages.of_persistent_id,
            budget=budget,
        )
        values.append(unpickle(machine))
        position = machine.position
    magic, protocol, _, root, keys = values
    if magic != MAGIC or protocol != _PROTOCOL or not isinstance(keys, list):
        raise CheckpointError("its five pickles are not those of PyTorch's protocol 1001; the file is damaged.")
    storages.attach(source, position, keys)
    for tensor in tensors:
        tensor.check()
    return Contents("torch legacy", root, storages.notes)


class _Storages:
    """Storages by key: described by the pickle, with their data after it."""

    def __init__(self, budget: Budget):
        self.budget = budget
        self.roots: dict[str, Storage] = {}
        self.views: dict[str, Storage] = {}
        self.notes: list[str] = []

    def of_persistent_id(self, name: object) -> object:
        if isinstance(name, tuple) and len(name) > 1 and name[0] == "module":
            return name[1]
        key, element, numel = storage_id(name)
        self.budget.spend(STORAGE_STEPS)
        root = self.roots.setdefault(key, Storage(key, element, numel, budget=self.budget)).same_as(element, numel)
        view = name[5] if isinstance(name, tuple) and len(name) > 5 else None
        return root if view is None else self._part(root, view)

    def _part(self, root: Storage, view: object) -> Storage:
        if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], (str, int)):
            raise CheckpointError("its pickle is damaged: the description of a part of a storage is invalid.")
        key, offset, numel = view
        part = root.part(str(key), offset, numel)
        return self.views.setdefault(str(key), part).same_as(part.element, part.numel)

    def attach(self, source: Source, position: int, keys: list[object]) -> None:
        """Locate each storage's data; it is consecutive from `position` on, in the order of `keys`."""
        names = [str(key) if isinstance(key, (str, int)) else "" for key in keys]
        if sorted(names) != sorted(self.roots):
            raise CheckpointError("the stored storages are not those that the object refers to; the file is damaged.")
        for name in names:
            position = fill_storage(self.roots[name], source, position)
        if any(root.big_endian for root in self.roots.values()):
            self.notes.append("the file is big-endian")


def fill_storage(storage: Storage, source: Source, position: int) -> int:
    """Locate a storage's data after its count at `position`; returns the end of the data."""
    raw = source.buffer[position : position + _COUNT_BYTES]
    start, stop = position + _COUNT_BYTES, position + _COUNT_BYTES + storage.size_bytes
    if stop > source.size_bytes or len(raw) < _COUNT_BYTES:
        raise CheckpointError(
            f"storage {shown(storage.key)} needs {storage.size_bytes:,} bytes from byte {position:,} on, but the file "
            f"ends after {source.size_bytes:,}: it is truncated. Download or copy it again."
        )
    if struct.unpack("<q", raw) != (storage.numel,):
        if struct.unpack(">q", raw) != (storage.numel,):
            raise CheckpointError(f"storage {shown(storage.key)} has a different length than declared; damaged.")
        storage.big_endian = True
    storage.open = lambda: Span(source.buffer, start, stop - start)
    return stop
