"""Source and Span: the bytes of a weight file, memory-mapped, and a range of bytes in a buffer.

A file is mapped read-only, so that opening takes milliseconds at any size and arrays can be views of it. While such
arrays are in use the file must not be truncated (a bus error on POSIX) and cannot be replaced on Windows; a model
notices, see `system.mapped_file`. If the file system does not support mapping, the file is read into memory.
"""

from __future__ import annotations

import mmap
import os
import stat
from typing import NamedTuple

from npresnet.errors import CheckpointError
from npresnet.system.mapped_file import MappedFile
from npresnet.system.stamp import stamp_of
from npresnet.weights.budget import Budget

Buffer = bytes | mmap.mmap
Path = str | os.PathLike[str]


class Span(NamedTuple):
    """`size_bytes` bytes of a buffer from `start` on; copied only by `read`."""

    buffer: Buffer
    start: int
    size_bytes: int

    @property
    def stop(self) -> int:
        return self.start + self.size_bytes

    def read(self) -> bytes:
        """A copy of the bytes."""
        return self.buffer[self.start : self.stop]


class Source(NamedTuple):
    """A weight file: its path as given by the caller, all its bytes, what reading it may cost, and its stamp.

    stamp      see `system.stamp`
    in_memory  it is no file: `path` is only what messages call it
    """

    path: str
    span: Span
    budget: Budget
    stamp: str = ""
    in_memory: bool = False

    @property
    def buffer(self) -> Buffer:
        return self.span.buffer

    @property
    def size_bytes(self) -> int:
        return self.span.size_bytes

    def head(self, size_bytes: int = 64) -> bytes:
        return self.buffer[:size_bytes]


def open_source(path: Path, budget: Budget | None = None) -> Source:
    """Map a file. Raises CheckpointError, without the file's name, if that fails.

    budget  of the state dict that the file is a part of; extended by the file's size
    """
    name = path_text(path)
    try:
        _refuse_unusual(os.stat(name))
        with open(name, "rb") as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            buffer = _map(file.fileno(), name) or file.read()
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(
            "no such file. Pass the path of a weight file, or a model's name such as resnet18 to download one."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CheckpointError(f"it cannot be opened: {reason}.") from error
    budget = budget or Budget()
    budget.extend(len(buffer))
    return Source(name, Span(buffer, 0, len(buffer)), budget, stamp)


def _refuse_unusual(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError("this is a folder; pass the path of the weight file itself.")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("this is not a regular file (but a device, pipe or socket).")
    if status.st_size == 0:
        raise CheckpointError("the file is empty (0 bytes): the download or copy failed. Download or copy it again.")


def path_text(path: Path) -> str:
    """The path as a string. Raises CheckpointError for other types."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise CheckpointError(f"expected a path as str or os.PathLike, got {type(path).__name__}.") from None


def _map(descriptor: int, path: str) -> MappedFile | None:
    try:
        return MappedFile.of(descriptor, path)
    except OSError:  # some network and FUSE file systems
        return None


def shown(text: object, limit: int = 80) -> str:
    """A name from a file, made safe for a message: one line, printable, at most `limit` characters."""
    name = str(text)[: limit + 1]
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= limit else name[: limit - 1] + "…"
