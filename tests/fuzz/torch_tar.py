"""PyTorch's oldest format, a tar: opcodes, counts and headers changed. No oracle: torch reads it only unsafely."""

from __future__ import annotations

import pickletools
import random
import struct
from functools import cache

from tests.fuzz import mutate, pickle_ops
from tests.weights import test_torch_tar
from tests.weights.fixtures import files

oracle = None
_BLOCK = 512


def make(rng: random.Random) -> bytes:
    members = dict(rng.choice(_seeds()))
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(members))
        members[name] = _changed(members[name], rng)
    raw = bytearray(files.tarred(members))
    if rng.random() < 0.15:
        _change_header(raw, rng)
    return mutate.sometimes_damaged(bytes(raw), rng, 0.1)


def _changed(raw: bytes, rng: random.Random) -> bytes:
    """A pickle at the start changed by opcodes, or a number among those behind it."""
    if rng.random() < 0.6:
        try:
            size = sum(map(len, parts := pickle_ops.pieces(raw)))
        except ValueError:
            return mutate.damaged(raw, rng)
        return pickle_ops.changed(parts, rng) + raw[size:]
    if rng.random() < 0.5 and len(raw) > 16:
        at = rng.randrange(len(raw) - 8)
        return raw[:at] + struct.pack("<Q", mutate.number(rng) % (1 << 64)) + raw[at + 8 :]
    return mutate.damaged(raw, rng)


def _change_header(raw: bytearray, rng: random.Random) -> None:
    start = rng.choice([at for at in range(0, len(raw) - _BLOCK, _BLOCK) if raw[at + 257 : at + 262] == b"ustar"])
    at, size, digits = rng.choice(
        ((0, 100, "x"), (124, 12, "77777777777"), (124, 12, "0"), (156, 1, "2"), (257, 5, "USTAR"))
    )
    raw[start + at : start + at + size] = digits.encode().ljust(size, b"\0")[:size]


@cache
def _seeds() -> list[dict[str, bytes]]:
    found = []
    for order in ("<", ">"):
        raw = test_torch_tar.example(order)
        members, at = {}, 0
        while raw[at + 257 : at + 262] == b"ustar":
            size = int(raw[at + 124 : at + 135].rstrip(b" \0") or b"0", 8)
            members[raw[at : at + 100].split(b"\0")[0].decode()] = raw[at + _BLOCK : at + _BLOCK + size]
            at += _BLOCK + -(-size // _BLOCK) * _BLOCK
        found.append(members)
    assert all(pickletools.genops(members["pickle"]) for members in found)
    return found
