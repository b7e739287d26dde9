"""Verification: a weight file read whole, and every checksum that its format has."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from npresnet.errors import CheckpointError
from npresnet.weights.inert import Inert, as_mapping, as_tensor
from npresnet.weights.opening import open_weights, parsing
from npresnet.weights.source import Path, Source, shown
from npresnet.weights.tensor import NUMPY_DTYPES, Tensor
from npresnet.weights.zip_file import Member, ZipFile

_CHUNK_BYTES = 1 << 22
_MAX_SHOWN = 5
_NAME_CHARS = 200


class Verified(NamedTuple):
    """What was read and checked; str() is the output of `npresnet inspect --verify`.

    size_bytes  of all files
    members     of zip archives whose CRC-32 was verified
    unchecked   of zip archives whose writer left the CRC-32 out
    tensors     whose every element was read
    not_finite  of them, those with an infinity or NaN
    sha256      of each file
    """

    size_bytes: int
    members: int
    unchecked: int
    tensors: int
    not_finite: list[str]
    sha256: list[str]

    def __str__(self) -> str:
        checks = (
            f"{self.members} members of the zip archive match their CRC-32" if self.members else "none in this format"
        )
        lines = [
            f"read       {self.size_bytes:,} bytes, all elements of {self.tensors:,} tensor{'s'[: self.tensors != 1]}",
            f"checksums  {checks}",
        ]
        if self.unchecked:
            lines.append(f"           {self.unchecked} members have none: their writer left them out")
        lines += [f"SHA-256    {digest}" for digest in self.sha256]
        if self.not_finite:
            names = ", ".join(map(shown, self.not_finite[:_MAX_SHOWN]))
            lines.append(f"note       {len(self.not_finite)} tensors hold infinities or NaN: {names}")
        return "\n".join(lines)


def verify(path: Path) -> Verified:
    """Read all of a weight file of any format, and verify every checksum in it.

    Of a zip archive (.npz, PyTorch's, Keras's) every member's CRC-32; of HDF5 those of its filters. Other formats have
    none: the SHA-256 tells whether it is the file that its author published. A file whose name ends in a hash, as
    torchvision's do, must have it.

    Raises CheckpointError, which names what is damaged.
    """
    with parsing(path):
        sources, contents = open_weights(path)
        digests = [_read_whole(source) for source in sources]
        checked = [_check_members(source) for source in sources]
        names, not_finite = 0, []
        for name, tensor in _tensors(contents.root):
            names += 1
            if not _is_finite(name, tensor):
                not_finite.append(name)
    members, unchecked = (sum(counts) for counts in zip(*checked, strict=True))
    size_bytes = sum(source.size_bytes for source in sources)
    return Verified(size_bytes, members, unchecked, names, not_finite, digests)


def _read_whole(source: Source) -> str:
    """The SHA-256, by reads: a disk's error under a mapping would end the process."""
    import hashlib

    digest, read_bytes = hashlib.sha256(), 0
    try:
        with open(source.path, "rb") as file:
            while data := file.read(_CHUNK_BYTES):
                digest.update(data)
                read_bytes += len(data)
    except OSError as error:
        raise CheckpointError(f"it cannot be read after {read_bytes:,} bytes: {error.strerror or error}.") from error
    if read_bytes != source.size_bytes:
        raise CheckpointError(f"it had {source.size_bytes:,} bytes, then {read_bytes:,}: it is being written.")
    told = re.search(r"-([0-9a-f]{8})\.(?:pth?|th)$", os.path.basename(source.path))
    dated = told is not None and told[1].isdecimal()  # resnet50-20240115.pth; one of forty hashes looks like that
    if told and not dated and not digest.hexdigest().startswith(told[1]):
        raise CheckpointError(f"its name tells a SHA-256 of {told[1]}..., but it has {digest.hexdigest()}; damaged.")
    return digest.hexdigest()


def _check_members(source: Source) -> tuple[int, int]:
    """How many members of an archive have a right CRC-32, and how many have none."""
    if not source.head().startswith(b"PK\x03\x04"):
        return 0, 0
    archive = ZipFile(source)
    wrong = [name for name, member in archive.members.items() if _crc(member, archive.is_stored(name)) != member.crc]
    damaged = [name for name in wrong if archive.members[name].crc]
    if damaged:
        some = ", ".join(map(shown, damaged[:_MAX_SHOWN])) + (", ..." if len(damaged) > _MAX_SHOWN else "")
        raise CheckpointError(
            f"{len(damaged)} of {len(archive.members)} zip members do not match their CRC-32: {some}. The file is "
            "damaged; download or copy it again."
        )
    return len(archive.members) - len(wrong), len(wrong)  # 0: torch.serialization.set_crc32_options(False)


def _crc(member: Member, is_stored: bool) -> int:
    """The CRC-32 of a member's bytes; -1 where they do not inflate to the declared size."""
    packed: bytes | memoryview = memoryview(member.packed.buffer)[member.packed.start : member.packed.stop]
    if is_stored:
        return zlib.crc32(packed)
    inflater, crc, size_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
    try:
        while (data := inflater.decompress(packed, _CHUNK_BYTES)) and size_bytes <= member.size_bytes:
            crc, size_bytes, packed = zlib.crc32(data, crc), size_bytes + len(data), inflater.unconsumed_tail
    except zlib.error:
        return -1
    return crc if size_bytes == member.size_bytes and inflater.eof else -1


def _tensors(root: object) -> Iterator[tuple[str, Tensor]]:
    """All tensors, of whichever state dict, whose elements NumPy can hold."""
    waiting, seen = [("", root)], set()
    while waiting:
        name, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        tensor = as_tensor(value)
        if isinstance(tensor, Tensor) and tensor.dtype in NUMPY_DTYPES:
            yield name or "(the object)", tensor
        elif tensor is None:
            entries = _entries(value)
            inside = [(f"{name}.{shown(key)}".lstrip(".")[-_NAME_CHARS:], entry) for key, entry in entries]
            waiting += reversed(inside)


def _entries(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, (list, tuple)):
        return enumerate(value)
    state = as_mapping(value.state) if isinstance(value, Inert) else None
    return [*(as_mapping(value) or {}).items(), *(state or {}).items()]


def _is_finite(name: str, tensor: Tensor) -> bool:
    """Read every element. Raises CheckpointError."""
    try:
        array = tensor.array()
    except CheckpointError as error:
        raise CheckpointError(f"{shown(name)}: {error}") from None
    with np.errstate(all="ignore"):
        return array.dtype.kind != "f" or bool(np.isfinite(array.sum(dtype=np.float64)) or np.isfinite(array).all())
