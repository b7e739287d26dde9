"""Files that once took minutes or gigabytes, or hid a mistake: small programs that make them, by what they abuse.

Each is less than 1 MB, so reading or refusing it may take 2 s and 300 MB.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable

from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p

_PRIME = (1 << 61) - 1  # Python's hash of an integer is its remainder
_FIRST, _SECOND = b"h\x00", b"h\x01"  # memo entries
_ELEMENT = p.storage("0", 1)
_TENSOR = p.tensor(_ELEMENT, (1,), (1,))


def _repeated(count: int, unit: bytes, before: bytes = b"", after: bytes = b".") -> bytes:
    return b"\x80\x02" + before + unit * count + after


def _called_again(count: int, what: bytes, *args: bytes) -> bytes:
    return _repeated(count, _FIRST + _SECOND + b"R", what + b"q\x00" + p.sequence(*args) + b"q\x01")


def _numbered(count: int, value: bytes, before: bytes) -> bytes:
    """A dict from integers to one value."""
    items = (b"J" + struct.pack("<i", number) + value for number in range(count))
    return b"\x80\x02" + before + b"}(" + b"".join(items) + b"u."


def _torch_zip(pickle: bytes, numel: int = 1, method: int = 0, **records: bytes) -> bytes:
    return files.torch_zip(pickle, {"0": bytes(4 * numel)}, method=method, **records)


def _large(kind: str, numel: int) -> bytes:
    """A deflated torch zip with one tensor of zeros."""
    return _torch_zip(p.pickled(p.mapping(w=p.tensor(p.storage("0", numel, kind), (numel,), (1,)))), numel, method=8)


def _deflated_text(text: str) -> bytes:
    return _torch_zip(p.pickled(p.text(text)), method=8)


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(4)


def _npz(metadata: bytes) -> bytes:
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(metadata)},), }}"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + metadata
    return files.zipped({"__npresnet__.npy": array}, method=8)


def _hdf5(shape: tuple[int, ...], chunks: tuple[int, ...]) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a/kernel", shape, "f4", chunks=chunks, maxshape=(None,), compression="gzip")
    return buffer.getvalue()


_AXES = p.numbers(*[1] * 32)
_ZERO = p.call(p.named("numpy", "dtype"), p.text("f8"))
_JSON_OBJECTS = ('{"x":[' + ",".join(["{}"] * 1_900_000) + "]}").encode()

PAST: dict[str, Callable[[], bytes]] = {
    "sets": lambda: _repeated(700_000, b"\x8f"),
    "objects, deflated": lambda: _torch_zip(_repeated(900_000, b"N)\x81"), method=8),
    "arrays of 32 axes": lambda: _called_again(
        50_000, p.named("numpy.core.numeric", "_frombuffer"), p.raw_bytes(bytes(8)), _ZERO, _AXES, p.text("C")
    ),
    "scalars": lambda: _called_again(120_000, p.named("numpy.core.multiarray", "scalar"), _ZERO, p.raw_bytes(bytes(8))),
    "views of 32 axes": lambda: _torch_zip(
        _called_again(90_000, p.named("torch._utils", "_rebuild_tensor"), _ELEMENT, p.number(0), _AXES, _AXES)
    ),
    "one tensor under many names": lambda: _torch_zip(_numbered(90_000, _FIRST, _TENSOR + b"q\x00")),
    "memo entries that collide": lambda: (
        b"(lp0\nN" + b"".join(b"p%d\n" % (7 + number * _PRIME) for number in range(1, 25_000)) + b"0."
    ),
    "90 MB of text with one wide letter": lambda: _deflated_text("\U0001f600" + "a" * 90_000_000),
    "160 MB that state their byte order": lambda: _torch_zip(p.pickled(_TENSOR), method=8, byteorder=bytes(160 << 20)),
    "bfloat16 to be widened": lambda: _large("BFloat16Storage", 25 << 20),
    "a shape of 100,000 axes": lambda: _safetensors(
        json.dumps({"a": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}).encode()
    ),
    "30 MB of metadata": lambda: _npz(('{"x":"\U0001f600' + "a" * 30_000_000 + '"}').encode()),
    "2 million objects of metadata": lambda: _npz(_JSON_OBJECTS),
    "metadata 900 levels deep": lambda: _npz(b'{"x":' * 900 + b"0" + b"}" * 900),
    "15 million chunks": lambda: _hdf5((15_000_000,), (1,)),
    "a chunk of 1.6 GB": lambda: _hdf5((4,), (400_000_000,)),
}
