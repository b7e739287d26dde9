"""Zip archives from members: with valid checksums, so that damage reaches the reader inside, or changed themselves."""

from __future__ import annotations

import io
import random
import struct
import zipfile

from tests.fuzz import mutate

_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_FIELDS = {8: "<H", 10: "<H", 16: "<I", 20: "<I", 24: "<I", 28: "<H", 30: "<H", 42: "<I"}  # offsets in an entry


def zipped(members: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    """An archive; some members deflated, renamed, doubled or left out, some fields of the directory changed."""
    members = list(members)
    if rng.random() < 0.1:
        _rearrange(members, rng)
    methods = [zipfile.ZIP_DEFLATED if rng.random() < 0.15 else zipfile.ZIP_STORED for _ in members]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for (name, raw), method in zip(members, methods, strict=True):
            info = zipfile.ZipInfo(name or "x")
            info.extra = struct.pack("<HH", 0x4E50, pad := rng.choice((0, 0, 1, 30))) + bytes(pad)
            archive.writestr(info, raw, compress_type=method)
    raw = bytearray(buffer.getvalue())
    if rng.random() < 0.2:
        _change_directory(raw, rng)
    return mutate.sometimes_damaged(bytes(raw), rng, 0.1)


def _rearrange(members: list[tuple[str, bytes]], rng: random.Random) -> None:
    at = rng.randrange(len(members))
    kind = rng.randrange(4)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (rng.choice(members)[0] + rng.choice(("", "x", ".npy", "/")), members[at][1])
    elif kind == 2:
        members[at] = (members[at][0], mutate.damaged(members[at][1], rng))
    else:
        rng.shuffle(members)
    if not members:
        members.append(("x", b""))


def _change_directory(raw: bytearray, rng: random.Random) -> None:
    starts = [at for at in range(len(raw) - 46) if raw[at : at + 4] == _ENTRY]
    if rng.random() < 0.2 or not starts:
        at, layout = raw.rindex(_END) + rng.choice((8, 10, 12, 16)), rng.choice(("<H", "<I"))
    else:
        field = rng.choice(list(_FIELDS))
        at, layout = rng.choice(starts) + field, _FIELDS[field]
    size = struct.calcsize(layout)
    if at + size <= len(raw):
        raw[at : at + size] = struct.pack(layout, mutate.number(rng) % (1 << 8 * size))
