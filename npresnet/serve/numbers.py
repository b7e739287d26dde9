"""Lists of numbers in JSON, read in pieces: `json.loads` of many lets no other thread in, and takes 32 bytes each.

They are taken out of the text, so that what remains is short; in what is parsed of it `put_back` puts them in their
places, still as text. Within a text of JSON `"data"` is written `\\"data\\"`, and so nothing is taken out of texts.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.serve.refusals import RefusedError

Array = NDArray[Any]
LONG = 4096  # bytes of a list of which a part is numbers, and which is not made Python's objects to say so
FEW_LISTS = 8  # that are taken out; a request needs one
PIECE = 2**15  # bytes that are parsed at once, in about a millisecond
_SECRET = secrets.token_hex(8)  # in what stands for a list, so that no client can write the same
_DATA = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_SPACES = b" \t\r\n"
_AS_ZEROS = bytes.maketrans(b"123456789+-.eE", b"0" * 14)
_NO_BRACKETS = bytes.maketrans(b"[]", b"  ")


class Numbers(NamedTuple):
    """A list of numbers as JSON writes it, which a message shows by its beginning."""

    text: bytes

    def __repr__(self) -> str:
        shown = self.text[:40].decode("ascii", "replace")
        return shown if len(self.text) <= 40 else f"{shown}..."

    @property
    def is_empty(self) -> bool:
        return not self.text[:LONG].strip(_SPACES + b"[]")


def taken_out(text: bytes, name: str) -> tuple[bytes, dict[str, Numbers]]:
    """The JSON with a text in the place of each list of numbers that is called data, and the lists by these texts.

    name  of the input that holds numbers, for errors

    Raises RefusedError 400 for a long list that begins with numbers and goes on with something else.
    """
    parts: list[bytes] = []
    lists: dict[str, Numbers] = {}
    at = 0
    while len(parts) < 2 * FEW_LISTS and (match := _DATA.search(text, at)):
        begin, end = match.end(), _end_of_numbers(text, match.end())
        parts.append(text[at:begin])
        if text[end - 1 : end] == b"]":
            mark = f"numbers {_SECRET} {len(lists)}"
            lists[mark] = Numbers(text[begin:end])
            parts.append(b'"%s"' % mark.encode())
        elif end - begin >= LONG:
            raise not_numbers(name)
        else:
            parts.append(text[begin:end])
        at = end
    return b"".join([*parts, text[at:]]), lists


def put_back(found: dict[str, Any], lists: Mapping[str, Numbers]) -> dict[str, Any]:
    """An object of the parsed JSON, with its list of numbers where one was taken out of it."""
    data = found.get("data")
    if isinstance(data, str) and data in lists:
        found["data"] = lists[data]
    return found


def _end_of_numbers(text: bytes, begin: int) -> int:
    """Behind the list's last bracket; where it has none before something else begins in it, there."""
    end = len(text)
    for mark in (b'"', b"}"):
        found = text.find(mark, begin, end)
        end = found if found >= 0 else end
    return text.rfind(b"]", begin, end) + 1 or end


def numbers(text: bytes, shape: tuple[int, ...], name: str) -> Array:
    """The float32 array of a list of JSON, flat or nested as its shape. Raises RefusedError 400."""
    shown = text.translate(_AS_ZEROS, _SPACES)
    marks = shown.translate(None, b"0")
    if marks.strip(b"[],") or b"0[" in shown or b"]0" in shown:
        raise not_numbers(name)
    if marks not in (_flat(math.prod(shape), len(marks)), _nested(shape, len(marks))):
        is_flat = marks.count(b"[") == 1
        count = marks.count(b",") + 1 if shown.strip(b"[]") else 0
        found = f"the shape [{count}]" if is_flat else f"{count} values, nested in another way"
        raise RefusedError(400, f'input "{name}" has the shape {list(shape)} and data of {found}')
    found_numbers = np.empty(math.prod(shape), np.float32)
    try:
        with np.errstate(all="ignore"):
            _fill(found_numbers, text.translate(_NO_BRACKETS))
    except (ValueError, OverflowError):
        raise not_numbers(name) from None
    return found_numbers.reshape(shape)


def not_numbers(name: str) -> RefusedError:
    """400."""
    return RefusedError(
        400, f'the data of input "{name}" must be numbers, flat or nested as its shape; JSON has no NaN and no infinity'
    )


def _flat(count: int, length: int) -> bytes | None:
    """The brackets and commas of a list of `count` numbers; None where these are not `length` bytes."""
    return b"[%s]" % (b"," * (count - 1)) if count + 1 == length else None


def _nested(shape: tuple[int, ...], length: int) -> bytes | None:
    """The same of lists in lists."""
    lists = sum(math.prod(shape[:axis]) for axis in range(len(shape)))
    if math.prod(shape) - 1 + 2 * lists != length:
        return None
    found = b"[%s]" % (b"," * (shape[-1] - 1))
    for side in reversed(shape[:-1]):
        found = b"[%s]" % b",".join([found] * side)
    return found


def _fill(out: Array, text: bytes) -> None:
    """From numbers that are separated by commas. Raises ValueError, OverflowError."""
    at = filled = 0
    while at < len(text):
        end = text.find(b",", at + PIECE)
        end = len(text) if end < 0 else end
        if end - at > PIECE + LONG:
            raise ValueError  # before a number of millions of digits is made
        piece = json.loads(b"[%s]" % text[at:end])
        out[filled : filled + len(piece)] = piece
        at, filled = end + 1, filled + len(piece)
    if filled != len(out):
        raise ValueError
