"""MXNet's list of arrays: every number of every array's head, and the names, changed. No oracle is at hand."""

from __future__ import annotations

import random
import struct

from tests.fuzz import mutate
from tests.fuzz.seeds import arrays

oracle = None
_V2 = 0xF993FAC9
_KINDS = {"f4": 0, "f8": 1, "f2": 2, "u1": 3, "i8": 6, "b1": 7}


def make(rng: random.Random) -> bytes:
    usable = {name: array for name, array in arrays().items() if array.dtype.str[1:] in _KINDS}
    some = rng.choice(list(usable))
    parts = [struct.pack("<QQ", 0x112, 0), _number("<Q", len(usable), rng, 0.02)]
    for name, array in usable.items():
        share = 0.1 if name == some else 0.0
        magic = rng.choice((_V2, _V2 + 1, _V2 - 1, 4, 0)) if rng.random() < share else _V2
        head = struct.pack("<Ii", magic, 0) + _number("<i", array.ndim, rng, share)
        lengths = b"".join(_number("<q", length, rng, share) for length in array.shape)
        kind = _number("<i", _KINDS[array.dtype.str[1:]], rng, share)
        parts.append(head + lengths + (struct.pack("<ii", 1, 0) + kind + array.tobytes() if array.ndim else b""))
    parts.append(_number("<Q", len(usable), rng, 0.02))
    for name in usable:
        raw = (mutate.text(rng) if rng.random() < 0.03 else f"arg:{name}").encode()
        parts.append(_number("<Q", len(raw), rng, 0.02) + raw)
    return mutate.sometimes_damaged(b"".join(parts), rng, 0.3)


def _number(layout: str, value: int, rng: random.Random, share: float) -> bytes:
    bits = 8 * struct.calcsize(layout)
    changed = mutate.number(rng) % (1 << (bits - 1)) if rng.random() < share else value
    return struct.pack(layout, changed)
