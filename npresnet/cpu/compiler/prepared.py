"""Prepacked weights stored in a file of the user's cache, and memory-mapped when the same weights are loaded again.

    magic and key, JSON padded with spaces to a multiple of 64 bytes | arrays, aligned to 64 bytes | 64 bytes of check

- The key holds all that the numbers depend on: the weight file (`content`), NumPy and its BLAS, and for each array the
  layer, the prepacked form, its shape and a checksum of the scale and of a few weights. A file is valid if it begins
  with exactly the bytes that would be written now, has the same length, and its check matches; it is never parsed or
  executed.
- The check is a CRC-32 of one number in 508 bytes, eight in a page of memory: it rejects files that a crash truncated
  or left with pages of zeros, without reading everything twice.
- A file is renamed into place when complete (`replacing`), so that processes may write and read concurrently. Files are
  mapped read-only. On POSIX only the user's own files are accepted.
- All files together hold at most LIMIT_BYTES; the least recently used are evicted.
- Failures of this cache are never errors: without it the weights are prepacked again, with the same bits.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import stat
import time
import zlib
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.memory import Floats
from npresnet.system.cache import cache_folder
from npresnet.system.files import replacing

VARIABLE = "NPRESNET_PREPARED"  # "0" switches this cache off
FORMAT = 5  # increase on any change of the prepacked forms (`filters`) or of the file format
LIMIT_BYTES = 2 << 30
ALIGNMENT = 64
SAMPLE_STEP = 127  # the check covers one number in so many; odd, or it would sample a few filters only
ABANDONED_S = 3600  # a partial file not modified for this long is deleted
SUFFIX = ".prepared"


class Wanted(NamedTuple):
    """One prepacked form of one convolution's weights."""

    name: str
    filters: Filters
    key: Key

    @property
    def shape(self) -> tuple[int, ...]:
        return self.filters.prepacked_shape(self.key)


def folder() -> Path | None:
    """Where prepared weights are stored, beside downloads; None where disabled or without a home folder."""
    try:
        return None if os.environ.get(VARIABLE) == "0" else cache_folder() / "prepared"
    except RuntimeError:
        return None


def store_of(content: str) -> Store | None:
    """The user's store for the weight file of this identity; None for weights that are not from a file."""
    place = folder() if content else None
    return None if place is None else Store(place, content)


class Store:
    """The prepared files of one weight file.

    folder   created when first written to
    content  identifies the weights: different text for different weights
    """

    def __init__(self, folder: Path, content: str):
        self._folder = folder
        self._content = content

    def fill(self, wanted: Sequence[Wanted]) -> bool:
        """Load all wanted forms into their filters from a file; False where there is none."""
        head = self._head(wanted)
        path = self._path(head)
        offsets, size_bytes = _places(len(head), wanted)
        try:
            buffer = _map_own(path, size_bytes)
            if buffer is None or buffer[: len(head)] != head:
                return False
            arrays = [
                np.frombuffer(buffer, np.float32, prod(one.shape), offset).reshape(one.shape)
                for one, offset in zip(wanted, offsets, strict=True)
            ]
            if buffer[-ALIGNMENT:] != _check(arrays):
                return False
            os.utime(path)  # mark as recently used
        except (OSError, ValueError):
            return False
        for (_, filters, key), array in zip(wanted, arrays, strict=True):
            filters.adopt(key, array)
        return True

    def keep(self, wanted: Sequence[Wanted]) -> None:
        """Write the filters' prepacked forms to one file. Where that fails nothing is stored."""
        head = self._head(wanted)
        offsets, size_bytes = _places(len(head), wanted)
        with contextlib.suppress(OSError, ValueError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not make_room(self._folder, size_bytes):
                return
            with replacing(str(self._path(head))) as file:
                file.write(head)
                arrays = [np.ascontiguousarray(filters.prepacked(key)) for _, filters, key in wanted]
                for array, offset in zip(arrays, offsets, strict=True):
                    file.seek(offset)
                    file.write(array.reshape(-1).view(np.uint8).data)
                file.seek(size_bytes - ALIGNMENT)
                file.write(_check(arrays))

    def _head(self, wanted: Sequence[Wanted]) -> bytes:
        described = [[one.name, *one.key, one.shape, checksum(one.filters)] for one in wanted]
        libraries = [np.__version__, *blas.versions()]
        text = json.dumps({"npresnet prepared": FORMAT, "of": self._content, "by": libraries, "arrays": described})
        return _padded(text.encode())

    def _path(self, head: bytes) -> Path:
        return self._folder / f"{zlib.crc32(head):08x}{SUFFIX}"


def checksum(filters: Filters) -> int:
    """Of the stride, the whole scale and a few weights: detects a replaced file of the same size and time."""
    crc = 0 if filters.scale is None else zlib.crc32(np.ascontiguousarray(filters.scale).tobytes())
    first, last = filters.weight[0], filters.weight[-1]
    described = (filters.groups, filters.window.stride, filters.weight.dtype.str, filters.weight.shape)
    return zlib.crc32(repr(described).encode()) ^ zlib.crc32(first[:4].tobytes() + last[-4:].tobytes(), crc)


def make_room(folder: Path, size_bytes: int) -> bool:
    """Delete the least recently used files until `size_bytes` more fit, and partial files of dead processes."""
    if size_bytes > LIMIT_BYTES:
        return False
    for path in folder.glob(f".*{SUFFIX}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
    kept = sorted(_files(folder), key=lambda file: file[1].st_mtime_ns, reverse=True)
    for path, status in kept:
        size_bytes += status.st_size
        if size_bytes > LIMIT_BYTES:
            with contextlib.suppress(OSError):  # on Windows a file in use cannot be deleted
                path.unlink()
    return True


def size_bytes_of(folder: Path) -> int:
    """The total size of the prepared files in a folder."""
    return sum(status.st_size for _, status in _files(folder))


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):  # deleted meanwhile by another process
            found.append((path, path.stat()))
    return found


def _map_own(path: Path, size_bytes: int) -> mmap.mmap | None:
    """The file mapped read-only; None for a different length or owner, or a file that is not regular."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size != size_bytes or not stat.S_ISREG(status.st_mode):
            return None
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return None
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _places(start: int, wanted: Sequence[Wanted]) -> tuple[list[int], int]:
    """Each array's offset, and the file's length."""
    offsets = []
    for one in wanted:
        offsets.append(start)
        start += -(-4 * prod(one.shape) // ALIGNMENT) * ALIGNMENT
    return offsets, start + ALIGNMENT


def _check(arrays: Iterable[Floats]) -> bytes:
    """The last bytes of a file: a checksum of samples of all arrays."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(array.reshape(-1)[::SAMPLE_STEP].tobytes(), crc)
    return _padded(f"check {crc:08x}".encode())


def _padded(text: bytes) -> bytes:
    """Pad with spaces and a newline to a multiple of ALIGNMENT."""
    return text + b" " * (-(len(text) + 1) % ALIGNMENT) + b"\n"
