"""MXNet's lists of arrays, written byte by byte from their layout, and damaged ones."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError

KINDS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int64": 6}
MAGIC = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}


def array_bytes(array: np.ndarray, version: int = 2, *, storage: int = 0) -> bytes:
    raw = b"" if version == 0 else struct.pack("<I", MAGIC[version])
    raw += struct.pack("<i", storage) if version > 1 else b""
    raw += struct.pack(f"<I{array.ndim}{'q' if version else 'I'}", array.ndim, *array.shape)
    raw += struct.pack("<iii", 1, 0, KINDS[array.dtype.name])
    return raw + array.astype(array.dtype.newbyteorder("<")).tobytes()


def params(arrays: dict[str, np.ndarray], version: int = 2, **options) -> bytes:
    raw = struct.pack("<QQQ", 0x112, 0, len(arrays))
    raw += b"".join(array_bytes(array, version, **options) for array in arrays.values())
    raw += struct.pack("<Q", len(arrays))
    return raw + b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)


ARRAYS = {
    "conv0_weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2),
    "half": np.float16([1.5, 2.5]),
    "steps": np.array([7, 8, 9], np.int64),
}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version(folder, version):
    prefixes = {"conv0_weight": "arg:conv0_weight", "half": "aux:half", "steps": "steps"}
    raw = params({prefixes[name]: array for name, array in ARRAYS.items()}, version)
    found = weights.read(folder.write(raw))
    assert found.container == "mxnet"
    assert list(found.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(found.tensors[name], array)
        assert found.tensors[name].dtype == array.dtype


@pytest.mark.parametrize(("version", "axes"), [(2, 0), (3, -1)])
def test_empty_arrays_are_left_out(folder, version, axes):
    raw = struct.pack("<QQQ", 0x112, 0, 2) + struct.pack("<Iii", MAGIC[version], 0, axes)
    raw += array_bytes(ARRAYS["conv0_weight"], version) + struct.pack("<QQ", 2, 1) + b"a" + struct.pack("<Q", 1) + b"b"
    found = weights.read(folder.write(raw))
    assert list(found.tensors) == ["b"]
    assert "array a is empty" in found.notes[0]


WHOLE = params(ARRAYS)
BAD = {
    "truncated": (WHOLE[:-20], "truncated"),
    "bytes behind it": (WHOLE + b"\0", "1 bytes after them"),
    "sparse": (params(ARRAYS, storage=1), "sparse"),
    "many arrays": (struct.pack("<QQQ", 0x112, 0, 1 << 60), "at most"),
    "many axes": (struct.pack("<QQQIiI", 0x112, 0, 1, MAGIC[2], 0, 1 << 30), "axes"),
    "a huge array": (struct.pack("<QQQIiI4q3i", 0x112, 0, 1, MAGIC[2], 0, 4, *[1 << 40] * 4, 1, 0, 0), "truncated"),
    "a negative axis": (struct.pack("<QQQIiIq3i", 0x112, 0, 1, MAGIC[2], 0, 1, -4, 1, 0, 0), "shape"),
    "a dtype": (struct.pack("<QQQIiIq3i", 0x112, 0, 1, MAGIC[2], 0, 1, 1, 1, 0, 99), "dtype 99"),
    "a name twice": (
        WHOLE.replace(b"steps", b"halfs").replace(b"\4\0\0\0\0\0\0\0half\5", b"\5\0\0\0\0\0\0\0halfs\5"),
        "two",
    ),
    "a long name": (WHOLE[:-13] + struct.pack("<Q", 1 << 50), "a name of"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(folder, kind):
    raw, reason = BAD[kind]
    with pytest.raises(CheckpointError, match=reason):
        weights.read(folder.write(raw))


def test_damaged_files(folder):
    rng, causes = random.Random(0), []
    for _ in range(200):
        damaged = bytearray(WHOLE[: rng.randrange(17, len(WHOLE))] if rng.random() < 0.3 else WHOLE)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(16, len(damaged))] = rng.choice([0, 1, 127, 255, rng.randrange(256)])
        try:
            weights.read(folder.write(bytes(damaged)))
        except CheckpointError as error:
            causes.append(type(error.__cause__))
    assert len(causes) > 40
    assert set(causes) == {CheckpointError}
