"""A pickle interpreter that only builds data: dicts, lists, tuples, numbers, strings and inert placeholders.

- A pickle is a program for a stack machine with one-byte opcodes, protocols 0 to 5. This file is the machine,
  unpickle.py its opcodes. Python's `pickle` is not used because it imports what a file names.
- A global (module and name) becomes inert.Global. Nothing is imported or looked up.
- A call (REDUCE, NEWOBJ, INST, OBJ) runs the function in `handlers` for that module and name; without one it becomes
  inert.Inert, which records the call.
- A state (BUILD) is passed to an inert.Built and dropped otherwise (an OrderedDict's `_metadata`).
- Python 2 byte strings are decoded as latin-1, as is usual for checkpoints.
- Opcodes are charged to the file's Budget by what they cost (unpickle.COSTS), which bounds time and memory: an opcode
  creates one small object, or bytes and text, which are charged as well. Memo and DUP copy a reference, never the
  object. Handlers MUST charge what they cost beyond CALL_STEPS, and an argument's length before they iterate over it.
- A memo index MUST be below 2^32, as in the binary opcodes: integers of any length could be made to collide.
- The machine does not recurse and its result is walked at most two levels deep, so nesting is harmless; open marks are
  limited to 1,000 nevertheless.
- Dict keys are plain values (or Opaque, compared by identity): hashing neither runs foreign code nor recurses.
- Every length MUST fit into the rest of the file; integers MUST NOT have more than 1,024 bytes.
- The extension registry, out-of-band buffers and unknown opcodes are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.inert import Built, Global, Inert, Opaque
from npresnet.weights.source import Buffer, shown

Handlers = Mapping[tuple[str, str], Callable[..., object]]

CALL_STEPS = 8  # a call, made by a handler or recorded
PAIR_STEPS = 3  # a key and its value in a dict, which is looked at again when the state dict is found
_OPAQUE_STEPS = 6
_MAX_MARKS = 1_000
_MAX_MEMO = 1 << 32
_MAX_NUMBER_BYTES = 1_024
_SMALL_BYTES = 64  # covered by the step of an opcode


class Machine:
    """Interpreter state for one pickle in a buffer: position, stack, memo. unpickle.py holds the opcodes.

    handlers    (module, name) -> function called with the call's arguments
    persistent  converts a persistent id (torch: to a storage)
    """

    def __init__(
        self,
        buffer: Buffer,
        start: int = 0,
        stop: int | None = None,
        *,
        handlers: Handlers | None = None,
        persistent: Callable[[object], object] | None = None,
        budget: Budget | None = None,
    ):
        self.buffer = buffer
        self.position = start
        self.end = len(buffer) if stop is None else stop
        self.handlers: Handlers = handlers or {}
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
                f"its pickle needs {size_bytes:,} bytes but only {left:,} are left; it is truncated or damaged."
            )
        if size_bytes > _SMALL_BYTES:
            self.budget.make(size_bytes)
        self.position = start + size_bytes
        return self.buffer[start : self.position]

    def byte(self) -> int:
        """The next byte; reading past the end is detected at the next opcode."""
        self.position += 1
        return self.buffer[self.position - 1]

    def number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack(self.take(layout.size))
        return value

    def line(self, limit: int | None = None) -> bytes:
        """Bytes up to the next newline, which is dropped: an argument in protocol 0."""
        stop = self.end if limit is None else min(self.end, self.position + limit)
        newline = self.buffer.find(b"\n", self.position, stop)
        if newline < 0:
            raise CheckpointError("its pickle is damaged: a line has no end.")
        if newline - self.position > _SMALL_BYTES:
            self.budget.make(newline - self.position)
        text = self.buffer[self.position : newline]
        self.position = newline + 1
        return text

    def decode(self, raw: bytes, encoding: str, errors: str = "strict") -> str:
        """Bytes as text, which takes one byte a character if all are ASCII, else up to four."""
        if len(raw) > _SMALL_BYTES:
            self.budget.make(len(raw) if raw.isascii() and encoding == "utf-8" else 4 * len(raw))
        return raw.decode(encoding, errors)

    def short_line(self) -> bytes:
        return self.line(_MAX_NUMBER_BYTES)

    def integer(self, size_bytes: int) -> int:
        if size_bytes > _MAX_NUMBER_BYTES:
            raise CheckpointError(f"its pickle holds an integer of {size_bytes:,} bytes; no checkpoint needs one.")
        return int.from_bytes(self.take(size_bytes), "little", signed=True)

    # --- stack, marks, memo --------------------------------------------------------------------------------------

    def mark(self) -> None:
        if len(self.marks) >= _MAX_MARKS:
            raise CheckpointError(f"its pickle nests more than {_MAX_MARKS:,} deep.")
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """Everything above the last mark; removes the mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def store(self, index: int) -> None:
        if not 0 <= index < _MAX_MEMO:
            raise CheckpointError(f"its pickle is damaged: it numbers a memo entry {shown(index)}.")
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise CheckpointError(f"its pickle is damaged: it reads memo entry {shown(index)}, which was never stored.")
        self.stack.append(self.memo[index])

    # --- objects -------------------------------------------------------------------------------------------------

    def call(self, what: object, args: object) -> None:
        """Push the result of the handler for `what`, or an Inert that records `what(*args)`."""
        handler = self.handlers.get((what.module, what.name)) if isinstance(what, Global) else None
        if handler is None:
            self.stack.append(Inert(what, args))
        elif isinstance(args, tuple):
            self.stack.append(handler(*args))
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
            raise CheckpointError(
                f"its pickle is damaged: it sets {len(pairs)} keys and values in a {type(target).__name__}."
            )
        fill(target, pairs, self.budget)


def fill(target: dict[object, object], pairs: list[Any], budget: Budget) -> None:
    """target[key] = value for key, value, key, value, ..."""
    budget.spend(PAIR_STEPS * (len(pairs) // 2))
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if _is_plain(key):
            target[key] = value
        else:
            budget.spend(_OPAQUE_STEPS)
            target[Opaque(key)] = value


def _is_plain(key: object) -> bool:
    """Hashed quickly, without recursion and without engineered collisions, which integers beyond 64 bits allow."""
    return key is None or isinstance(key, (str, bytes, float)) or (isinstance(key, int) and abs(key) >> 63 == 0)


def _unknown_persistent(name: object) -> object:
    return Inert(Global("pickle", "persistent_id"), (name,))


def global_of(module: object, name: object) -> Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise CheckpointError(f"its pickle is damaged: a global's name is of type {shown(type(name).__name__)}.")
    return Global(module, name)
