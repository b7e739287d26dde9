"""A strict reader for zip archives; stored members are memory-mapped.

- The directory is at the end: "end of central directory" (PK 5 6), preceded in large files by zip64's (PK 6 6), and an
  entry per member (PK 1 2) with name, method, sizes, CRC and the position of the local header (PK 3 4).
- A file without the end record is truncated, by far the most frequent damage.
- A member's bytes start at local header + 30 + the lengths of the local name and extra field. Sizes are taken from the
  directory only because PyTorch omits them in local headers.
- Members are stored (0) or deflated (8); other methods and encryption are refused.
- Names MUST be unique; the local header MUST repeat the directory's name; members MUST NOT overlap and MUST lie before
  the directory. The number of entries MUST be that of the end record, 200,000 at most.
- A deflated member MUST have exactly the declared size and CRC. Deflate compresses at most 1:1032. What is inflated is
  charged to the file's Budget and written once, straight to where it stays.
- Nothing is written to disk, so member names are harmless ("../x").
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from npresnet.errors import CheckpointError
from npresnet.weights.source import Buffer, Source, Span, shown

_END = struct.Struct("<4s4H2LH")  # magic, 2 disks, 2 counts, directory's size and offset, comment's length
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
_MAX_ENTRIES = 200_000
_MAX_RATIO = 1_032
_CHUNK_BYTES = 1 << 20
_PACKED_CHUNK_BYTES = 1 << 16
_STORED, _DEFLATED = 0, 8
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF


class Member(NamedTuple):
    """One file of the archive: `packed` is the span of its stored bytes, `size_bytes` its uncompressed size."""

    name: str
    method: int
    crc: int
    packed: Span
    size_bytes: int


class ZipFile:
    """The members of an archive by name, in the directory's order."""

    def __init__(self, source: Source):
        self.source = source
        self.members = _members(source)

    def span(self, name: str) -> Span:
        """A member's bytes: mapped if stored, otherwise inflated into memory."""
        member = self.members[name]
        return member.packed if member.method == _STORED else self._inflate(member)

    def checked(self, name: str) -> Span:
        """A copy of a member's bytes, with verified CRC."""
        member = self.members[name]
        if member.method != _STORED:
            return self._inflate(member)
        self.source.budget.make(member.size_bytes)
        return _verified(member, member.packed.read())

    def is_stored(self, name: str) -> bool:
        return self.members[name].method == _STORED

    def _inflate(self, member: Member) -> Span:
        self.source.budget.make(member.size_bytes)
        try:
            data = _inflated(member)
        except zlib.error as error:
            raise CheckpointError(f"zip member {shown(member.name)} does not decompress ({error}); damaged.") from None
        if data is None:
            raise CheckpointError(f"zip member {shown(member.name)} does not have its declared size; damaged.")
        return _verified(member, data)


def _inflated(member: Member) -> Buffer | None:
    """A deflated member's bytes; None if they are not as many as declared."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = memoryview(member.packed.buffer)[member.packed.start : member.packed.stop]
    if member.size_bytes <= _CHUNK_BYTES:
        small = inflater.decompress(packed, member.size_bytes + 1)
        return small if len(small) == member.size_bytes and inflater.eof else None
    data = _memory(member.size_bytes)  # zlib would make all of it twice: in pieces, then whole
    for start in range(0, len(packed), _PACKED_CHUNK_BYTES):
        rest: bytes | memoryview = packed[start : start + _PACKED_CHUNK_BYTES]
        while piece := inflater.decompress(rest, _CHUNK_BYTES):
            if data.tell() + len(piece) > member.size_bytes:
                return None
            data.write(piece)
            rest = inflater.unconsumed_tail
    return data if data.tell() == member.size_bytes and inflater.eof else None


def _memory(size_bytes: int) -> mmap.mmap:
    """Memory for a member, which is returned to the system as soon as nothing refers to it."""
    try:
        return mmap.mmap(-1, size_bytes)
    except OSError as error:
        raise MemoryError(f"{size_bytes:,} bytes for a zip member") from error


def _verified(member: Member, data: Buffer) -> Span:
    if zlib.crc32(data) != member.crc:
        raise CheckpointError(f"zip member {shown(member.name)} is damaged: its checksum (CRC-32) does not match.")
    return Span(data, 0, len(data))


def _members(source: Source) -> dict[str, Member]:
    directory, count = _directory(source)
    members: dict[str, Member] = {}
    for member in _entries(source, directory):
        if member.name in members:
            raise CheckpointError(f"the zip archive holds two members called {shown(member.name)}; it is ambiguous.")
        members[member.name] = member
        if len(members) > count:
            break
    if len(members) != count:
        raise CheckpointError(f"the zip archive's directory does not hold the {count:,} entries it declares; damaged.")
    _refuse_overlaps(members, directory.start)
    return members


def directory_span(source: Source) -> Span:
    """The bytes of an archive's directory, which holds every member's name, sizes and CRC. Raises CheckpointError."""
    return _directory(source)[0]


def _directory(source: Source) -> tuple[Span, int]:
    """The directory's bytes and its declared number of entries."""
    buffer, size_bytes = source.buffer, source.size_bytes
    end = buffer.rfind(b"PK\x05\x06", max(0, size_bytes - _MAX_COMMENT - _END.size))
    if end < 0 or end + _END.size > size_bytes:
        raise CheckpointError(
            f"the zip archive's directory, normally at its end, is missing: the file is truncated "
            f"after {size_bytes:,} bytes. Download or copy it again."
        )
    *_, count, length, offset, _comment = _END.unpack_from(buffer, end)
    stop = end
    if count == _U16_MAX or length == _U32_MAX or offset == _U32_MAX:
        stop, count, length, offset = _zip64(buffer, end)
    if offset + length > stop:
        raise CheckpointError("the zip archive's directory lies outside the file; it is damaged.")
    if count > _MAX_ENTRIES:
        raise CheckpointError(f"the zip archive declares {count:,} members; npresnet reads {_MAX_ENTRIES:,} at most.")
    return Span(buffer, offset, length), count


