"""unpickle runs a Machine; ACTIONS[byte] implements an opcode of protocols 0 to 5, None for an unknown opcode.

Names and semantics are those of Python's `pickletools`. `m` is the machine. COSTS[byte] is charged for each: 1 step,
more for marks, names and calls, whose placeholders are larger.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.inert import Global, Inert
from npresnet.weights.pickle_machine import CALL_STEPS, PAIR_STEPS, Machine, global_of
from npresnet.weights.source import shown

Action = Callable[[Machine], object]
ACTIONS: list[Action | None] = [None] * 256
COSTS = [1] * 256

_U2, _U4, _U8 = (struct.Struct(code) for code in ("<H", "<I", "<Q"))
_I4, _F8_BIG = struct.Struct("<i"), struct.Struct(">d")
_MAX_PROTOCOL = 5
_STOP = ord(".")


def unpickle(m: Machine) -> Any:
    """Interpret up to STOP and return the object; m.position is then the end of the pickle.

    Raises CheckpointError for an invalid pickle.
    """
    buffer, budget, costs = m.buffer, m.budget, COSTS
    try:
        while m.position < m.end:
            code = buffer[m.position]
            m.position += 1
            budget.steps -= costs[code]
            if budget.steps < 0:
                budget.spend(0)  # raises
            if code == _STOP:
                return m.stack.pop()
            action = ACTIONS[code]
            if action is None:
                raise CheckpointError(f"its pickle is damaged: unknown opcode 0x{code:02x}.")
            action(m)
    except CheckpointError:
        raise
    except IndexError:
        raise CheckpointError("its pickle is damaged: it pops from an empty stack or reads past its end.") from None
    except (ValueError, OverflowError) as error:  # an invalid number or encoding
        raise CheckpointError(f"its pickle is damaged: {shown(error)}.") from None
    raise CheckpointError("its pickle is truncated: it has no end.")


def opcode(byte: int | str) -> Callable[[Action], Action]:
    def register(action: Action) -> Action:
        ACTIONS[ord(byte) if isinstance(byte, str) else byte] = action
        return action

    return register


def push(byte: int | str, value: Callable[[Machine], object]) -> None:
    """An opcode that pushes one value."""

    def action(m: Machine) -> None:
        made = value(m)  # first: popping a mark replaces m.stack
        m.stack.append(made)

    opcode(byte)(action)


# --- plain values: NONE, booleans, numbers --------------------------------------------------------------------------

push("N", lambda m: None)
push(0x88, lambda m: True)
push(0x89, lambda m: False)
push("I", lambda m: _text_int(m.short_line()))
push("L", lambda m: _text_int(m.short_line().rstrip(b"L")))
push("F", lambda m: float(m.short_line()))
push("J", lambda m: m.number(_I4))
push("K", lambda m: m.byte())
push("M", lambda m: m.number(_U2))
push(0x8A, lambda m: m.integer(m.byte()))
push(0x8B, lambda m: m.integer(m.number(_U4)))
push("G", lambda m: m.number(_F8_BIG))

# --- strings and bytes -----------------------------------------------------------------------------------------------

push("S", lambda m: _quoted(m, m.line()))
push("T", lambda m: m.decode(m.take(m.number(_I4)), "latin-1"))
push("U", lambda m: m.decode(m.take(m.byte()), "latin-1"))
push("V", lambda m: m.decode(m.line(), "raw-unicode-escape"))
push(0x8C, lambda m: _utf8(m, m.take(m.byte())))
push("X", lambda m: _utf8(m, m.take(m.number(_U4))))
push(0x8D, lambda m: _utf8(m, m.take(m.number(_U8))))
push("C", lambda m: m.take(m.byte()))
push("B", lambda m: m.take(m.number(_U4)))
push(0x8E, lambda m: m.take(m.number(_U8)))
push(0x96, lambda m: m.take(m.number(_U8)))  # BYTEARRAY8: never modified here, so bytes suffice

# --- containers ------------------------------------------------------------------------------------------------------

push(")", lambda m: ())
push("]", lambda m: [])
push("}", lambda m: {})
push(0x8F, lambda m: Inert(Global("builtins", "set")))  # a real set would hash foreign values
push("t", lambda m: tuple(m.pop_mark()))
push("l", lambda m: m.pop_mark())
push(0x91, lambda m: Inert(Global("builtins", "frozenset"), (m.pop_mark(),)))
push(0x85, lambda m: (m.stack.pop(),))


@opcode(0x86)
def tuple2(m: Machine) -> None:
    second, first = m.stack.pop(), m.stack.pop()
    m.stack.append((first, second))


@opcode(0x87)
def tuple3(m: Machine) -> None:
    third, second, first = m.stack.pop(), m.stack.pop(), m.stack.pop()
    m.stack.append((first, second, third))


@opcode("d")
def dict_of_mark(m: Machine) -> None:
    pairs = m.pop_mark()
    m.stack.append({})
    m.set_items(pairs)


@opcode("a")
def append(m: Machine) -> None:
    m.append([m.stack.pop()])


@opcode("e")
@opcode(0x90)  # ADDITEMS, into a set
def appends(m: Machine) -> None:
    m.append(m.pop_mark())


@opcode("s")
def set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    target = m.stack[-1]
    if type(target) is dict and type(key) is str:  # fast path for nearly all items; charged at the next opcode
        m.budget.steps -= PAIR_STEPS
        target[key] = value
    else:
        m.set_items([key, value])


opcode("u")(lambda m: m.set_items(m.pop_mark()))

# --- stack and memo --------------------------------------------------------------------------------------------------

opcode("(")(Machine.mark)
opcode("1")(Machine.pop_mark)
push("2", lambda m: m.stack[-1])


@opcode("0")
def pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


opcode("g")(lambda m: m.recall(int(m.short_line())))
opcode("h")(lambda m: m.recall(m.byte()))
opcode("j")(lambda m: m.recall(m.number(_U4)))


opcode("p")(lambda m: m.store(int(m.short_line())))
opcode("q")(lambda m: m.store(m.byte()))
opcode("r")(lambda m: m.store(m.number(_U4)))
opcode(0x94)(lambda m: m.store(len(m.memo)))

# --- names and calls: nothing is imported, see Machine.call ----------------------------------------------------------


push("c", lambda m: global_of(_utf8(m, m.line()), _utf8(m, m.line())))
opcode("b")(Machine.build)


@opcode(0x93)
def stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.stack.append(global_of(module, name))


@opcode("R")
@opcode(0x81)  # NEWOBJ
def reduce(m: Machine) -> None:
    args, what = m.stack.pop(), m.stack.pop()
    m.call(what, args)


@opcode(0x92)
def newobj_ex(m: Machine) -> None:
    keywords, args, what = m.stack.pop(), m.stack.pop(), m.stack.pop()
    m.stack.append(Inert(what, (args, keywords)))


@opcode("i")
def inst(m: Machine) -> None:
    what = global_of(_utf8(m, m.line()), _utf8(m, m.line()))
    m.call(what, tuple(m.pop_mark()))


@opcode("o")
def obj(m: Machine) -> None:
    what, *args = m.pop_mark()
    m.call(what, tuple(args))


push("P", lambda m: m.persistent(_utf8(m, m.line())))
push("Q", lambda m: m.persistent(m.stack.pop()))

# --- framing ---------------------------------------------------------------------------------------------------------


@opcode(0x80)
def proto(m: Machine) -> None:
    version = m.byte()
    if version > _MAX_PROTOCOL:
        raise CheckpointError(f"its pickle has protocol {version}; npresnet reads 0 to {_MAX_PROTOCOL}.")


@opcode(0x95)
def frame(m: Machine) -> None:
    size_bytes = m.number(_U8)
    if size_bytes > m.end - m.position:
        raise CheckpointError("its pickle is truncated: a frame is longer than the rest of the file.")


def _refuse(m: Machine) -> None:
    raise CheckpointError("its pickle uses the extension registry or out-of-band buffers, which no checkpoint needs.")


for _code in (0x82, 0x83, 0x84, 0x97, 0x98):
    opcode(_code)(_refuse)

for _codes, _steps in ((b"(dl", 2), (b"c\x93", 4), (b"R\x81\x92oiPQ\x8f\x91", CALL_STEPS)):
    for _code in _codes:
        COSTS[_code] = _steps


def _text_int(text: bytes) -> int | bool:
    if text in (b"00", b"01"):  # protocol 1's booleans
        return text == b"01"
    return int(text)


def _utf8(m: Machine, raw: bytes) -> str:
    return m.decode(raw, "utf-8", "surrogatepass")


def _quoted(m: Machine, line: bytes) -> str:
    text = line.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise CheckpointError("its pickle is damaged: a string has no quotes.")
    return m.decode(codecs.escape_decode(text[1:-1])[0], "latin-1")
