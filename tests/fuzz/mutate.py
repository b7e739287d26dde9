"""What every format's fuzzer is made of: damaged bytes, extreme numbers, hostile text, and a choice among them."""

from __future__ import annotations

import random
import struct

EXTREME = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1000, 4095, 4096, 65535, 65536, 10**6, 2**24,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**47, 2**48, 2**53, 2**61 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
TEXTS = ("", "a", "weight", "conv1.weight", "module.conv1.weight", "__class__", "__npresnet__", "../x", "\0", "\n",
         "\U0001f600" * 9, "a" * 300, "layer1.0.conv1.weight", "é", "\x1b[31m", "fc.weight")  # fmt: skip


def number(rng: random.Random) -> int:
    """A small number, an extreme one, or one beside or below it."""
    kind = rng.randrange(4)
    value = rng.randrange(10) if kind < 2 else rng.choice(EXTREME) + rng.randrange(-1, 2)
    return -value if rng.random() < 0.1 else value


def text(rng: random.Random) -> str:
    return rng.choice(TEXTS)


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Truncated, cut, repeated, with a number made extreme, or with some bytes changed."""
    data = bytearray(raw or b"x")
    kind = rng.randrange(6)
    at = rng.randrange(len(data))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at : at + rng.randrange(1, 40)]
    elif kind == 2:
        data[at:at] = data[at : at + rng.randrange(1, 40)]
    elif kind == 3:
        layout = rng.choice(("<B", "<H", "<I", "<Q", ">I", ">Q"))
        size = struct.calcsize(layout)
        data[at : at + size] = struct.pack(layout, rng.choice(EXTREME) % (1 << 8 * size))
    else:
        for _ in range(rng.choice([1, 1, 2, 5])):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data) or b"x"


def sometimes_damaged(raw: bytes, rng: random.Random, share: float = 0.15) -> bytes:
    return damaged(raw, rng) if rng.random() < share else raw