def _zip64(buffer: Buffer, end: int) -> tuple[int, int, int, int]:
    """(position of zip64's end record, count, directory's size, directory's offset)."""
    locator = end - _LOCATOR64.size
    if locator < 0 or buffer[locator : locator + 4] != b"PK\x06\x07":
        raise CheckpointError("the zip archive refers to a missing zip64 record; it is damaged.")
    _, _, start, _ = _LOCATOR64.unpack_from(buffer, locator)
    if start + _END64.size > locator or buffer[start : start + 4] != b"PK\x06\x06":
        raise CheckpointError("the zip archive refers to a missing zip64 record; it is damaged.")
    *_, count, length, offset = _END64.unpack_from(buffer, start)
    return start, count, length, offset


def _entries(source: Source, directory: Span) -> Iterator[Member]:
    buffer, position = source.buffer, directory.start
    while position + _ENTRY.size <= directory.stop:
        (magic, _, _, flags, method, _, _, crc, packed_bytes, size_bytes, name_bytes, extra_bytes, comment_bytes,
         _, _, _, header) = _ENTRY.unpack_from(buffer, position)  # fmt: skip
        names = position + _ENTRY.size
        extras = names + name_bytes
        position = extras + extra_bytes + comment_bytes
        if magic != b"PK\x01\x02" or position > directory.stop:
            raise CheckpointError("the zip archive's directory is damaged.")
        raw_name = buffer[names:extras]
        is_utf_8 = flags & 0x800 or raw_name.isascii()  # the cp437 codec takes half a millisecond to import
        name = raw_name.decode("utf-8" if is_utf_8 else "cp437", "replace")
        if flags & 1 or method not in (_STORED, _DEFLATED):
            raise CheckpointError(
                f"zip member {shown(name)} is {'encrypted' if flags & 1 else f'compressed by method {method}'}; "
                "unpack the archive and zip it again without compression."
            )
        size_bytes, packed_bytes, header = _wide(
            buffer[extras : extras + extra_bytes], [size_bytes, packed_bytes, header]
        )
        packed = Span(buffer, _data_start(source, header, raw_name, name), packed_bytes)
        if packed.stop > directory.start or not _plausible(method, packed_bytes, size_bytes):
            raise CheckpointError(f"zip member {shown(name)} declares impossible sizes; the file is damaged.")
        yield Member(name, method, crc, packed, size_bytes)


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """Replace values beyond 32 bits by those of zip64's extra field (id 1), which holds only these, 64 bits each."""
    if _U32_MAX not in values:
        return values
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, position + 4))
            return [next(wide, value) if value == _U32_MAX else value for value in values]
        position += 4 + length
    return values


def _data_start(source: Source, header: int, raw_name: bytes, name: str) -> int:
    if header + _LOCAL.size > source.size_bytes:
        raise CheckpointError(f"zip member {shown(name)} lies outside the file, which is truncated or damaged.")
    magic, *_, name_bytes, extra_bytes = _LOCAL.unpack_from(source.buffer, header)
    names = header + _LOCAL.size
    if magic != b"PK\x03\x04" or source.buffer[names : names + name_bytes] != raw_name:
        raise CheckpointError(f"zip member {shown(name)} is not where the directory says; the file is damaged.")
    return names + int(name_bytes) + int(extra_bytes)


def _plausible(method: int, packed_bytes: int, size_bytes: int) -> bool:
    if method == _STORED:
        return packed_bytes == size_bytes
    return size_bytes <= packed_bytes * _MAX_RATIO


def _refuse_overlaps(members: dict[str, Member], directory_start: int) -> None:
    """Refuse members that share bytes, as zip bombs do."""
    last_stop, last_name = 0, ""
    for member in sorted(members.values(), key=lambda member: (member.packed.start, member.packed.stop)):
        if member.packed.start < last_stop:
            raise CheckpointError(
                f"zip members {shown(last_name)} and {shown(member.name)} overlap; damaged or hostile."
            )
        last_stop, last_name = member.packed.stop, member.name
