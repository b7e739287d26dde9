"""The layout of a file of prepared weights, and the check of every byte of it.

    head     exactly what would be written now, padded with spaces to a multiple of 64 bytes
    record   512 bytes: the weight file's stamp and name, a CRC-32 of the weights, and one of record and table
    table    the check of each row of 4 KiB of the arrays, padded
    arrays   float32, each of whole rows, padded with zeros

A file is valid if it begins with exactly the head that would be written now, has the length that follows from it, and
every check matches. It is never parsed or executed. The check of a row, modulo 2^64, over its 512 words of 64 bits:

    check = sum over j of factor[j] * word[j]        every factor odd, no two equal

A change of one word always changes it, because an odd factor has an inverse; so does nearly every other change, words
that were exchanged included, and rows stand in the table in their order. Twice as fast as zlib's CRC-32 (81 MB in 12 ms
beside 23 ms, one thread of a Cascade Lake, NumPy 2.4), and shared by all workers.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.cpu.runtime.memory import Floats
from npresnet.cpu.runtime.workers import Team, share
from npresnet.system.files import open_own, replacing_own
from npresnet.system.stamp import Identity

ALIGNMENT = 64
ROW_BYTES = 4096
ROWS_AT_ONCE = 256  # 1 MiB, that a worker checks at once
_RECORD = struct.Struct("<320s 128s I I 56x")  # stamp, name, CRC of the weights, CRC of record and table
_STAMP_BYTES, _NAME_BYTES = 320, 128

Shape = tuple[int, ...]
Words = NDArray[np.uint64]


class Record(NamedTuple):
    """Of which weights: those of `identity`, which have the checksum `weights_crc`."""

    identity: Identity
    weights_crc: int

    def packed(self, table: bytes) -> bytes:
        """The record of a file with this table."""
        name = self.identity.name.encode(errors="replace")[:_NAME_BYTES].ljust(_NAME_BYTES)
        fields = (stamp_field(self.identity), name, self.weights_crc)
        return _RECORD.pack(*fields, zlib.crc32(table, zlib.crc32(_RECORD.pack(*fields, 0))))


class Opened(NamedTuple):
    """A file that was mapped and whose bytes were all checked."""

    stamp: bytes
    weights_crc: int
    arrays: list[Floats]


def stamp_field(identity: Identity) -> bytes:
    """The stamp as the record holds it; spaces alone for none, and for one that is too long."""
    stamp = identity.stamp.encode(errors="replace")
    return (stamp if len(stamp) <= _STAMP_BYTES else b"").ljust(_STAMP_BYTES)


def file_bytes(head: bytes, shapes: Sequence[Shape]) -> int:
    """The length of the file."""
    return _start(head, shapes) + sum(map(_padded_bytes, shapes))


def write_prepared(path: Path, head: bytes, record: Record, arrays: Sequence[Floats]) -> None:
    """Write a file in the place of the user's own one, or of none. Raises OSError."""
    with replacing_own(path) as file:
        table = b"".join(_checks(rows).tobytes() for array in arrays for rows in _rows_of(array))
        table = table.ljust(_round_up(len(table)), b"\0")
        file.write(head + record.packed(table) + table)
        for array in arrays:
            for rows in _rows_of(array):
                file.write(rows.data)


def read_prepared(path: Path, head: bytes, shapes: Sequence[Shape], team: Team | None) -> Opened | None:
    """Map a file read-only and check all of it; None where it is not valid. Raises OSError where it cannot be opened.

    team  workers that this call has entered; None uses this thread alone
    """
    size_bytes, start = file_bytes(head, shapes), _start(head, shapes)
    buffer = _map_own(path, size_bytes)
    if buffer is None or buffer[: len(head)] != head:
        return None
    body = len(head) + _RECORD.size
    stamp, name, weights_crc, crc = _RECORD.unpack(buffer[len(head) : body])
    table = buffer[body:start]
    if zlib.crc32(table, zlib.crc32(_RECORD.pack(stamp, name, weights_crc, 0))) != crc:
        return None
    rows = np.frombuffer(buffer, np.uint64, offset=start).reshape(-1, ROW_BYTES // 8)
    if not _all_match(rows, np.frombuffer(table, np.uint64, len(rows)), team):
        return None
    return Opened(stamp, weights_crc, list(_arrays(buffer, start, shapes)))


def name_in(path: Path) -> str:
    """The name of the weight file that a file was made of, for people; "" where it cannot be read."""
    try:
        with open(open_own(path), "rb") as file:
            head = file.read(1 << 20)
    except OSError:
        return ""
    start = head.find(b"\n") + 1 + _STAMP_BYTES
    return head[start : start + _NAME_BYTES].decode(errors="replace").rstrip()


def padded_text(text: bytes) -> bytes:
    """Pad with spaces and a newline to a multiple of ALIGNMENT."""
    return text + b" " * (-(len(text) + 1) % ALIGNMENT) + b"\n"


def _all_match(rows: Words, expected: Words, team: Team | None) -> bool:
    wrong: list[int] = []

    def check(first: int) -> None:
        some = slice(first, first + ROWS_AT_ONCE)
        if not wrong and not np.array_equal(_checks(rows[some]), expected[some]):
            wrong.append(first)

    _factors()  # once, before several workers ask for them
    share(range(0, len(rows), ROWS_AT_ONCE), check, team)
    return not wrong


def _checks(rows: Words) -> Words:
    """(R,): the check of each of R rows, (R, 512)."""
    found: Words = np.einsum("rw,w->r", rows, _factors())  # a sixth faster than `@`, which has no BLAS for integers
    return found


@cache
def _factors() -> Words:
    """(512,): odd, no two equal, and spread over 64 bits."""
    spread = np.arange(1, ROW_BYTES // 8 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found: Words = (spread ^ (spread >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) | np.uint64(1)
    return found


def _rows_of(array: Floats) -> Iterator[Words]:
    """(R, 512): the rows of an array, in two parts: all but the last, which has the padding."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(data) // ROW_BYTES * ROW_BYTES
    last = np.zeros(_padded_bytes(array.shape) - whole, np.uint8)
    last[: len(data) - whole] = data[whole:]
    for part in (data[:whole], last):
        yield part.view(np.uint64).reshape(-1, ROW_BYTES // 8)


def _arrays(buffer: mmap.mmap, start: int, shapes: Sequence[Shape]) -> Iterator[Floats]:
    for shape in shapes:
        yield np.frombuffer(buffer, np.float32, prod(shape), start).reshape(shape)
        start += _padded_bytes(shape)


def _start(head: bytes, shapes: Sequence[Shape]) -> int:
    """Where the arrays begin."""
    rows = sum(_padded_bytes(shape) // ROW_BYTES for shape in shapes)
    return len(head) + _RECORD.size + _round_up(8 * rows)


def _padded_bytes(shape: Shape) -> int:
    return -(-4 * prod(shape) // ROW_BYTES) * ROW_BYTES


def _round_up(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def _map_own(path: Path, size_bytes: int) -> mmap.mmap | None:
    """The user's own file mapped read-only; None for a different length."""
    descriptor = open_own(path)
    try:
        if os.fstat(descriptor).st_size != size_bytes:
            return None
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
