"""PyTorch's protocol 1001: five pickles and the storages behind them. Oracle: torch.load(weights_only=True)."""

from __future__ import annotations

import io
import pickletools
import random
import struct
from functools import cache

from tests.fuzz import mutate, pickle_ops
from tests.fuzz.seeds import saved, state_dicts
from tests.fuzz.torch_zip import REPEATED, oracle

__all__ = ["make", "oracle"]


def make(rng: random.Random) -> bytes:
    pickles, rest = rng.choice(_seeds())
    found = [b"".join(parts) for parts in pickles]
    which = 3 if rng.random() < 0.7 else rng.randrange(5)
    if rng.random() < REPEATED:
        found[3] = pickle_ops.repeated(rng)
    elif rng.random() < 0.75:
        found[which] = pickle_ops.changed(list(pickles[which]), rng)
    if rng.random() < 0.2:
        rest = mutate.damaged(rest, rng)
    elif rng.random() < 0.1:
        rest = struct.pack("<q", mutate.number(rng) % (1 << 63)) + rest[8:]
    return mutate.sometimes_damaged(b"".join(found) + rest, rng, 0.1)


@cache
def _seeds() -> list[tuple[list[list[bytes]], bytes]]:
    found = []
    for state in state_dicts():
        raw = saved(state, _use_new_zipfile_serialization=False)
        pickles, file = [], io.BytesIO(raw)
        for _ in range(5):
            start = file.tell()
            list(pickletools.genops(file))
            pickles.append(pickle_ops.pieces(raw[start : file.tell()]))
        found.append((pickles, raw[file.tell() :]))
    return found
