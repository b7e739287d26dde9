"""PyTorch's zip: opcodes of data.pkl, records and the directory changed. Oracle: torch.load(weights_only=True)."""

from __future__ import annotations

import io
import random
import zipfile
from functools import cache

from tests.fuzz import mutate, pickle_ops, zips
from tests.fuzz.seeds import saved, state_dicts

REPEATED = 1 / 400


def make(rng: random.Random) -> bytes:
    members, parts = rng.choice(_seeds())
    members = dict(members)
    pickle = next(name for name in members if name.endswith("data.pkl"))
    if rng.random() < REPEATED:
        members[pickle] = pickle_ops.repeated(rng)
    elif rng.random() < 0.7:
        members[pickle] = pickle_ops.changed(list(parts), rng)
    if rng.random() < 0.2:
        name = rng.choice(list(members))
        members[name] = mutate.damaged(members[name], rng)
    if rng.random() < 0.05:
        members[pickle.replace("data.pkl", "byteorder")] = rng.choice((b"big", b"little", b"", b"l" * 99))
    return zips.zipped(list(members.items()), rng)


def oracle(path: str) -> object:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


@cache
def _seeds() -> list[tuple[dict[str, bytes], list[bytes]]]:
    found = []
    for state in state_dicts():
        for protocol in (2, 4):
            with zipfile.ZipFile(io.BytesIO(saved(state, pickle_protocol=protocol))) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            found.append(
                (members, pickle_ops.pieces(next(raw for n, raw in members.items() if n.endswith("data.pkl"))))
            )
    return found
