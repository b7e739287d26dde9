"""npz: .npy headers changed field by field, members and the directory changed. Oracle: NumPy, without pickles."""

from __future__ import annotations

import io
import json
import random
import struct
from functools import cache

import numpy as np

from tests.fuzz import mutate, zips
from tests.fuzz.seeds import arrays

_DESCR = ("<f4", ">f4", "<f8", "<f2", "|b1", "|u1", "<i8", ">i2", "<U3", "|S4", "|O", "<c8", "<M8[s]", "f4", "=f4", "?")
_METADATA = {"format": "npresnet", "version": 1, "labels": ["a", "b"], "config": {}, "source": {"file": "x"}}


def make(rng: random.Random) -> bytes:
    members = [(f"{name}.npy", raw) for name, raw in _seeds().items()]
    for at in rng.sample(range(len(members)), rng.choice((1, 1, 2))):
        members[at] = (members[at][0], _changed(members[at][1], rng))
    if rng.random() < 0.3:
        members.insert(0, ("__npresnet__.npy", _metadata(rng)))
    return zips.zipped(members, rng)


def oracle(path: str) -> object:
    found = {}
    with np.load(path, allow_pickle=False) as archive:
        for member in archive.zip.namelist():  # asked for "a.npy", archive[...] takes a.npy rather than a.npy.npy
            if member.endswith(".npy") and not member.startswith("__"):
                with archive.zip.open(member) as file:
                    found[member.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return found


def _changed(raw: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return mutate.damaged(raw, rng)
    start = 10 + int.from_bytes(raw[8:10], "little")
    header = raw[10:start].decode()
    fields = {
        "descr": header.split("'descr': ")[1].split(",")[0],
        "fortran_order": rng.choice(("False", "False", "True", "0", "1")),
        "shape": header.split("'shape': ")[1].split(")")[0] + ")",
    }
    if rng.random() < 0.4:
        fields["descr"] = repr(rng.choice(_DESCR))
    if rng.random() < 0.4:
        fields["shape"] = f"({' '.join(f'{mutate.number(rng)},' for _ in range(rng.choice((0, 1, 2, 4, 33))))})"
    pairs = [f"'{name}': {value}" for name, value in fields.items()]
    if rng.random() < 0.2:
        pairs = rng.choices(pairs, k=rng.randrange(2, 5))
    text = ("{" + ", ".join(pairs) + rng.choice((", }", "}", "", ", } # x"))).encode("latin-1", "replace")
    text = text.ljust(rng.choice((0, 117, 118))) + b"\n"
    version = rng.choice((1, 1, 1, 2, 3, 9))
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + raw[start:]


def _metadata(rng: random.Random) -> bytes:
    told = dict(_METADATA)
    told[rng.choice(list(told))] = rng.choice(
        (None, 3, [], {}, [[[[]]]], mutate.text(rng), [mutate.text(rng)] * 3, 1e308)
    )
    text = json.dumps(told, ensure_ascii=False)
    return _npy(np.array(text) if rng.random() < 0.7 else np.frombuffer(text.encode(), "u1"))


@cache
def _seeds() -> dict[str, bytes]:
    return {name: _npy(array) for name, array in arrays().items()}


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
