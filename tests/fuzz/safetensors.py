"""safetensors: the header changed as a structure, then the file as bytes. Oracle: the package safetensors."""

from __future__ import annotations

import json
import random
import struct
from functools import cache

from tests.fuzz import mutate
from tests.fuzz.seeds import arrays

_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64", "F4", "")


def make(rng: random.Random) -> bytes:
    header, data = _seed()
    entries = json.loads(header)
    for _ in range(rng.choice((1, 1, 2))):
        _change(entries, rng)
    text = json.dumps(entries, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")
    if rng.random() < 0.15:
        text = _changed_text(text, rng)
    if rng.random() < 0.1:
        data = mutate.damaged(data, rng)
    length = mutate.number(rng) % (1 << 64) if rng.random() < 0.05 else len(text)
    return mutate.sometimes_damaged(struct.pack("<Q", length) + text + data, rng, 0.1)


def oracle(path: str) -> object:
    from safetensors.torch import load_file

    return load_file(path)


def _change(entries: dict[str, dict[str, object]], rng: random.Random) -> None:
    name = rng.choice(list(entries) or ["w"])
    entry = entries.setdefault(name, {})
    kind = rng.randrange(8)
    if kind == 0:
        entries.pop(name)
    elif kind == 1:
        entries[mutate.text(rng)] = entries.pop(name)
    elif kind == 2:
        entry["dtype"] = rng.choice((*_DTYPES, None, 3))
    elif kind == 3:
        entry["shape"] = [mutate.number(rng) for _ in range(rng.choice((0, 1, 2, 4, 33)))]
    elif kind == 4 and entry.get("shape"):
        rng.shuffle(entry["shape"])  # type: ignore[arg-type]
    elif kind == 5:
        entry["data_offsets"] = [mutate.number(rng) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    elif kind == 6:
        entries["__metadata__"] = {mutate.text(rng): rng.choice((mutate.text(rng), 3, None))}  # type: ignore[dict-item]
    else:
        entry[mutate.text(rng)] = rng.choice((None, 1, {}, [[[]]], "x"))


def _changed_text(text: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return text[:-1] + b"," + text[1:]  # every name twice
    if kind == 1:
        return text + b" " * rng.randrange(1, 9)
    if kind == 2:
        return b'{"x":' + b"[" * (depth := rng.randrange(1, 5000)) + b"]" * depth + b"," + text[1:]
    if kind == 3:
        return text.replace(b"0", str(mutate.number(rng)).encode(), 1)
    if kind == 4:
        return text.replace(b"[", b"[1e2,", 1)
    return mutate.damaged(text, rng)


@cache
def _seed() -> tuple[bytes, bytes]:
    from safetensors.numpy import save

    raw = save(arrays())
    length = int.from_bytes(raw[:8], "little")
    return raw[8 : 8 + length], raw[8 + length :]
