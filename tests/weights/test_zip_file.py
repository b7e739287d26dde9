"""The zip reader: archives of zipfile are read, and inconsistent directories are refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.source import Source, Span
from npresnet.weights.zip_file import ZipFile
from tests.weights.fixtures import files

ENTRY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def opened(raw: bytes) -> ZipFile:
    return ZipFile(Source("test.zip", Span(raw, 0, len(raw)), Budget(len(raw))))


def refused(raw: bytes, match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        contents(raw)


def contents(raw: bytes) -> dict[str, bytes]:
    archive = opened(raw)
    return {name: archive.span(name).read() for name in archive.members}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_round_trip(method):
    members = {"a": b"", "folder/b.npy": bytes(range(256)) * 100, "größe 模型": b"x" * 5000}
    archive = opened(files.zipped(members, method=method))
    assert {name: archive.span(name).read() for name in archive.members} == members
    assert {name: archive.checked(name).read() for name in archive.members} == members


def test_an_archive_with_a_comment():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
        archive.comment = b"a comment"
    assert opened(buffer.getvalue()).span("a").read() == b"1"


def test_data_descriptors_and_zip64_fields():
    class Pipe(io.RawIOBase):
        """Not seekable, so zipfile omits sizes in local headers, as PyTorch does."""

        def __init__(self):
            self.raw = b""

        def writable(self):
            return True

        def write(self, chunk):
            self.raw += bytes(chunk)
            return len(chunk)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"1" * 1000)
        with archive.open("b", "w", force_zip64=True) as member:
            member.write(b"2" * 1000)
    found = opened(pipe.raw)
    assert {name: found.span(name).read() for name in found.members} == {"a": b"1" * 1000, "b": b"2" * 1000}


def test_zip64_end_record():
    raw = zip64(files.zipped({"a": b"12345"}))
    assert opened(raw).span("a").read() == b"12345"


def zip64(raw: bytes, **changes: int) -> bytes:
    """The same archive with a zip64 end record."""
    end = raw.rindex(END)
    *_, count, size_bytes, offset, _ = struct.unpack_from("<4s4H2LH", raw, end)
    values = {"count": count, "size_bytes": size_bytes, "offset": offset, "start": end, **changes}
    record = struct.pack(
        "<4sQ2H2L4Q",
        b"PK\x06\x06",
        44,
        45,
        45,
        0,
        0,
        values["count"],
        values["count"],
        values["size_bytes"],
        values["offset"],
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, values["start"], 1)
    return raw[:end] + record + locator + struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"count": 2}, "entries"),
        ({"count": 0}, "entries"),
        ({"count": 1 << 60}, "members"),
        ({"size_bytes": 1 << 60}, "outside"),
        ({"offset": 1 << 63}, "outside"),
        ({"start": 1 << 62}, "zip64"),
        ({"start": 0}, "zip64"),
    ],
)
def test_inconsistent_zip64_records(changes, match):
    refused(zip64(files.zipped({"a": b"12345"}), **changes), match)


def edited(raw: bytes, magic: bytes, offset: int, layout: str, value: int, *, last: bool = False) -> bytes:
    """One field of a header changed."""
    start = (raw.rindex(magic) if last else raw.index(magic)) + offset
    return raw[:start] + struct.pack(layout, value) + raw[start + struct.calcsize(layout) :]


PLAIN = files.zipped({"a": b"12345", "b": b"67890"})
DEFLATED = files.zipped({"a": bytes(1000)}, method=8)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (PLAIN[:-1], "is truncated"),
        (PLAIN[: len(PLAIN) // 2], "is truncated"),
        (LOCAL + b"nothing more", "is truncated"),
        (edited(PLAIN, END, 10, "<H", 3), "entries"),
        (edited(PLAIN, END, 10, "<H", 1), "entries"),
        (edited(PLAIN, END, 12, "<L", 1 << 20), "outside"),
        (edited(PLAIN, END, 16, "<L", 1 << 31), "outside"),
        (edited(PLAIN, END, 10, "<H", 0xFFFF), "zip64"),
        (edited(PLAIN, ENTRY, 0, "<L", 0), "directory is damaged"),
        (edited(PLAIN, ENTRY, 28, "<H", 0xFFF0), "directory is damaged"),
        (edited(PLAIN, ENTRY, 8, "<H", 1), "encrypted"),
        (edited(PLAIN, ENTRY, 10, "<H", 12), "method 12"),
        (edited(PLAIN, ENTRY, 20, "<L", 4), "impossible sizes"),
        (edited(PLAIN, ENTRY, 24, "<L", 6), "impossible sizes"),
        (edited(edited(PLAIN, ENTRY, 24, "<L", 1 << 20), ENTRY, 20, "<L", 1 << 20), "impossible sizes"),
        (edited(PLAIN, ENTRY, 42, "<L", 1 << 30), "outside the file"),
        (edited(PLAIN, ENTRY, 42, "<L", 1), "not where the directory says"),
        (edited(PLAIN, LOCAL, 30, "<B", ord("c")), "not where the directory says"),
        (files.zipped({"a": b"1", "b": b"1"}).replace(b"b", b"a"), "two members called a"),
        (edited(DEFLATED, ENTRY, 24, "<L", 1001), "its declared size"),
        (edited(DEFLATED, ENTRY, 24, "<L", 999), "its declared size"),
        (edited(DEFLATED, ENTRY, 16, "<L", 0), "checksum"),
        (edited(DEFLATED, LOCAL, 31, "<B", 0xFF), "does not decompress"),
    ],
)
def test_inconsistent_and_damaged_archives(raw, match):
    refused(raw, match)


def test_members_that_share_bytes():
    """An overlapping zip bomb: many entries share one body; the second local header is inside the first member."""
    inner = LOCAL + bytes(22) + struct.pack("<HH", 1, 0) + b"b" + b"payload"
    raw = files.zipped({"a": inner, "b": b"payload"})
    start = raw.index(inner)
    refused(edited(raw, ENTRY, 42, "<L", start, last=True), "overlap")


def test_bombs():
    """10 MB that decompress to 10 GB: refused from the declared sizes, before decompressing."""
    zeros = zlib.compressobj(9, wbits=-15)
    packed = zeros.compress(bytes(50 << 20)) + zeros.flush()
    member = {f"{n}.npy": packed for n in range(20)}
    raw = files.zipped(member)
    for name in member:  # stored members now declare deflate and 50 MB each
        at = raw.index(name.encode(), raw.index(ENTRY)) - 46
        raw = raw[: at + 10] + struct.pack("<H", 8) + raw[at + 12 :]
        raw = raw[: at + 16] + struct.pack("<L", zlib.crc32(bytes(50 << 20))) + raw[at + 20 :]
        raw = raw[: at + 24] + struct.pack("<L", 50 << 20) + raw[at + 28 :]
    refused(raw, "store it without compression")
    refused(edited(raw, ENTRY, 24, "<L", 2**31), "impossible sizes")


def test_too_many_members():
    raw = zip64(files.zipped({"a": b""}), count=10_000_000)
    refused(raw, "10,000,000 members")
