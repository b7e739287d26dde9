"""Source and Span: the bytes of a weight file, mapped rather than read, and a stretch of bytes inside some buffer.

A file is mapped read-only, so that opening costs milliseconds whatever its size and arrays can point straight into
it. While such arrays live the file must not be cut short (POSIX answers with a bus error) and, on Windows, cannot be
replaced. Where a file system cannot map, the file is read into memory instead.
"""

from __future__ import annotations

import mmap
import os
import stat
from typing import NamedTuple

from npresnet.errors import CheckpointError

Buffer = bytes | mmap.mmap
Path = str | os.PathLike[str]


class Span(NamedTuple):
    """`size_bytes` bytes of a buffer, from `start` on; never copied before they are asked for."""

    buffer: Buffer
    start: int
    size_bytes: int

    @property
    def stop(self) -> int:
        return self.start + self.size_bytes

    def read(self) -> bytes:
        """A copy."""
        return self.buffer[self.start : self.stop]


class Source(NamedTuple):
    """A weight file: its path as the caller wrote it, all its bytes, and when it was last changed."""

    path: str
    span: Span
    changed_ns: int = 0

    @property
    def buffer(self) -> Buffer:
        return self.span.buffer

    @property
    def size_bytes(self) -> int:
        return self.span.size_bytes

    def head(self, size_bytes: int = 64) -> bytes:
        return self.buffer[:size_bytes]


def open_source(path: Path) -> Source:
    """Map a file. Raises CheckpointError (which does not name the file) where that cannot be done."""
    name = path_text(path)
    try:
        _refuse_unusual(os.stat(name))
        with open(name, "rb") as file:
            changed_ns = os.fstat(file.fileno()).st_mtime_ns
            buffer = _map(file.fileno()) or file.read()
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(
            "no such file. Give the path of a weight file, or a model's name such as resnet18 to download one."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CheckpointError(f"it cannot be opened: {reason}.") from error
    return Source(name, Span(buffer, 0, len(buffer)), changed_ns)


def _refuse_unusual(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError("this is a folder; name the weight file itself.")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("this is no regular file (but a device, pipe or socket).")
    if status.st_size == 0:
        raise CheckpointError("the file is empty (0 bytes): a download or copy that never began. Fetch it again.")


def path_text(path: Path) -> str:
    """The path as text. Raises CheckpointError for anything that is no path."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise CheckpointError(f"a weight file's path is a str or os.PathLike, not {type(path).__name__}.") from None


def _map(descriptor: int) -> mmap.mmap | None:
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except OSError:  # some network and FUSE file systems
        return None


def shown(text: object, limit: int = 80) -> str:
    """A name out of a file, fit for a message: one line, printable, not too long."""
    name = str(text)[: limit + 1]
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= limit else name[: limit - 1] + "…"
