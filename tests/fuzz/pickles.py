"""Plain pickles of arrays, of tensors and of random opcodes. No oracle: Python reads them unsafely."""

from __future__ import annotations

import pickle
import random
from functools import cache

from tests.fuzz import mutate, pickle_ops
from tests.fuzz.seeds import arrays, state_dicts, with_arguments
from tests.fuzz.torch_zip import REPEATED

oracle = None


def make(rng: random.Random) -> bytes:
    if rng.random() < REPEATED:
        return pickle_ops.repeated(rng)
    if rng.random() < 0.3:
        program = b"".join(pickle_ops.opcode(rng) for _ in range(rng.randrange(1, 40)))
        return b"\x80\x02}X\x01\x00\x00\x00w" + program + b"s."
    return mutate.sometimes_damaged(pickle_ops.changed(list(rng.choice(_seeds())), rng), rng)


@cache
def _seeds() -> list[list[bytes]]:
    values = [
        arrays(),
        {"state_dict": arrays(), "mean": arrays()["bn1.running_var"][0]},
        state_dicts()[0],
        with_arguments(),
    ]
    return [pickle_ops.pieces(pickle.dumps(value, protocol)) for value in values for protocol in (0, 2, 4, 5)]
