"""A pickle interpreter that can only build data: dicts, lists, tuples, numbers, texts, and inert stand-ins.

- A pickle is a program for a stack machine, one byte an opcode, protocols 0 to 5. This file is the machine and
  unpickle.py its opcodes; Python's own `pickle` is not used, for it imports what a file names.
- A global (module and name) becomes inert.Global. Nothing is ever imported or looked up.
- A call (REDUCE, NEWOBJ, INST, OBJ) runs one of our own functions if `meanings` has one under that very name;
  otherwise it becomes inert.Inert, which records the call.
- A state (BUILD) is handed to what is inert.Built, and dropped otherwise (an OrderedDict's `_metadata`).
- Python 2's byte strings are read as latin-1 text, as is usual for checkpoints.
- Opcodes are counted over the whole file (2 million), which bounds time and memory: an opcode makes at most one small
  object or copies bytes that stand in the file. Repeating by memo or DUP copies a reference, never the object.
  Our own functions that go through an argument of any length MUST pay for it first (Budget.spend, Budget.copy).
- The machine never recurses and nobody walks its result deeper than two levels, so nesting costs nothing; open
  marks are limited to 1,000 all the same.
- Dict keys are plain values (or Opaque, compared by identity): hashing never runs a stranger's code and never recurses.
- Every length MUST fit into what is left of the file; whole numbers MUST NOT have more than 1,024 bytes.
- The extension registry, out-of-band buffers and unknown opcodes are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.inert import Built, Global, Inert, Opaque
from npresnet.weights.source import Buffer, shown

Meanings = Mapping[tuple[str, str], Callable[..., object]]

MAX_OPCODES = 2_000_000
_MAX_MARKS = 1_000
_MAX_NUMBER_BYTES = 1_024
_COPIES_BYTES = 64 << 20


class Budget:
    """What the pickles of one file may still cost: opcodes, and bytes that calls copy or turn into arrays."""

    __slots__ = ("copies_bytes", "opcodes")

    def __init__(self, size_bytes: int = 0, *, opcodes: int = MAX_OPCODES):
        self.opcodes = opcodes
        self.copies_bytes = _COPIES_BYTES + 4 * size_bytes

    def spend(self, opcodes: int) -> None:
        self.opcodes -= opcodes
        if self.opcodes < 0:
            raise CheckpointError(f"its pickles run more than {MAX_OPCODES:,} opcodes; no checkpoint needs them.")

    def copy(self, size_bytes: int) -> None:
        self.copies_bytes -= size_bytes
        if self.copies_bytes < 0:
            raise CheckpointError("its pickles make far more bytes than the file has; damaged or hostile.")


class Machine:
    """One pickle inside a buffer: what is left of its bytes, the stack, the memo. unpickle.py holds its opcodes.

    meanings    (module, name) -> our function of the call's arguments
    persistent  what to make of a persistent id (torch: a storage)
    """

    def __init__(
        self,
        buffer: Buffer,
        start: int = 0,
        stop: int | None = None,
        *,
        meanings: Meanings | None = None,
        persistent: Callable[[object], object] | None = None,
        budget: Budget | None = None,
    ):
        self.buffer = buffer
        self.position = start
        self.end = len(buffer) if stop is None else stop
        self.meanings: Meanings = meanings or {}
        self.persistent = persistent or _unknown_persistent
        self.budget = budget or Budget(len(buffer))
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks below each open mark
        self.memo: dict[int, Any] = {}

    # --- bytes ---------------------------------------------------------------------------------------------------

    def take(self, size_bytes: int) -> bytes:
        start = self.position
        left = self.end - start
        if not 0 <= size_bytes <= left:
            raise CheckpointError(
                f"its pickle asks for {size_bytes:,} bytes where {left:,} are left; it is cut off or damaged."
            )
        self.position = start + size_bytes
        return self.buffer[start : self.position]

    def byte(self) -> int:
        """The next byte; the end is looked after when the next opcode is fetched."""
        self.position += 1
        return self.buffer[self.position - 1]

    def number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack(self.take(layout.size))
        return value

    def line(self, limit: int | None = None) -> bytes:
        """Up to the next newline, which is dropped: protocol 0's arguments."""
        stop = self.end if limit is None else min(self.end, self.position + limit)
        newline = self.buffer.find(b"\n", self.position, stop)
        if newline < 0:
            raise CheckpointError("its pickle is damaged: a line has no end.")
        text = self.buffer[self.position : newline]
        self.position = newline + 1
        return text

    def short_line(self) -> bytes:
        return self.line(_MAX_NUMBER_BYTES)

    def whole_number(self, size_bytes: int) -> int:
        if size_bytes > _MAX_NUMBER_BYTES:
            raise CheckpointError(f"its pickle holds a whole number of {size_bytes:,} bytes; no checkpoint needs one.")
        return int.from_bytes(self.take(size_bytes), "little", signed=True)

    # --- stack, marks, memo --------------------------------------------------------------------------------------

    def mark(self) -> None:
        if len(self.marks) >= _MAX_MARKS:
            raise CheckpointError(f"its pickle nests more than {_MAX_MARKS:,} deep.")
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """Everything above the last mark; the mark goes, too."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise CheckpointError(f"its pickle is damaged: it recalls number {index}, which was never put away.")
        self.stack.append(self.memo[index])

    # --- objects -------------------------------------------------------------------------------------------------

    def call(self, what: object, args: object) -> None:
        """Stand for `what(*args)`: by our own function if we know that name, else by a record of the call."""
        meaning = self.meanings.get((what.module, what.name)) if isinstance(what, Global) else None
        if meaning is None:
            self.stack.append(Inert(what, args))
        elif isinstance(args, tuple):
            self.stack.append(meaning(*args))
        else:
            raise CheckpointError(f"its pickle is damaged: it calls {what!r} without arguments.")

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Built):
            target.build(state)

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Inert):
            target.elements.extend(items)
        else:
            raise CheckpointError(f"its pickle is damaged: it appends to a {type(target).__name__}.")

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target = target.items
        if not isinstance(target, dict) or len(pairs) % 2:
            raise CheckpointError("its pickle is damaged: it sets items of what is no dict.")
        fill(target, pairs)


def fill(target: dict[object, object], pairs: list[Any]) -> None:
    """target[key] = value for key, value, key, value, ..."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[key if _is_plain(key) else Opaque(key)] = value


def _is_plain(key: object) -> bool:
    """Hashed quickly, without recursion, and not to be made to collide: whole numbers beyond 64 bits can be."""
    return key is None or isinstance(key, (str, bytes, float)) or (isinstance(key, int) and abs(key) >> 63 == 0)


def _unknown_persistent(name: object) -> object:
    return Inert(Global("pickle", "persistent_id"), (name,))


def global_of(module: object, name: object) -> Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise CheckpointError(f"its pickle is damaged: {shown(type(name).__name__)} is no name.")
    return Global(module, name)
